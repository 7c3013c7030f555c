"""The learning rate by the papers' formulas."""

import math
from itertools import pairwise

import pytest

from attento.training.config import ScheduleConfig
from attento.training.update.schedules import learning_rate

MAX_STEPS = 1009


def rate(name: str, step: int, *, peak: float = 0.7, warmup: int = 83, max_steps: int = MAX_STEPS) -> float:
    config = ScheduleConfig.model_validate({"name": name, "peak": peak, "warmup": warmup})
    return learning_rate(config, step, max_steps, d_model=512)


@pytest.mark.parametrize("step", [1, 2, 3999, 4000, 4001, 100_000])
def test_the_papers_equation(step: int) -> None:
    # Vaswani et al. 2017, eq. 3, with 1/sqrt(512) worked out.
    expected = 0.04419417382415922 * min(1 / math.sqrt(step), step / 4000**1.5)
    found = learning_rate(ScheduleConfig(name="paper", peak=1.0, warmup=4000), step, 100_000, 512)
    assert found == pytest.approx(expected, rel=1e-12)


def test_the_papers_highest_rate() -> None:
    # The number that the paper's settings come to: 7.0e-4 at step 4000 for the base model.
    rates = [learning_rate(ScheduleConfig(), step, 100_000, 512) for step in (3999, 4000, 4001)]
    assert max(rates) == rates[1] == pytest.approx(6.987712e-4, rel=1e-6)


@pytest.mark.parametrize("name", ["inverse_sqrt", "cosine"])
def test_warmup_is_a_straight_line_to_the_peak(name: str) -> None:
    for step in range(1, 84):
        assert rate(name, step) == pytest.approx(0.7 * step / 83, rel=1e-12)
    assert rate(name, 84) < rate(name, 83)


@pytest.mark.parametrize("name", ["paper", "inverse_sqrt", "cosine"])
def test_highest_at_the_end_of_warmup_and_no_leap_there(name: str) -> None:
    rates = [rate(name, step) for step in range(1, MAX_STEPS + 1)]
    assert max(rates) == rates[82]
    assert sorted(rates[:83]) == rates[:83]
    assert sorted(rates[82:], reverse=True) == rates[82:]
    largest_change = max(abs(a - b) for a, b in pairwise(rates))
    assert largest_change <= rates[82] / 83 * (1 + 1e-9)


def test_inverse_square_root_after_warmup() -> None:
    assert rate("inverse_sqrt", 4 * 83) == pytest.approx(0.35)
    assert rate("inverse_sqrt", 9 * 83) == pytest.approx(0.7 / 3)


def test_cosine_ends_at_nothing() -> None:
    assert rate("cosine", 83 + (MAX_STEPS - 83) // 2) == pytest.approx(0.35)
    assert rate("cosine", MAX_STEPS) == pytest.approx(0.0, abs=1e-15)
    assert rate("cosine", MAX_STEPS + 50) == pytest.approx(0.0, abs=1e-15)


def test_cosine_whose_warmup_is_the_whole_run() -> None:
    assert rate("cosine", 83, max_steps=83) == 0.7
    assert rate("cosine", 40, max_steps=40) == pytest.approx(0.7 * 40 / 83)


@pytest.mark.parametrize("name", ["paper", "inverse_sqrt", "cosine"])
def test_cooldown_takes_the_rate_down_in_a_straight_line(name: str) -> None:
    def cooled(step: int) -> float:
        config = ScheduleConfig.model_validate({"name": name, "peak": 0.7, "warmup": 83, "cooldown": 101})
        return learning_rate(config, step, MAX_STEPS, d_model=512)

    for step in (1, 83, 500, MAX_STEPS - 101, MAX_STEPS - 100):
        assert cooled(step) == rate(name, step)
    for left in range(101):
        expected = rate(name, MAX_STEPS - left) * (left + 1) / 101
        assert cooled(MAX_STEPS - left) == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert cooled(MAX_STEPS + 7) == 0
