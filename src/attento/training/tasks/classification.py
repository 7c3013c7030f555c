"""Classification: sentences or pairs of them, a label for each, judged by how many are right."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from attento.data.labels.batching import LabelBatch, LabelBatches, label_batches, make_label_batch
from attento.data.labels.config import LabelDataConfig
from attento.data.labels.examples import Examples
from attento.data.labels.prepare import labels_fingerprint, prepare_labels
from attento.data.labels.prepared import PreparedLabels
from attento.errors import ConfigError
from attento.models.base import Classifier, Sentences
from attento.models.build import build_classifier
from attento.models.config import ClassifierModelConfig
from attento.run_folder import RunFolder
from attento.text.special import EOS_ID
from attento.text.tokenizer import save_joint
from attento.training.config import RecipeConfig
from attento.training.records.card import Card
from attento.training.tasks.base import Task, Tell, check_length
from attento.training.update.objective import Objective
from attento.training.validation import ValidationResult, Validator


class ClassificationTask(Task[PreparedLabels]):
    """Sentences, or pairs of them, to label."""

    @staticmethod
    def prepare(config: RecipeConfig, data_root: Path, output: Path, *, workers: int, tell: Tell) -> PreparedLabels:
        """Prepare the text into a folder, or open the folder when it already holds just that.

        Raises:
            DataError: the text cannot be prepared.
        """
        return prepare_labels(_data(config), data_root, output, progress=tell)

    @staticmethod
    def open(path: Path) -> PreparedLabels:
        """Open a prepared folder.

        Raises:
            DataError: it is not there, or cannot be used.
        """
        return PreparedLabels.open(path)

    @staticmethod
    def fingerprint(config: RecipeConfig, data_root: Path, prepared: Path, tell: Tell) -> str:
        """Return the fingerprint that the text has now.

        Raises:
            DataError: the text cannot be read.
        """
        return labels_fingerprint(_data(config), data_root)

    def build_model(self) -> Classifier:
        """Make the model with freshly drawn weights.

        Raises:
            ConfigError: settings do not fit the text.
        """
        corpus = self.corpus
        model = build_classifier(_model(self.config), corpus.tokenizer.vocab_size, len(corpus.labels))
        if model.num_sentences != corpus.num_sentences:
            raise ConfigError(
                f"`model.architecture: {self.config.model.architecture}` takes {_sentences(model.num_sentences)}, but "
                f"an example of this text has {_sentences(corpus.num_sentences)}; choose another architecture, or "
                "name the right columns in `data`"
            )
        for name, examples in (("training", corpus.train), ("validation", corpus.validation)):
            # With the eos that stands behind each.
            longest = int(examples.lengths.max()) + 1
            check_length(longest, model.max_length, f"a {name} sentence", "leave its example out")
        return model

    def batches(self) -> LabelBatches:
        """Return the batches to train on."""
        return LabelBatches(self.corpus.train, self.tokens_per_step, self.config.training.seed)

    def objective(self, model: nn.Module) -> "ClassificationObjective":
        """Return the summed loss of all labels."""
        assert isinstance(model, Classifier)
        return ClassificationObjective(model, self.config.training.label_smoothing)

    def validator(self) -> "ClassificationValidator":
        """Return what judges by loss and accuracy."""
        by = "accuracy" if self.config.training.validation.metric == "accuracy" else "loss"
        return ClassificationValidator(self.corpus.validation, by)

    def longest_batch(self, rows: int) -> LabelBatch:
        """Make a batch of so many examples of the longest sentences."""
        longest = self.corpus.train.lengths.max(axis=0).tolist()
        sentences = tuple(np.full(length, EOS_ID, dtype=np.int32) for length in longest)
        return make_label_batch([(0, sentences)] * rows)

    def save_text_side(self, folder: RunFolder) -> None:
        """Write the tokenizer and the names of the labels.

        Raises:
            OSError: they cannot be written.
        """
        save_joint(self.corpus.tokenizer, folder.path)
        folder.labels.write_text(json.dumps(self.corpus.labels, ensure_ascii=False) + "\n", encoding="utf-8")

    @property
    def size(self) -> str:
        """How many examples there are."""
        corpus = self.corpus
        return (
            f"{len(corpus.train):,} training examples of {len(corpus.labels)} labels, "
            f"{len(corpus.validation):,} for validation"
        )

    @property
    def card(self) -> Card:
        """What the run folder's README says."""
        data = _data(self.config)
        held_out = f"{data.validation_share:.0%} of the training text"
        return Card(
            title=f"{data.language}, {self.config.model.architecture}",
            kind="A sentence model",
            usage="attento evaluate PATH-OF-THIS-FOLDER --labelled FILE",
            validation=data.validation.name if data.validation else held_out,
            corpora=tuple(f"`{corpus.name}`" for corpus in data.train),
            unit="label",
        )


class ClassificationObjective(Objective[Classifier, LabelBatch]):
    """The summed label-smoothed cross-entropy of the labels, and what the model adds to it."""

    def __init__(self, model: Classifier, label_smoothing: float) -> None:
        super().__init__(model)
        self.label_smoothing = label_smoothing

    def features(self, batch: LabelBatch) -> tuple[Float[Tensor, "B C"], Float[Tensor, " B"]]:
        """Run the model up to logits and penalties."""
        return self.model.score(sentences_of(batch))

    def loss(self, features: tuple[Tensor, Tensor], batch: LabelBatch) -> Float[Tensor, ""]:
        """Compute the summed loss from logits and penalties."""
        logits, penalty = features
        losses = F.cross_entropy(logits.float(), batch.labels, label_smoothing=self.label_smoothing, reduction="sum")
        return losses + penalty.float().sum()


class ClassificationValidator(Validator):
    """Judges by the cross-entropy of the labels and by the share of examples whose likeliest label is right."""

    def __init__(self, examples: Examples, by: str) -> None:
        """Take examples, and whether "loss" or "accuracy" decides."""
        super().__init__()
        self._examples, self._by = examples, by

    @torch.inference_mode()
    def judge(self, model: Classifier, device: torch.device, batch_tokens: int) -> ValidationResult:
        """Judge a model in evaluation mode, in batches of so many tokens."""
        total, right = 0.0, 0
        for batch in label_batches(self._examples, batch_tokens):
            batch = batch.to(device)
            logits = model(sentences_of(batch)).float()
            total += F.cross_entropy(logits, batch.labels, reduction="sum").item()
            right += int((logits.argmax(dim=-1) == batch.labels).sum())
        count = len(self._examples)
        return ValidationResult(total / count, {"accuracy": right / count}, self._by)


def sentences_of(batch: LabelBatch) -> Sequence[Sentences]:
    """Return a batch's sentences as a model takes them."""
    return [Sentences(ids, mask) for ids, mask in batch.sentences]


def _sentences(number: int) -> str:
    return "one sentence" if number == 1 else f"{number} sentences"


def _data(config: RecipeConfig) -> LabelDataConfig:
    assert isinstance(config.data, LabelDataConfig)
    return config.data


def _model(config: RecipeConfig) -> ClassifierModelConfig:
    assert isinstance(config.model, ClassifierModelConfig)
    return config.model
