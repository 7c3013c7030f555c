import math

import pytest
import torch

from attento.nn.dropout import Dropout, random_mask

PROBABILITIES = [0.1, 0.3, 0.5, 0.9]
MANY = 1_000_003  # prime, so no multiple of the four that share a random number


def standard_deviations(count: int, trials: int, probability: float) -> float:
    """How far a count is from what a binomial distribution expects."""
    return abs(count - trials * probability) / math.sqrt(trials * probability * (1 - probability))


@pytest.mark.parametrize("p", PROBABILITIES)
def test_drops_with_the_probability_rounded_to_15_bits(p: float) -> None:
    dropout = Dropout(p)
    assert dropout.dropped == round(p * 32768)
    dropped = int((dropout(torch.ones(MANY)) == 0).sum())
    assert standard_deviations(dropped, MANY, dropout.dropped / 32768) < 4


@pytest.mark.parametrize("lane", range(4))
def test_each_quarter_of_a_random_number_is_as_good(lane: int) -> None:
    kept = random_mask(torch.Size([MANY]), round(0.3 * 32768))[lane::4]
    assert standard_deviations(int((kept == 0).sum()), len(kept), 0.3) < 4


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 8])
def test_neighbours_are_dropped_independently(distance: int) -> None:
    dropped = random_mask(torch.Size([MANY]), round(0.3 * 32768)) == 0
    both = int((dropped[distance:] & dropped[:-distance]).sum())
    assert standard_deviations(both, MANY - distance, 0.09) < 4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("p", PROBABILITIES)
def test_what_is_kept_is_divided_by_the_rounded_probability_of_keeping(p: float, dtype: torch.dtype) -> None:
    hidden = torch.randn(3, 5, 7, dtype=dtype)
    output = Dropout(p)(hidden)
    kept = output != 0
    scale = 32768 / (32768 - round(p * 32768))
    torch.testing.assert_close(output, torch.where(kept, hidden * scale, 0.0), rtol=1e-6, atol=0)
    assert output.dtype == dtype
    assert 0 < kept.sum() < hidden.numel()


def test_the_gradient_is_the_mask() -> None:
    hidden = torch.ones(3, 5, 7, requires_grad=True)
    output = Dropout(0.3)(hidden)
    output.sum().backward()
    assert torch.equal(hidden.grad, output)
    assert set((output != 0).flatten().tolist()) == {True, False}


def test_does_nothing_in_evaluation_or_at_probability_zero() -> None:
    hidden = torch.randn(3, 5, 7)
    assert Dropout(0.9).eval()(hidden) is hidden
    assert Dropout(0.0).train()(hidden) is hidden


def test_is_drawn_anew_each_time_and_again_from_the_same_seed() -> None:
    dropout, hidden = Dropout(0.5), torch.ones(11, 13)
    torch.manual_seed(5)
    first, second = dropout(hidden), dropout(hidden)
    assert not torch.equal(first, second)
    torch.manual_seed(5)
    assert torch.equal(dropout(hidden), first)


@pytest.mark.parametrize("shape", [(0,), (1,), (3,), (4,), (2, 0, 3), (3, 5, 7)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    assert Dropout(0.5)(torch.ones(shape)).shape == shape


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, 1 - 2**-17])
def test_keeping_nothing_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="`dropout` must be at least 0 and less than"):
        Dropout(p)
