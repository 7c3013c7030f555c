import math

import pytest
import torch
from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding

from attento.nn.positions import LearnedPositions, NoPositions, SinusoidalPositions, add_positions, sinusoidal_table


@pytest.mark.parametrize("d_model", [2, 7, 22])
@pytest.mark.parametrize("start", [0, 13, 100_003])
def test_sinusoids_are_the_printed_formula(start: int, d_model: int) -> None:
    table = sinusoidal_table(11, d_model, start)
    assert table.dtype == torch.float32
    assert table.shape == (11, d_model)
    for row in range(11):
        for column in range(d_model):
            angle = (start + row) / 10000 ** (2 * (column // 2) / d_model)
            wave = math.sin(angle) if column % 2 == 0 else math.cos(angle)
            assert table[row, column].item() == pytest.approx(wave, abs=1e-7)


@pytest.mark.parametrize("d_model", [2, 7, 22])
def test_sines_before_cosines_are_marians(d_model: int) -> None:
    theirs = MarianSinusoidalPositionalEmbedding(211, d_model).create_weight()
    torch.testing.assert_close(sinusoidal_table(211, d_model, layout="halves"), theirs, rtol=0, atol=1e-7)


@pytest.mark.parametrize("d_model", [2, 7, 22])
def test_the_two_layouts_are_one_up_to_the_order_of_the_features(d_model: int) -> None:
    table = sinusoidal_table(11, d_model, start=13)
    halves = torch.cat((table[:, 0::2], table[:, 1::2]), dim=1)
    assert torch.equal(sinusoidal_table(11, d_model, 13, "halves"), halves)


@pytest.mark.parametrize("layout", ["interleaved", "halves"])
@pytest.mark.parametrize(("start", "length"), [(0, 5), (3, 2), (0, 6), (4, 7), (23, 1)])
def test_sinusoidal_positions_end_nowhere(start: int, length: int, layout: str) -> None:
    """What was computed beforehand and what is computed on the way are one table."""
    positions = SinusoidalPositions(d_model=14, precomputed=5, layout=layout)
    assert positions.max_length is None
    assert torch.equal(positions(start, length), sinusoidal_table(31, 14, layout=layout)[start : start + length])


def test_sinusoidal_positions_have_nothing_to_save_or_train() -> None:
    positions = SinusoidalPositions(d_model=14)
    assert positions.state_dict() == {}
    assert list(positions.parameters()) == []


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_sinusoidal_positions_follow_the_model_beyond_the_table(dtype: torch.dtype) -> None:
    positions = SinusoidalPositions(d_model=14, precomputed=5).to(dtype)
    assert positions(0, 3).dtype == positions(3, 7).dtype == dtype


def test_learned_positions_are_rows_of_their_matrix() -> None:
    positions = LearnedPositions(d_model=5, max_length=11)
    assert torch.equal(positions(3, 7), positions.weight[3:10])
    assert torch.equal(positions(0, 11), positions.weight)
    positions(3, 7).sum().backward()
    assert positions.weight.grad.sum(1).tolist() == [0] * 3 + [5] * 7 + [0]


@pytest.mark.parametrize(("start", "length", "position"), [(0, 12, 11), (11, 1, 11), (7, 6, 12)])
def test_learned_positions_end(start: int, length: int, position: int) -> None:
    with pytest.raises(IndexError, match=f"position {position} is beyond the 11 positions"):
        LearnedPositions(d_model=5, max_length=11)(start, length)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_no_positions_change_nothing_at_any_length(dtype: torch.dtype) -> None:
    positions, tokens = NoPositions(d_model=5), torch.randn(2, 1009, 5, dtype=dtype)
    assert positions.max_length is None
    assert positions.state_dict() == {}
    assert torch.equal(add_positions(tokens, positions(7, 1009)), tokens)
    assert add_positions(tokens, positions(7, 1009)).dtype == dtype
