"""A comparison's recipe: what each system gets, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from attento.comparison.recipe import load_comparison
from attento.errors import ConfigError


def test_each_system_has_its_own_settings_before_the_common_ones(
    tmp_path: Path, write_comparison: Callable[..., Path]
) -> None:
    comparison = load_comparison(write_comparison(tmp_path, "systems.wide.search.beam_size=3"), tmp_path)
    wide, narrow = comparison.systems["wide"], comparison.systems["narrow"]
    assert (wide.model.d_model, narrow.model.d_model) == (16, 12)
    assert (wide.training.schedule.peak, narrow.training.schedule.peak) == (0.01, 0.02)
    # What a system does not say itself it has from all, inside of a group too.
    assert narrow.training.schedule.warmup == 7
    assert (wide.search.beam_size, narrow.search.beam_size, wide.search.max_extra_length) == (3, 2, 3)
    assert wide.data == narrow.data


@pytest.mark.parametrize(
    ("budget", "steps", "minutes"),
    [("{updates: 77}", 77, None), ("{minutes: 1.5}", 100_000, 1.5), ("{parameters: 5000}", 100_000, None)],
)
def test_the_budget_says_how_long(
    tmp_path: Path, write_comparison: Callable[..., Path], budget: str, steps: int, minutes: float | None
) -> None:
    comparison = load_comparison(write_comparison(tmp_path, f"budget={budget}"), tmp_path)
    for system in comparison.systems.values():
        assert (system.training.max_steps, system.training.max_minutes) == (steps, minutes)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("budget={}", r"exactly one of `updates`, `minutes` and `parameters`; none is given"),
        ("budget={updates: 3, minutes: 1}", r"exactly one .* there are `updates` and `minutes`"),
        ("budget={update: 3}", r"unknown setting `budget.update` \(did you mean `updates`\?\)"),
        ("training.max_steps=3", r"`training.max_steps` is what `budget.updates` says"),
        ("systems.wide.training.max_steps=3", r"`systems.wide.training.max_steps` is what `budget.updates` says"),
        ("systems={}", r"`systems`"),
        ("systems.wide.modell={}", r"unknown setting `systems.wide.modell` \(did you mean `model`\?\)"),
        ("systems.a b={model: {}}", r"systems"),
        (
            "systems.wide.model.d_modell=3",
            r"systems.wide: unknown setting `model.d_modell` \(did you mean `d_model`\?\)",
        ),
        ("systems.wide.model.architecture=transfomer", r"systems.wide: .*transfomer"),
        ("systems.narrow.training.schedule.peek=3", r"systems.narrow: unknown setting `training.schedule.peek`"),
        ("data.tran=3", r"systems.wide: .*`data.tran`"),
        ("measure.table={lengths: [3]}", r"`measure.table.lengths`"),
        ("measure.recall={distance: [3]}", r"`measure.recall.distance` \(did you mean `distances`\?\)"),
    ],
)
def test_wrong_settings_are_named(
    tmp_path: Path, write_comparison: Callable[..., Path], override: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        load_comparison(write_comparison(tmp_path, override), tmp_path)


def test_overrides_reach_a_system(tmp_path: Path, write_comparison: Callable[..., Path]) -> None:
    comparison = load_comparison(write_comparison(tmp_path), tmp_path, ["systems.narrow.model.d_ff=31"])
    assert comparison.systems["narrow"].model.d_ff == 31


@pytest.mark.parametrize("task", ["masked_language_modeling", "denoising"])
def test_tasks_that_are_not_compared_are_told(tmp_path: Path, write_comparison: Callable[..., Path], task: str) -> None:
    text = f"{{task: {task}, language: en, train: [{{text: a}}], validation: {{text: b}}}}"
    model = "{architecture: encoder_only}" if task == "masked_language_modeling" else "{d_model: 8}"
    systems = f"{{one: {{model: {model}}}}}"
    path = write_comparison(tmp_path, f"data={text}", f"systems={systems}", "search={}", "training={}")
    with pytest.raises(ConfigError, match=rf"`data\.task: {task}` is for `attento train` alone; .*classification$"):
        load_comparison(path, tmp_path)


def test_only_some_systems(tmp_path: Path, write_comparison: Callable[..., Path]) -> None:
    comparison = load_comparison(write_comparison(tmp_path), tmp_path)
    assert list(comparison.only(["narrow"]).systems) == ["narrow"]
    # In the order of the recipe, whatever that of the names.
    assert list(comparison.only(["narrow", "wide"]).systems) == list(comparison.only([]).systems) == ["wide", "narrow"]
    with pytest.raises(ConfigError, match=r"--only narow: there is no such system \(did you mean `narrow`\?\)"):
        comparison.only(["wide", "narow"])
