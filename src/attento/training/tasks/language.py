"""Language modelling: one running text, a model that predicts each next token, judged by its loss."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from attento.data.stream.batching import TextBatch, TextWindows, evaluation_windows
from attento.data.stream.config import TextDataConfig
from attento.models.base import LanguageModel, NeuralLanguageModel
from attento.models.build import build_language_model
from attento.models.config import LanguageModelConfig
from attento.models.language.ngram import NGramModel
from attento.shapes import Hidden
from attento.text.special import EOS_ID
from attento.training.config import RecipeConfig
from attento.training.records.card import Card
from attento.training.tasks.base import check_length
from attento.training.tasks.stream import StreamTask
from attento.training.update.loss import smoothed_cross_entropy_over_all_classes
from attento.training.update.objective import TokenObjective
from attento.training.validation import ValidationResult, Validator, perplexity


class LanguageTask(StreamTask):
    """A running text to continue."""

    settings = TextDataConfig

    def build_model(self) -> LanguageModel:
        """Make the model with freshly drawn weights.

        Raises:
            ConfigError: settings do not fit the text.
        """
        model = build_language_model(_model(self.config), self.corpus.tokenizer.vocab_size)
        check_length(_data(self.config).context, model.max_length, "a training window", "lower `data.context`")
        return model

    def count(self) -> NGramModel:
        """Make a model of n-grams and let it count the training text."""
        model = self.build_model()
        assert isinstance(model, NGramModel)
        model.fit(self.corpus.train)
        return model

    def batches(self) -> TextWindows:
        """Return the batches to train on."""
        context, seed = _data(self.config).context, self.config.training.seed
        return TextWindows(self.corpus.train, context, self.tokens_per_step, seed)

    def objective(self, model: nn.Module) -> "LanguageObjective":
        """Return the summed loss of all tokens."""
        assert isinstance(model, NeuralLanguageModel)
        training = self.config.training
        return LanguageObjective(model, training.label_smoothing, training.loss_chunk_tokens)

    def validator(self) -> "LanguageValidator":
        """Return what judges by the loss of the validation text."""
        corpus = self.corpus
        return LanguageValidator(corpus.validation, _data(self.config).context, corpus.validation_characters)

    def longest_batch(self, rows: int) -> TextBatch:
        """Make a batch of so many full windows."""
        context = _data(self.config).context
        ids = np.full(rows * context + 1, EOS_ID, dtype=np.int32)
        (batch,) = evaluation_windows(ids, context, rows * context)
        return batch

    @property
    def card(self) -> Card:
        """What the run folder's README says."""
        return self.describe("A language model", 'attento generate PATH-OF-THIS-FOLDER "the beginning of a text"')


class LanguageObjective(TokenObjective[NeuralLanguageModel, TextBatch]):
    """The summed loss of all tokens of some windows, each of which begins afresh."""

    def features(self, batch: TextBatch) -> Hidden:
        """Run the model up to the vectors that predict each next token."""
        features, _ = self.model.features(batch.input, self.model.start(batch.num_rows))
        return features

    def loss(self, features: Hidden, batch: TextBatch) -> torch.Tensor:
        """Compute the summed loss from the vectors of `features`."""
        return self.token_loss(features, batch.output, batch.mask)


class LanguageValidator(Validator):
    """Judges by the mean loss of a text's tokens, each predicted once, in windows that begin afresh."""

    def __init__(self, ids: NDArray[np.int32], context: int, characters: int) -> None:
        """Take a text as ids, behind bos, and how many characters they spell."""
        super().__init__()
        self._ids, self._context, self._characters = ids, context, characters

    @torch.inference_mode()
    def judge(self, model: LanguageModel, device: torch.device, batch_tokens: int) -> ValidationResult:
        """Judge a model in evaluation mode, in batches of so many tokens."""
        total, tokens = 0.0, 0
        for batch in evaluation_windows(self._ids, self._context, batch_tokens):
            batch = batch.to(device)
            logits, _ = model.decode(batch.input, model.start(batch.num_rows))
            losses = smoothed_cross_entropy_over_all_classes(logits[batch.mask], batch.output[batch.mask], 0.0)
            total += losses.double().sum().item()
            tokens += batch.num_target_tokens
        bits = total / np.log(2) / self._characters
        return ValidationResult(
            total / tokens, {"perplexity": perplexity(total / tokens), "bits_per_character": float(bits)}
        )


def _data(config: RecipeConfig) -> TextDataConfig:
    assert isinstance(config.data, TextDataConfig)
    return config.data


def _model(config: RecipeConfig) -> LanguageModelConfig:
    assert isinstance(config.model, LanguageModelConfig)
    return config.model
