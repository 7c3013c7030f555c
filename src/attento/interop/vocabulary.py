"""A foreign vocabulary in the house's order: padding, unknown, begin and end stand at 0 to 3, all others follow.

A model knows its tokens by number alone, so that renumbering them, in the tokenizer and in every matrix of token
vectors, changes nothing that it computes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

ItemT = TypeVar("ItemT")

SILENCE = -1e4
"""What a logit gets that must never take any probability."""


@dataclass(frozen=True)
class Renumbering:
    """Which of their rows each of ours is a copy of, and which of ours must never be predicted."""

    order: tuple[int, ...]
    silent: frozenset[int]

    @property
    def size(self) -> int:
        """How many tokens they have: each of theirs has a row of ours at least."""
        return max(self.order) + 1

    def __call__(self, items: Sequence[ItemT]) -> list[ItemT]:
        """Return their items in our order."""
        return [items[row] for row in self.order]

    def rows(self, table: Float[Tensor, "V ..."]) -> Float[Tensor, "N ..."]:
        """Return the rows of a table, one a token of theirs, in our order.

        Raises:
            ValueError: the table has not as many rows as there are tokens.
        """
        if table.size(0) != self.size:
            raise ValueError(f"{table.size(0):,} rows for a vocabulary of {self.size:,} tokens")
        return table[list(self.order)]

    def output_bias(self, theirs: Float[Tensor, " V"] | None, dtype: torch.dtype) -> Float[Tensor, " N"]:
        """Return the number that is added to each token's logit; silence where nothing may be predicted."""
        bias = torch.zeros(len(self.order), dtype=dtype) if theirs is None else self.rows(theirs).clone()
        bias[sorted(self.silent)] = SILENCE
        return bias


def renumber(
    size: int,
    *,
    pad: int | None,
    unk: int | None,
    start: int,
    eos: int,
    spare: Sequence[int] = (),
    never: Collection[int] = (),
) -> Renumbering:
    """Put the specials at 0 to 3 and everything else behind them, in its order.

    A number that plays two parts (Marian starts from its padding, GPT-2 has one token for begin and end) is a row for
    each; a part that nothing plays is a copy of the end. Only one row of each number can be predicted: the first of
    end, padding, unknown and begin that it is. All other copies are silent.

    Args:
        size: how many tokens they have.
        pad: their number of padding, if they have it.
        unk: their number of unknown text, if they have it.
        start: what decoding starts from.
        eos: what ends a sentence.
        spare: numbers of theirs to copy once more, behind everything else, silently.
        never: numbers of theirs that must not be predicted either.
    """
    order = [eos if pad is None else pad, eos if unk is None else unk, start, eos]
    owner: dict[int, int] = {}
    for place in (3, 0, 1, 2):
        owner.setdefault(order[place], place)
    silent = {place for place in range(4) if owner[order[place]] != place}
    order += [number for number in range(size) if number not in owner]
    silent |= {place for place, number in enumerate(order) if number in never}
    silent |= set(range(len(order), len(order) + len(spare)))
    return Renumbering((*order, *spare), frozenset(silent))
