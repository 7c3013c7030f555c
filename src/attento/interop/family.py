"""What a kind of foreign model must say of itself, so that one road imports them all, and another takes ours out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from attento.engines.task import Task
from attento.interop.foreign_config import ForeignConfig
from attento.interop.vocabulary import Renumbering
from attento.text.tokenizer import TokenizerPair

Change = Callable[[Tensor], Tensor]


def unchanged(tensor: Tensor) -> Tensor:
    """Return a weight as it is."""
    return tensor


@dataclass(frozen=True)
class Weight:
    """A weight of ours, the weight of theirs that it is, and how one is made of the other.

    Several of ours may be parts of one of theirs. `write` is for the families that ours can be exported as.

    Attributes:
        ours: its name in our model.
        theirs: its name in their files.
        read: makes ours of theirs; a ValueError, IndexError or RuntimeError says that the shape is wrong.
        write: makes theirs of ours.
        copies: other names under which their files may have it instead, or once more, since it is tied.
        optional: whether their files may leave it out; it is zeros then.
    """

    ours: str
    theirs: str
    read: Change = unchanged
    write: Change = unchanged
    copies: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class ForeignVocabulary:
    """Their tokens in our numbering, and the tokenizers that yield them (one, twice, where there is one text)."""

    renumbering: Renumbering
    tokenizers: TokenizerPair


class Family(ABC):
    """A kind of foreign model, named as `model_type` in Hugging Face's `config.json`."""

    model_type: str
    task: Task
    prefix: str = ""
    """What the names of weights begin with that files of a model without its head leave out."""

    @abstractmethod
    def settings(self, config: ForeignConfig) -> dict[str, Any]:
        """Return the settings of our model: a recipe's `model`, output bias as their files have it.

        Features that ours lacks are told to `config`, which lists them all at once.
        """

    @abstractmethod
    def vocabulary(self, folder: Path, config: ForeignConfig) -> ForeignVocabulary:
        """Read the tokenizer.

        Raises:
            DataError: it is missing, damaged, or does not go with the model's vocabulary.
        """

    @abstractmethod
    def weights(self, model: Mapping[str, Any], renumbering: Renumbering) -> Sequence[Weight]:
        """Return where each weight of ours comes from, but for `output_bias`'s silence.

        Args:
            model: what `settings` returned.
            renumbering: how token rows are ordered.
        """

    @abstractmethod
    def ignores(self, name: str) -> bool:
        """Tell whether a weight of theirs says nothing: a copy of a tied one, or a table that is computed."""
