"""Sentence models with text on one side and names of labels on the other."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from attento.data.batches import inference_batches
from attento.data.labels.batching import make_label_batch
from attento.data.labels.examples import EncodedExample
from attento.device import choose_device
from attento.engines.loading import PartOfSettings, evaluating, load_weights, open_run
from attento.errors import ConfigError, InputError, RunFolderError
from attento.models.base import Classifier, Sentences
from attento.models.build import build_classifier
from attento.models.config import ClassifierModelConfig
from attento.run_folder import RunFolder
from attento.text.tokenizer import Tokenizer, load_joint


@dataclass(frozen=True)
class Label:
    """The likeliest label of an example, and how probable the model holds it, from 0 to 1."""

    name: str
    probability: float


class ClassificationEngine:
    """Labels sentences, or pairs of sentences, with one model.

    The model is moved to the device and used as it is at each call, without dropout; its training mode is restored.

    Args:
        model: the model.
        tokenizer: the one it was trained with.
        labels: the names of the classes, in their order.
        device: where to compute, as torch names it; None for a CUDA device if there is one, else the CPU.
        max_batch_tokens: rows times tokens of the longest example of one batch. It bounds memory and changes speed, not
            results.

    Raises:
        ConfigError: the device cannot be used, or `max_batch_tokens` is not positive.
    """

    def __init__(
        self,
        model: Classifier,
        tokenizer: Tokenizer,
        labels: Sequence[str],
        *,
        device: torch.device | str | None = None,
        max_batch_tokens: int = 4096,
    ) -> None:
        if max_batch_tokens < 1:
            raise ConfigError(f"`max_batch_tokens` must be at least 1, but got {max_batch_tokens}")
        assert len(labels) == model.num_classes
        self.device = choose_device("auto" if device is None else str(device))
        self.model = model.to(self.device)
        self.tokenizer = tokenizer
        self.labels = tuple(labels)
        self.max_batch_tokens = max_batch_tokens

    @classmethod
    def load(cls, run: Path, device: torch.device | str | None = None) -> "ClassificationEngine":
        """Load the trained model of a run folder.

        Raises:
            RunFolderError: the folder holds no finished sentence model, its labels or weights cannot be read, or they
                do not fit the model that its settings describe.
            ConfigError: the settings in the folder are wrong, or the device cannot be used.
            DataError: the tokenizer in the folder is missing or damaged.
        """
        folder, settings = open_run(run, "classification", _RunSettings)
        tokenizer, labels = load_joint(folder.path), read_labels(folder)
        model = build_classifier(settings.model, tokenizer.vocab_size, len(labels))
        load_weights(model, folder.weights)
        return cls(model, tokenizer, labels, device=device)

    def classify(self, examples: Sequence[Sequence[str]]) -> list[Label]:
        """Return for every example, in order, its likeliest label; of equally likely ones the first.

        Raises:
            InputError: an example has not as many sentences as the model takes, or one that is longer than the model
                can read or no Unicode text.
            RunFolderError: the model's scores are not numbers.
        """
        encoded = [self._encode(example, number) for number, example in enumerate(examples)]
        lengths = [sum(len(ids) + 1 for ids in sentences) for _, sentences in encoded]
        labels: list[Label | None] = [None] * len(encoded)
        with torch.inference_mode(), evaluating(self.model):
            for places in inference_batches(lengths, self.max_batch_tokens):
                found = self._classify([encoded[place] for place in places])
                for place, label in zip(places, found, strict=True):
                    labels[place] = label
        return [label for label in labels if label is not None]

    def _encode(self, example: Sequence[str], number: int) -> EncodedExample:
        wanted = self.model.num_sentences
        if isinstance(example, str) or len(example) != wanted:
            given = "a single string" if isinstance(example, str) else f"{len(example)} sentences"
            raise InputError(
                f"example {number} (counted from 0) is {given}, but the model takes a list of {wanted}: "
                + ("one sentence, not a pair" if wanted == 1 else "a pair of sentences")
            )
        rows = self.tokenizer.encode_batch(example)
        longest, limit = max(map(len, rows)) + 1, self.model.max_length
        if limit is not None and longest > limit:
            raise InputError(
                f"example {number} (counted from 0) has a sentence of {longest} tokens, its end counted, but the model "
                f"reads at most {limit}; shorten it, or train with a larger `model.max_positions`"
            )
        return 0, tuple(np.array(row, dtype=np.int32) for row in rows)

    def _classify(self, examples: Sequence[EncodedExample]) -> list[Label]:
        batch = make_label_batch(examples).to(self.device)
        logits = self.model([Sentences(ids, mask) for ids, mask in batch.sentences])
        probability, number = logits.float().softmax(dim=-1).max(dim=-1)
        if not probability.isfinite().all():
            raise RunFolderError("the model's scores are not numbers: its weights are damaged or its training diverged")
        found = zip(number.tolist(), probability.tolist(), strict=True)
        return [Label(self.labels[each], likely) for each, likely in found]


def read_labels(folder: RunFolder) -> list[str]:
    """Return the names of the labels of a run, in the order of the classes.

    Raises:
        RunFolderError: they are missing or damaged.
    """
    try:
        labels = json.loads(folder.labels.read_bytes())
    except (OSError, ValueError) as problem:
        raise RunFolderError(f"{folder.labels}: cannot be read ({problem}); copy the run folder again whole") from None
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise RunFolderError(f"{folder.labels}: must be a list of the names of the labels; copy the run folder again")
    return labels


class _RunSettings(PartOfSettings):
    model: ClassifierModelConfig = Field(discriminator="architecture")
