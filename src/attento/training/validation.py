"""How good the model is by now: loss under teacher forcing, and BLEU on the road that a user takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from attento.data.batching import Pair, inference_batches, make_batch
from attento.decoding.config import SearchConfig
from attento.engines.torch import TorchEngine
from attento.errors import TrainingError
from attento.evaluation.metrics import corpus_bleu
from attento.models.base import EncoderDecoder
from attento.text.tokenizer import TokenizerPair
from attento.training.config import ValidationConfig
from attento.training.process import is_out_of_memory
from attento.training.update.loss import smoothed_cross_entropy_over_all_classes
from attento.translator import Translator

_BATCH_TOKENS = 4096
_Judged = TypeVar("_Judged")


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
        self._batch_tokens = _BATCH_TOKENS
        if config.metric == "bleu":
            # What is wrong with the references or the settings shall show now, not at the first validation.
            self._bleu([""] * len(self._text.references))

    def validate(self, model: EncoderDecoder, device: torch.device) -> ValidationResult:
        """Judge the model as it stands; it is back in training mode afterwards if it was before.

        Raises:
            TrainingError: one sentence alone does not fit in memory.
        """
        training = model.training
        model.eval()
        try:
            loss = self._in_batches(lambda tokens: mean_loss(model, self._text.pairs, device, batch_tokens=tokens))
            bleu = None
            if self._config.metric == "bleu":
                bleu = self._bleu(self._in_batches(lambda tokens: self._translate(model, device, tokens)))
        finally:
            model.train(training)
        return ValidationResult(loss, bleu)

    def _in_batches(self, judge: Callable[[int], _Judged]) -> _Judged:
        """Judge in batches of so many tokens, half as many each time that memory runs out; later ones begin there."""
        while True:
            try:
                return judge(self._batch_tokens)
            except (MemoryError, RuntimeError) as problem:
                if not is_out_of_memory(problem):
                    raise
            # Outside of `except`: the problem's traceback would keep the tensors of the failed attempt alive.
            if self._batch_tokens == 1:
                raise TrainingError(
                    "validation: one sentence alone does not fit in memory; leave the longest sentences out of "
                    "`data.validation`, or make the model smaller"
                )
            self._batch_tokens //= 2

    def _translate(self, model: EncoderDecoder, device: torch.device, batch_tokens: int) -> list[str]:
        engine = TorchEngine(model, device=device, max_batch_tokens=batch_tokens)
        translator = Translator(self._tokenizers, engine, SearchConfig(beam_size=1))
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
def mean_loss(
    model: EncoderDecoder, pairs: Sequence[Pair], device: torch.device, *, batch_tokens: int = _BATCH_TOKENS
) -> float:
    """Compute the mean cross-entropy of a target token in nats, eos included, without label smoothing."""
    total, tokens = 0.0, 0
    for rows in inference_batches([len(source) + len(target) for source, target in pairs], batch_tokens):
        batch = make_batch([pairs[row] for row in rows]).to(device)
        logits, _ = model.decode(batch.target_input, model.start(model.encode(batch.source, batch.source_mask)))
        mask = batch.target_mask
        losses = smoothed_cross_entropy_over_all_classes(logits[mask], batch.target_output[mask], smoothing=0.0)
        total += losses.double().sum().item()
        tokens += batch.num_target_tokens
    return total / tokens
