"""Translation: sentence pairs, loss under teacher forcing, BLEU on the road that a user takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from attento.data.pairs.batching import POOL_PAIRS, Batch, Pair, PairSource, TokenBatches, make_batch
from attento.data.pairs.config import DataConfig
from attento.data.pairs.prepare import fingerprint, prepare
from attento.data.pairs.prepared import PreparedCorpus, known_fingerprint
from attento.data.pairs.stamps import stamp_files
from attento.decoding.config import SearchConfig
from attento.engines.scoring import score_pairs
from attento.engines.torch import TorchEngine
from attento.evaluation.metrics import corpus_bleu
from attento.models.base import EncoderDecoder
from attento.models.build import build_translation_model
from attento.models.config import TranslationModelConfig
from attento.run_folder import RunFolder
from attento.shapes import Hidden
from attento.text.special import EOS_ID
from attento.text.tokenizer import TokenizerPair
from attento.training.config import RecipeConfig, ValidationConfig
from attento.training.records.card import Card
from attento.training.tasks.base import Task, Tell, check_length
from attento.training.update.objective import TokenObjective
from attento.training.validation import ValidationResult, Validator
from attento.translator import Translator

_BATCH_TOKENS = 4096


class TranslationTask(Task[PreparedCorpus]):
    """Sentence pairs to translate."""

    @staticmethod
    def prepare(config: RecipeConfig, data_root: Path, output: Path, *, workers: int, tell: Tell) -> PreparedCorpus:
        """Prepare the text into a folder, or open the folder when it already holds just that.

        Raises:
            DataError: the text cannot be prepared.
        """
        return prepare(_data(config), data_root, output, workers=workers, progress=tell)

    @staticmethod
    def open(path: Path) -> PreparedCorpus:
        """Open a prepared folder.

        Raises:
            DataError: it is not there, or cannot be used.
        """
        return PreparedCorpus.open(path)

    @staticmethod
    def fingerprint(config: RecipeConfig, data_root: Path, prepared: Path, tell: Tell) -> str:
        """Return the fingerprint that the text has now; it is read only where a file has changed.

        Raises:
            DataError: the text cannot be read.
        """
        return fingerprint(_data(config), data_root, tell, known=prepared)

    @classmethod
    def is_prepared(cls, config: RecipeConfig, data_root: Path, prepared: Path) -> bool:
        """Tell by settings and stamps whether a folder holds the text as it is now; the text is not read."""
        data = _data(config)
        return known_fingerprint(prepared, data, stamp_files(data, data_root)) is not None

    def build_model(self) -> EncoderDecoder:
        """Make the model with freshly drawn weights.

        Raises:
            ConfigError: settings do not fit the text.
        """
        tokenizers = self.corpus.tokenizers
        model = build_translation_model(_model(self.config), tokenizers.source.vocab_size, tokenizers.target.vocab_size)
        sides = (("source", model.max_source_length), ("target", model.max_target_length))
        for side, (name, limit) in enumerate(sides):
            train, validation = self.corpus.longest_train[side] + 1, self.corpus.longest_validation[side] + 1
            # With the eos or bos that the model reads besides.
            check_length(train, limit, f"a training {name}", "lower `data.cleaning.max_tokens`")
            check_length(validation, limit, f"a validation {name}", "leave it out of the validation set")
        return model

    def batches(self) -> TokenBatches:
        """Return the batches to train on."""
        weights = [each.weight for each in _data(self.config).train]
        return TokenBatches(self.corpus.train, self.tokens_per_step, self.config.training.seed, weights)

    def objective(self, model: nn.Module) -> "TranslationObjective":
        """Return the summed loss of target tokens."""
        assert isinstance(model, EncoderDecoder)
        training = self.config.training
        return TranslationObjective(model, training.label_smoothing, training.loss_chunk_tokens)

    def validator(self) -> "TranslationValidator":
        """Return what judges by loss and BLEU.

        Raises:
            InputError: BLEU cannot be computed in the way asked for, or not against these references.
        """
        corpus = self.corpus
        pairs = corpus.validation.take(np.arange(len(corpus.validation)))
        text = ValidationText(*corpus.validation_texts(), pairs)
        language = _data(self.config).target_language
        return TranslationValidator(self.config.training.validation, text, corpus.tokenizers, language)

    def longest_batch(self, rows: int) -> Batch:
        """Make a batch of so many pairs of the longest source and the longest target."""
        return longest_batch(self.corpus.longest_train, rows)

    def save_text_side(self, folder: RunFolder) -> None:
        """Write the tokenizers.

        Raises:
            OSError: they cannot be written.
        """
        self.corpus.tokenizers.save(folder.path)

    @property
    def size(self) -> str:
        """How many pairs there are."""
        return f"{len(self.corpus.train):,} training pairs, {len(self.corpus.validation):,} for validation"

    @property
    def card(self) -> Card:
        """What the run folder's README says."""
        data = _data(self.config)
        return Card(
            title=f"{data.source_language} to {data.target_language}, {self.config.model.architecture}",
            kind="A translation model",
            usage='attento translate PATH-OF-THIS-FOLDER "a sentence"',
            validation=data.validation.name,
            corpora=tuple(f"`{corpus.name}` (weight {corpus.weight:g})" for corpus in data.train),
        )

    def warnings(self) -> Iterator[str]:
        """Yield how many pairs are longer than a step should be."""
        tokens, pairs = self.tokens_per_step, self.corpus.train
        # The longest source and the longest target may stand in different pairs.
        if sum(self.corpus.longest_train) + 2 > tokens and (longer := count_longer(pairs, tokens)):
            yield (
                f"{longer:,} of {len(pairs):,} training pairs have more tokens than `training.tokens_per_step` "
                f"({tokens:,}); each of them is a step of its own"
            )


class TranslationObjective(TokenObjective[EncoderDecoder, Batch]):
    """The summed loss of a batch's target tokens, under teacher forcing."""

    def features(self, batch: Batch) -> Hidden:
        """Run the model up to the vectors that predict each next target token."""
        memory = self.model.encode(batch.source, batch.source_mask)
        features, _ = self.model.features(batch.target_input, self.model.start(memory))
        return features

    def loss(self, features: Hidden, batch: Batch) -> torch.Tensor:
        """Compute the summed loss from the vectors of `features`."""
        return self.token_loss(features, batch.target_output, batch.target_mask)


@dataclass(frozen=True)
class ValidationText:
    """The validation set: as text, and as pairs of ids."""

    sources: Sequence[str]
    references: Sequence[str]
    pairs: Sequence[Pair]


class TranslationValidator(Validator):
    """Judges by the loss under teacher forcing and by BLEU; greedy search, so that it takes seconds."""

    def __init__(
        self, config: ValidationConfig, text: ValidationText, tokenizers: TokenizerPair, target_language: str
    ) -> None:
        """Prepare to judge.

        Raises:
            InputError: BLEU cannot be computed in the way asked for, or not against these references.
            MissingExtraError: BLEU's tokenizer needs a package that is not installed.
        """
        super().__init__()
        keep = slice(config.max_sentences)
        self._config = config
        self._text = ValidationText(text.sources[keep], text.references[keep], text.pairs[keep])
        self._tokenizers = tokenizers
        self._target_language = target_language
        if config.metric == "bleu":
            # What is wrong with the references or the settings shall show now, not at the first validation.
            self._bleu([""] * len(self._text.references))

    def judge(self, model: EncoderDecoder, device: torch.device, batch_tokens: int) -> ValidationResult:
        """Judge a model in evaluation mode, in batches of so many tokens."""
        loss = mean_loss(model, self._text.pairs, device, batch_tokens=batch_tokens)
        if self._config.metric != "bleu":
            return ValidationResult(loss)
        engine = TorchEngine(model, device=device, max_batch_tokens=batch_tokens)
        translator = Translator(self._tokenizers, engine, SearchConfig(beam_size=1))
        translations = [each.text for each in translator.translate(self._text.sources, split_sentences=False)]
        return ValidationResult(loss, {"bleu": self._bleu(translations)}, by="bleu")

    def _bleu(self, translations: Sequence[str]) -> float:
        return corpus_bleu(
            translations,
            self._text.references,
            tokenize=self._config.tokenize,
            lowercase=self._config.lowercase,
            target_language=self._target_language,
        ).value


def mean_loss(
    model: EncoderDecoder, pairs: Sequence[Pair], device: torch.device, *, batch_tokens: int = _BATCH_TOKENS
) -> float:
    """Compute the mean cross-entropy of a target token in nats, eos included, without label smoothing."""
    score = score_pairs(model, pairs, device, batch_tokens)
    return score.total_nats / score.tokens


def longest_batch(longest: tuple[int, int], rows: int) -> Batch:
    """Make a batch of so many of the longest pairs: pieces of the longest source and of the longest target."""
    source, target = (np.full(length, EOS_ID, dtype=np.int32) for length in longest)
    return make_batch([(source, target)] * rows)


def count_longer(pairs: PairSource, tokens: int) -> int:
    """Count the pairs that alone have more than so many tokens."""
    count = 0
    # Some at a time: a corpus may be larger than the memory.
    for start in range(0, len(pairs), POOL_PAIRS):
        source, target = pairs.lengths(start, min(start + POOL_PAIRS, len(pairs)))
        count += int((source + target + 2 > tokens).sum())
    return count


def _data(config: RecipeConfig) -> DataConfig:
    assert isinstance(config.data, DataConfig)
    return config.data


def _model(config: RecipeConfig) -> TranslationModelConfig:
    assert isinstance(config.model, TranslationModelConfig)
    return config.model
