"""Denoising: running text, a model that reads it with spans cut out and writes the spans, judged by its loss.

Raffel et al. 2020, "Exploring the limits of transfer learning with a unified text-to-text Transformer"
(arXiv:1910.10683), section 3.1.4.
"""

from collections.abc import Sequence

import torch
from torch import nn

from attento.data.denoising.batching import DenoisingWindows, evaluation_pairs
from attento.data.denoising.config import DenoisingDataConfig
from attento.data.pairs.batching import Batch, Pair
from attento.engines.denoising import sentinels_of
from attento.engines.scoring import score_pairs
from attento.models.base import EncoderDecoder
from attento.models.build import build_translation_model
from attento.models.config import TranslationModelConfig
from attento.training.config import RecipeConfig
from attento.training.records.card import Card
from attento.training.tasks.base import check_length
from attento.training.tasks.stream import StreamTask
from attento.training.tasks.translation import TranslationObjective, longest_batch
from attento.training.validation import ValidationResult, Validator, perplexity


class DenoisingTask(StreamTask):
    """A running text whose missing spans are to be written."""

    settings = DenoisingDataConfig

    def build_model(self) -> EncoderDecoder:
        """Make the model with freshly drawn weights.

        Raises:
            ConfigError: settings do not fit the text.
        """
        size = self.corpus.tokenizer.vocab_size
        model = build_translation_model(_model(self.config), size, size)
        data = _data(self.config)
        source, target = data.noise.lengths(data.context)
        # With the eos or bos that the model reads besides.
        check_length(source + 1, model.max_source_length, "the source of a window", "lower `data.context`")
        check_length(target + 1, model.max_target_length, "the target of a window", "lower `data.context`")
        return model

    def batches(self) -> DenoisingWindows:
        """Return the batches to train on."""
        data, seed = _data(self.config), self.config.training.seed
        return DenoisingWindows(
            self.corpus.train, data.context, self.tokens_per_step, seed, noise=data.noise, sentinels=self._sentinels
        )

    def objective(self, model: nn.Module) -> TranslationObjective:
        """Return the summed loss of target tokens."""
        assert isinstance(model, EncoderDecoder)
        training = self.config.training
        return TranslationObjective(model, training.label_smoothing, training.loss_chunk_tokens)

    def validator(self) -> "DenoisingValidator":
        """Return what judges by loss and accuracy."""
        data = _data(self.config)
        by = "accuracy" if self.config.training.validation.metric == "accuracy" else "loss"
        pairs = evaluation_pairs(self.corpus.validation, data.context, data.noise, self._sentinels)
        return DenoisingValidator(pairs, by)

    def longest_batch(self, rows: int) -> Batch:
        """Make a batch of so many full windows."""
        data = _data(self.config)
        return longest_batch(data.noise.lengths(data.context), rows)

    @property
    def _sentinels(self) -> Sequence[int]:
        return sentinels_of(self.corpus.tokenizer, len(_data(self.config).special_pieces), self.corpus.path)

    @property
    def card(self) -> Card:
        """What the run folder's README says."""
        return self.describe("A denoising model", "attento evaluate PATH-OF-THIS-FOLDER --text FILE")


class DenoisingValidator(Validator):
    """Judges by the mean loss of target tokens, eos included, and by the share that is told right; always the same."""

    def __init__(self, pairs: Sequence[Pair], by: str) -> None:
        """Take sources and targets, and whether "loss" or "accuracy" decides."""
        super().__init__()
        self._pairs, self._by = pairs, by

    def judge(self, model: EncoderDecoder, device: torch.device, batch_tokens: int) -> ValidationResult:
        """Judge a model in evaluation mode, in batches of so many tokens."""
        score = score_pairs(model, self._pairs, device, batch_tokens)
        loss = score.total_nats / score.tokens
        return ValidationResult(
            loss, {"perplexity": perplexity(loss), "accuracy": score.right / score.tokens}, self._by
        )


def _data(config: RecipeConfig) -> DenoisingDataConfig:
    assert isinstance(config.data, DenoisingDataConfig)
    return config.data


def _model(config: RecipeConfig) -> TranslationModelConfig:
    assert isinstance(config.model, TranslationModelConfig)
    return config.model
