"""Masked language modelling: running text, a model that tells the tokens hidden in it, judged by its loss.

Devlin et al. 2019, "BERT" (arXiv:1810.04805), section 3.1, task 1: no second sentence, as in Liu et al. 2019, "RoBERTa"
(arXiv:1907.11692), section 4.2.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from attento.data.masked.batching import ENDS, MaskedBatch, MaskedWindows, make_masked_batch, masked_evaluation_windows
from attento.data.masked.config import MaskedDataConfig
from attento.data.masked.hiding import Hiding
from attento.data.stream.batching import evaluation_generators
from attento.engines.masked import hiding_of
from attento.engines.scoring import score_hidden
from attento.errors import ConfigError
from attento.models.base import MaskedLanguageModel, Sentences
from attento.models.build import build_masked_model
from attento.models.config import MaskedModelConfig
from attento.shapes import Hidden
from attento.text.special import EOS_ID
from attento.training.config import RecipeConfig
from attento.training.records.card import Card
from attento.training.tasks.base import check_length
from attento.training.tasks.stream import StreamTask
from attento.training.update.objective import TokenObjective
from attento.training.validation import ValidationResult, Validator, perplexity


class MaskedTask(StreamTask):
    """A running text to complete where it is hidden."""

    settings = MaskedDataConfig

    def build_model(self) -> MaskedLanguageModel:
        """Make the model with freshly drawn weights.

        Raises:
            ConfigError: settings do not fit the text or the task.
        """
        config = _model(self.config)
        _refuse_what_is_not_trained(config)
        model = build_masked_model(config, self.corpus.tokenizer.vocab_size)
        # With bos and eos.
        longest = _data(self.config).context + ENDS
        check_length(longest, model.max_length, "a training window", "lower `data.context`")
        return model

    def batches(self) -> MaskedWindows:
        """Return the batches to train on."""
        seed = self.config.training.seed
        return MaskedWindows(self.corpus.train, _data(self.config).context, self.tokens_per_step, seed, self._hiding)

    def objective(self, model: nn.Module) -> "MaskedObjective":
        """Return the summed loss of hidden tokens."""
        assert isinstance(model, MaskedLanguageModel)
        training = self.config.training
        return MaskedObjective(model, training.label_smoothing, training.loss_chunk_tokens)

    def validator(self) -> "MaskedValidator":
        """Return what judges by loss and accuracy."""
        by = "accuracy" if self.config.training.validation.metric == "accuracy" else "loss"
        return MaskedValidator(self.corpus.validation, _data(self.config).context, self._hiding, by)

    def longest_batch(self, rows: int) -> MaskedBatch:
        """Make a batch of so many full windows."""
        windows = [np.full(_data(self.config).context, EOS_ID, dtype=np.int32)] * rows
        return make_masked_batch(windows, self._hiding, evaluation_generators(range(rows)))

    @property
    def _hiding(self) -> Hiding:
        return hiding_of(self.corpus.tokenizer, _data(self.config).mask_share, self.corpus.path)

    @property
    def card(self) -> Card:
        """What the run folder's README says."""
        usage = "attento evaluate PATH-OF-THIS-FOLDER --text FILE"
        return self.describe("A masked language model", usage, unit="hidden token")


class MaskedObjective(TokenObjective[MaskedLanguageModel, MaskedBatch]):
    """The summed loss of the hidden tokens of some windows; what stays as it is but was chosen counts too."""

    def features(self, batch: MaskedBatch) -> Hidden:
        """Run the model up to the vectors that tell the token at each place."""
        return self.model.features(Sentences(batch.ids, batch.mask))

    def loss(self, features: Hidden, batch: MaskedBatch) -> torch.Tensor:
        """Compute the summed loss from the vectors of `features`."""
        return self.token_loss(features, batch.whole, batch.hidden)


class MaskedValidator(Validator):
    """Judges by the mean loss of hidden tokens, always the same ones, and by the share that is told right."""

    def __init__(self, ids: NDArray[np.int32], context: int, hiding: Hiding, by: str) -> None:
        """Take a text as ids, behind bos, how to hide its tokens, and whether "loss" or "accuracy" decides."""
        super().__init__()
        self._ids, self._context, self._hiding, self._by = ids, context, hiding, by

    def judge(self, model: MaskedLanguageModel, device: torch.device, batch_tokens: int) -> ValidationResult:
        """Judge a model in evaluation mode, in batches of so many tokens."""
        windows = masked_evaluation_windows(self._ids, self._context, batch_tokens, self._hiding)
        score = score_hidden(model, windows, device)
        loss = score.total_nats / score.tokens
        return ValidationResult(
            loss, {"perplexity": perplexity(loss), "accuracy": score.right / score.tokens}, self._by
        )


def _refuse_what_is_not_trained(config: MaskedModelConfig) -> None:
    # Imported models may have all of it; here it would be left as it was drawn.
    problems = []
    if not config.head:
        problems.append("`model.head: false` leaves out the layers that tell hidden tokens; set it to true")
    if config.segments > 1:
        problems.append("`model.segments: 2` is for pairs of sentences, but a window has no second; set it to 1")
    if config.pooling == "tanh":
        problems.append("`model.pooling: tanh` is a layer that hidden tokens do not train; set it to mean or first")
    if problems:
        raise ConfigError("\n  ".join(problems))


def _data(config: RecipeConfig) -> MaskedDataConfig:
    assert isinstance(config.data, MaskedDataConfig)
    return config.data


def _model(config: RecipeConfig) -> MaskedModelConfig:
    assert isinstance(config.model, MaskedModelConfig)
    return config.model
