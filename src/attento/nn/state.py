"""What a decoder remembers between steps, in the one form that every search can reorder.

A Transformer's key/value cache, an RNN's hidden state and a causal convolution's window are one thing to a search: rows
that can be picked, repeated and dropped. Knows no model.
"""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Protocol, TypeVar, cast, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor


@runtime_checkable
class DecoderState(Protocol):
    """Rows of decoder memory, one a hypothesis."""

    def select(self, indices: Int[Tensor, " N"]) -> "DecoderState":
        """Return a state whose row i is this state's row `indices[i]`; rows may repeat or be left out."""
        ...


StateT = TypeVar("StateT")


def expect_state(state: object, kind: type[StateT]) -> StateT:
    """Return a state when it is of the kind that a model decodes from.

    Raises:
        TypeError: it is another model's.
    """
    if not isinstance(state, kind):
        raise TypeError(
            f"a model that decodes from `{kind.__name__}` was given `{type(state).__name__}`; "
            "a state belongs to the model whose `start` made it"
        )
    return state


def select_rows(value: StateT, indices: Int[Tensor, " N"]) -> StateT:
    """Pick rows (axis 0) of every tensor inside a tensor, tuple or dataclass; everything else is kept as it is."""
    if isinstance(value, Tensor):
        return cast(StateT, value.index_select(0, indices))
    if isinstance(value, tuple):
        return cast(StateT, tuple(select_rows(item, indices) for item in value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: select_rows(getattr(value, f.name), indices) for f in fields(value)})
    return value


def bytes_of(value: object) -> int:
    """Count the bytes of every tensor inside a tensor, tuple or dataclass: what a state keeps in memory."""
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, tuple):
        return sum(map(bytes_of, value))
    if is_dataclass(value) and not isinstance(value, type):
        return sum(bytes_of(getattr(value, field.name)) for field in fields(value))
    return 0


@dataclass(frozen=True)
class KeyValues:
    """Projected keys and values of the positions seen so far, split into heads."""

    keys: Float[Tensor, "N G L K"]
    values: Float[Tensor, "N G L E"]

    @property
    def length(self) -> int:
        """How many positions there are."""
        return self.keys.size(2)

    def last(self, length: int) -> "KeyValues":
        """Return the last so many positions, or all if there are not as many."""
        start = max(0, self.length - length)
        return KeyValues(self.keys[:, :, start:], self.values[:, :, start:]) if start else self

    def append(self, later: "KeyValues") -> "KeyValues":
        """Return these positions followed by later ones."""
        return KeyValues(
            torch.cat((self.keys, later.keys), dim=2),
            torch.cat((self.values, later.values), dim=2),
        )
