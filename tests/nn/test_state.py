from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from attento.nn.state import DecoderState, KeyValues, bytes_of, expect_state, select_rows

N, H, L, K, E = 5, 2, 3, 7, 11


@dataclass(frozen=True)
class Window:
    tokens: Tensor
    layers: tuple[KeyValues | None, ...]
    length: int

    def select(self, indices: Tensor) -> "Window":
        return select_rows(self, indices)


def draw_keys_values(length: int) -> KeyValues:
    return KeyValues(torch.randn(N, H, length, K), torch.randn(N, H, length, E))


@pytest.mark.parametrize("indices", [[4, 0, 0, 2], [3], [], [0, 1, 2, 3, 4, 4, 4]])
def test_select_picks_rows_however_deep_they_lie(indices: list[int]) -> None:
    window = Window(torch.randn(N, 13), (draw_keys_values(L), None), length=17)
    picked = window.select(torch.tensor(indices, dtype=torch.long))
    assert picked.tokens.tolist() == [window.tokens[i].tolist() for i in indices]
    keys_values, nothing = picked.layers
    assert keys_values.keys.tolist() == [window.layers[0].keys[i].tolist() for i in indices]
    assert keys_values.values.tolist() == [window.layers[0].values[i].tolist() for i in indices]
    assert (nothing, picked.length) == (None, 17)
    assert isinstance(picked, DecoderState)


def test_select_leaves_the_state_as_it_was() -> None:
    """A search may go on from the same state twice."""
    keys_values = draw_keys_values(L)
    before = keys_values.keys.clone()
    select_rows(keys_values, torch.tensor([1, 1])).keys.zero_()
    assert torch.equal(keys_values.keys, before)


def test_append_puts_later_positions_behind() -> None:
    early, late = draw_keys_values(3), draw_keys_values(2)
    both = early.append(late)
    assert torch.equal(both.keys[:, :, :3], early.keys)
    assert torch.equal(both.keys[:, :, 3:], late.keys)
    assert torch.equal(both.values[:, :, :3], early.values)
    assert torch.equal(both.values[:, :, 3:], late.values)


def test_a_state_of_the_kind_expected_is_handed_back_and_another_named() -> None:
    window = Window(torch.randn(N, 13), (), length=17)
    assert expect_state(window, Window) is window
    with pytest.raises(TypeError, match="decodes from `Window` was given `KeyValues`; a state belongs to the model"):
        expect_state(draw_keys_values(L), Window)


@pytest.mark.parametrize(("asked", "kept"), [(0, 0), (1, 1), (2, 2), (L, L), (17, L)])
def test_last_keeps_the_latest_positions_and_no_more_than_there_are(asked: int, kept: int) -> None:
    whole = draw_keys_values(L)
    last = whole.last(asked)
    assert last.length == kept
    assert last.keys.tolist() == whole.keys[:, :, L - kept :].tolist()
    assert last.values.tolist() == whole.values[:, :, L - kept :].tolist()
    assert (last.keys.shape, last.values.shape) == ((N, H, kept, K), (N, H, kept, E))
    assert last.append(whole).length == kept + L


def test_bytes_are_those_of_every_tensor_however_deep_it_lies() -> None:
    tokens = torch.zeros(N, 13, dtype=torch.bool)
    window = Window(tokens, (draw_keys_values(L), None, draw_keys_values(17).last(2)), length=17)
    assert bytes_of(window) == N * 13 + 4 * N * H * (L + 2) * (K + E)
    assert bytes_of(None) == 0
