"""Labelled sentences as ids, in memory or mapped from the disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from attento.data.labels.corpora import Example
from attento.data.record import open_array, save_array
from attento.errors import DataError
from attento.text.tokenizer import Tokenizer

EncodedExample: TypeAlias = tuple[int, tuple[NDArray[np.int32], ...]]
"""The number of the label, and the piece ids of the sentences (no eos)."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Many examples: the ids of all their sentences one behind the other, and where each of them ends."""

    ids: NDArray[np.int32]
    ends: NDArray[np.int64]
    """Of shape (examples, sentences in an example)."""
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_sentences(self) -> int:
        """How many sentences stand in one example."""
        return int(self.ends.shape[1])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of pieces of each sentence, eos not counted; of shape (examples, sentences in an example)."""
        return np.diff(self.ends.ravel(), prepend=0).reshape(self.ends.shape)

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> list[EncodedExample]:
        """Return some examples, in the order asked for."""
        ends = self.ends.ravel()
        taken = []
        for index in indices:
            first = index * self.num_sentences
            bounds = [int(ends[place]) if place >= 0 else 0 for place in range(first - 1, first + self.num_sentences)]
            sentences = tuple(self.ids[start:stop] for start, stop in pairwise(bounds))
            taken.append((int(self.labels[index]), sentences))
        return taken

    def save(self, folder: Path, name: str) -> None:
        """Write three files whose names begin with `name`."""
        for part, values in (("ids", self.ids), ("ends", self.ends), ("labels", self.labels)):
            save_array(folder / f"{name}.{part}.npy", values)

    @classmethod
    def open(cls, folder: Path, name: str) -> "Examples":
        """Open what `save` has written; the values stay on the disk.

        Raises:
            DataError: a file is missing or damaged.
        """
        return cls(
            ids=open_array(folder / f"{name}.ids.npy", np.int32),
            ends=open_array(folder / f"{name}.ends.npy", np.int64, dimensions=2),
            labels=open_array(folder / f"{name}.labels.npy", np.int64),
        )


def encode_examples(examples: Sequence[Example], tokenizer: Tokenizer, labels: Sequence[str], origin: str) -> Examples:
    """Turn texts into ids, and labels into their numbers.

    Args:
        examples: At least one; all of equally many sentences.
        tokenizer: What makes pieces of sentences.
        labels: The names of the labels in the order of their numbers.
        origin: What messages call the examples.

    Raises:
        DataError: an example has a label that is not among `labels`.
    """
    numbers = {label: number for number, label in enumerate(labels)}
    unknown = sorted({example.label for example in examples} - numbers.keys())
    if unknown:
        raise DataError(
            f"{origin}: the label `{unknown[0]}` is not among those of the training examples ({', '.join(labels)})"
        )
    rows = tokenizer.encode_batch([sentence for example in examples for sentence in example.sentences])
    ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
    return Examples(
        ids=np.fromiter((i for row in rows for i in row), np.int32, int(ends[-1])),
        ends=ends.reshape(len(examples), -1),
        labels=np.array([numbers[example.label] for example in examples], np.int64),
    )
