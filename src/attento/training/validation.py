"""How good the model is by now: loss under teacher forcing, and BLEU on the road that a user takes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from attento.data.batching import Pair, inference_batches, make_batch
from attento.decoding.config import SearchConfig
from attento.engines.torch import TorchEngine
from attento.evaluation.metrics import corpus_bleu
from attento.models.base import EncoderDecoder
from attento.text.tokenizer import TokenizerPair
from attento.training.config import ValidationConfig
from attento.training.loss import smoothed_cross_entropy_over_all_classes
from attento.translator import Translator

_MAX_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class ValidationText:
    """The validation set: as text, and as pairs of ids."""

    sources: Sequence[str]
    references: Sequence[str]
    pairs: Sequence[Pair]


@dataclass(frozen=True)
class ValidationResult:
    """What a validation found; `bleu` is None where the run goes by loss."""

    loss: float
    bleu: float | None

    def score(self) -> float:
        """Return the number to make large."""
        return -self.loss if self.bleu is None else self.bleu

    def __str__(self) -> str:
        return f"loss {self.loss:.3f}" + ("" if self.bleu is None else f", BLEU {self.bleu:.2f}")


class Validator:
    """Judges a model on a validation set; greedy search, so that it takes seconds."""

    def __init__(
        self, config: ValidationConfig, text: ValidationText, tokenizers: TokenizerPair, target_language: str
    ) -> None:
        """Prepare to judge.

        Raises:
            InputError: BLEU cannot be computed in the way asked for, or not against these references.
            MissingExtraError: BLEU's tokenizer needs a package that is not installed.
        """
        keep = slice(config.max_sentences)
        self._config = config
        self._text = ValidationText(text.sources[keep], text.references[keep], text.pairs[keep])
        self._tokenizers = tokenizers
        self._target_language = target_language
        if config.metric == "bleu":
            # What is wrong with the references or the settings shall show now, not at the first validation.
            self._bleu([""] * len(self._text.references))

    def validate(self, model: EncoderDecoder, device: torch.device) -> ValidationResult:
        """Judge the model as it stands; it is back in training mode afterwards if it was before."""
        training = model.training
        model.eval()
        try:
            loss = mean_loss(model, self._text.pairs, device)
            bleu = self._bleu(self._translate(model, device)) if self._config.metric == "bleu" else None
        finally:
            model.train(training)
        return ValidationResult(loss, bleu)

    def _translate(self, model: EncoderDecoder, device: torch.device) -> list[str]:
        translator = Translator(self._tokenizers, TorchEngine(model, device=device), SearchConfig(beam_size=1))
        return [each.text for each in translator.translate(self._text.sources, split_sentences=False)]

    def _bleu(self, translations: Sequence[str]) -> float:
        return corpus_bleu(
            translations,
            self._text.references,
            tokenize=self._config.tokenize,
            lowercase=self._config.lowercase,
            target_language=self._target_language,
        ).value


@torch.inference_mode()
def mean_loss(model: EncoderDecoder, pairs: Sequence[Pair], device: torch.device) -> float:
    """Compute the mean cross-entropy of a target token in nats, eos included, without label smoothing."""
    total, tokens = 0.0, 0
    for rows in inference_batches([len(source) + len(target) for source, target in pairs], _MAX_BATCH_TOKENS):
        batch = make_batch([pairs[row] for row in rows]).to(device)
        logits, _ = model.decode(batch.target_input, model.start(model.encode(batch.source, batch.source_mask)))
        mask = batch.target_mask
        losses = smoothed_cross_entropy_over_all_classes(logits[mask], batch.target_output[mask], smoothing=0.0)
        total += losses.double().sum().item()
        tokens += batch.num_target_tokens
    return total / tokens
