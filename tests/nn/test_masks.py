import pytest
import torch

from attento.nn.masks import causal_mask, padding_mask, window_mask


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (5, 5), (1, 7), (3, 7), (2, 11), (7, 3)])
def test_causal_mask_lets_the_last_positions_look_back(queries: int, keys: int) -> None:
    """Query i stands at position keys - queries + i of the keys."""
    expected = [[position <= keys - queries + i for position in range(keys)] for i in range(queries)]
    assert causal_mask(queries, keys).tolist() == expected


def test_causal_mask_is_made_where_it_is_needed() -> None:
    assert causal_mask(3, 5, torch.device("meta")).device.type == "meta"


def test_padding_mask_says_the_same_to_every_head_and_query() -> None:
    real = torch.rand(3, 7) < 0.5
    mask = padding_mask(real)
    assert mask.shape == (3, 1, 1, 7)
    assert torch.equal(mask.expand(3, 2, 5, 7), real[:, None, None, :].repeat(1, 2, 5, 1))


@pytest.mark.parametrize("window", [1, 2, 3, 5, 13])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (5, 5), (1, 7), (3, 7), (2, 11), (7, 3)])
def test_causal_mask_with_a_window_lets_a_query_look_back_so_far(queries: int, keys: int, window: int) -> None:
    expected = [
        [0 <= (keys - queries + query) - position < window for position in range(keys)] for query in range(queries)
    ]
    assert causal_mask(queries, keys, window=window).tolist() == expected


@pytest.mark.parametrize("window", [1, 2, 3, 5, 7, 13])
@pytest.mark.parametrize("length", [1, 2, 7])
def test_window_mask_lets_a_query_look_so_far_to_either_side(length: int, window: int) -> None:
    expected = [[abs(query - position) < window for position in range(length)] for query in range(length)]
    assert window_mask(length, window).tolist() == expected


def test_a_window_is_made_where_it_is_needed() -> None:
    meta = torch.device("meta")
    assert causal_mask(3, 5, meta, window=2).device.type == window_mask(5, 2, meta).device.type == "meta"
