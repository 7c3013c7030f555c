"""Renumbering: the four specials first, everything else behind them, and no number of theirs predicted twice."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attento.interop.vocabulary import SILENCE, renumber

SIZE = 11
NUMBERS = st.integers(0, SIZE - 1)


@given(
    pad=st.none() | NUMBERS,
    unk=st.none() | NUMBERS,
    start=NUMBERS,
    eos=NUMBERS,
    spare=st.lists(NUMBERS, max_size=3),
    never=st.sets(NUMBERS, max_size=2),
)
def test_every_token_has_a_row_and_one_that_can_be_predicted(
    pad: int | None, unk: int | None, start: int, eos: int, spare: list[int], never: set[int]
) -> None:
    found = renumber(SIZE, pad=pad, unk=unk, start=start, eos=eos, spare=spare, never=never)
    assert found.order[:4] == (eos if pad is None else pad, eos if unk is None else unk, start, eos)
    rest = found.order[4 : len(found.order) - len(spare)]
    assert list(rest) == sorted(set(range(SIZE)) - set(found.order[:4]))
    assert list(found.order[len(found.order) - len(spare) :]) == spare
    assert found.size == SIZE
    predicted = Counter(number for row, number in enumerate(found.order) if row not in found.silent)
    assert predicted == Counter(set(range(SIZE)) - never)


def test_parts_that_one_token_plays() -> None:
    # Marian: padding is what decoding starts from. GPT-2: one token for begin and end, nothing for the others.
    assert renumber(5, pad=4, unk=1, start=4, eos=0).silent == {2}
    assert renumber(5, pad=None, unk=None, start=2, eos=2).silent == {0, 1, 2}
    assert renumber(5, pad=None, unk=None, start=2, eos=2).order == (2, 2, 2, 2, 0, 1, 3, 4)


def test_rows_items_and_silence() -> None:
    found = renumber(5, pad=4, unk=1, start=4, eos=0, spare=[1])
    assert found("abcde") == ["e", "b", "e", "a", "c", "d", "b"]
    table = torch.arange(15.0).view(5, 3)
    assert found.rows(table).tolist() == [table[i].tolist() for i in (4, 1, 4, 0, 2, 3, 1)]
    bias = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
    expected = torch.tensor([0.5, 0.2, SILENCE, 0.1, 0.3, 0.4, SILENCE])
    torch.testing.assert_close(found.output_bias(bias, torch.float32), expected)
    assert found.output_bias(None, torch.float64).tolist() == [0, 0, SILENCE, 0, 0, 0, SILENCE]


@pytest.mark.parametrize("rows", [4, 6])
def test_table_of_another_size_is_refused(rows: int) -> None:
    with pytest.raises(ValueError, match=f"^{rows} rows for a vocabulary of 5 tokens$"):
        renumber(5, pad=4, unk=1, start=4, eos=0).rows(torch.zeros(rows, 3))
