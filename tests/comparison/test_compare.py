"""Whole comparisons of tiny systems: trained, measured, reported, interrupted, gone on with."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from attento.comparison.compare import Outcome, compare
from attento.comparison.ladder import count_parameters, prepare_once
from attento.comparison.recipe import load_comparison
from attento.comparison.results import Quantity, Report
from attento.errors import ConfigError, RunFolderError, TrainingError
from attento.evaluation.metrics import corpus_bleu
from attento.training import run as training
from attento.training.loop import Trainer
from attento.translator import Translator

MEASURED = (
    "measure.quality={resamples: 31, length_edges: [3, 5]}",
    "measure.cost={sentences: 5, repeats: 2, memory_steps: 1}",
    "measure.table={lengths: [3, 7], path_lengths: [2, 5], rows: 2, repeats: 2}",
    "measure.recall={distances: [1, 5], updates: 3, test_examples: 29, size: {d_model: 12, num_heads: 2, d_ff: 13}}",
)
WriteComparison = Callable[..., Path]


def go(recipe: Path, *only: str, output: str = "out", overrides: tuple[str, ...] = ()) -> tuple[Outcome, list[str]]:
    said: list[str] = []
    comparison = load_comparison(recipe, recipe.parent, overrides)
    return compare(comparison, list(only), recipe.parent / output, "attento compare ...", said.append), said


def report_of(outcome: Outcome) -> Report:
    assert outcome.report is not None
    return Report.model_validate_json(outcome.report.with_suffix(".json").read_bytes())


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, write_comparison: WriteComparison) -> tuple[Path, Report]:
    """A comparison with all measurements, of which each is small."""
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        # It takes a process that begins from nothing.
        patch.setattr("attento.comparison.measure.peak_memory", lambda *arguments: Quantity(value=12345.0))
        outcome, _ = go(write_comparison(folder, *MEASURED))
    assert outcome.failed == {}
    return folder, report_of(outcome)


def test_all_is_measured_of_all_systems(measured: tuple[Path, Report]) -> None:
    folder, report = measured
    assert [system.name for system in report.systems] == ["wide", "narrow"]
    for system in report.systems:
        assert system.missing == {}
        assert system.architecture == "transformer" and system.updates == 8
        assert system.quality.keys() == {"bleu", "chrf", "nats", "perplexity"}
        assert sum(bucket.sentences for bucket in system.by_length) == 13
        assert system.cost.keys() == {
            "training_tokens_per_second",
            "sentences_translated_per_second",
            "peak_memory",
            "state_per_target_token",
            "state_per_source_token",
        }
        assert system.cost["sentences_translated_per_second"].runs == 2
        assert system.cost["peak_memory"].value == 12345
        assert system.table is not None and system.table.paths["source to target"].lengths == (2, 5)
        assert [point.distance for point in system.recall] == [1, 5]
        assert [point.step for point in system.curve] == [4, 8]
    assert report.recipe["measure"]["recall"]["updates"] == 3
    assert {"command", "date", "torch", "cores"} <= report.facts.keys()
    for form in ("report.md", "report.html"):
        text = (folder / "out" / form).read_text(encoding="utf-8")
        assert f"{report.systems[0].parameters:,}" in text


def test_quality_is_what_the_other_verbs_find(measured: tuple[Path, Report]) -> None:
    folder, report = measured
    sources, references = ((folder / f"test.{side}").read_text().splitlines() for side in ("source", "target"))
    for system in report.systems:
        translator = Translator.load(folder / "out" / "runs" / system.name, device="cpu")
        found = [each.text for each in translator.translate(sources, split_sentences=False)]
        bleu = corpus_bleu(found, references, target_language="fr")
        assert system.quality["bleu"].value == pytest.approx(bleu.value)
        assert system.quality["bleu"].note == bleu.signature


def test_what_is_done_is_not_done_again(measured: tuple[Path, Report], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, report = measured
    monkeypatch.setattr(Trainer, "step", lambda *arguments: pytest.fail("a step was done again"))
    outcome, said = go(folder / "comparison.yaml")
    assert report_of(outcome).systems == report.systems
    assert not any("measuring" in line for line in said)


def test_changed_measurements_are_made_anew_without_training(
    tmp_path: Path, write_comparison: WriteComparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_comparison(tmp_path)
    go(recipe, "wide")
    monkeypatch.setattr(Trainer, "step", lambda *arguments: pytest.fail("a step was done again"))
    outcome, _ = go(recipe, "wide", overrides=("measure.table={lengths: [2, 5], path_lengths: [2, 3], repeats: 1}",))
    (system,) = report_of(outcome).systems
    assert system.table is not None and system.table.seconds.lengths == (2, 5)


def test_only_trains_some_and_reports_all_that_is_known(tmp_path: Path, write_comparison: WriteComparison) -> None:
    recipe = write_comparison(tmp_path)
    first, _ = go(recipe, "narrow")
    assert [system.name for system in report_of(first).systems] == ["narrow"]
    assert not (tmp_path / "out" / "runs" / "wide").exists()
    second, _ = go(recipe, "wide")
    assert [system.name for system in report_of(second).systems] == ["wide", "narrow"]


def test_an_interrupted_comparison_goes_on_and_ends_as_if_never_interrupted(
    tmp_path: Path, write_comparison: WriteComparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_comparison(tmp_path)
    step, steps = Trainer.step, []

    def interrupted(self: Trainer, *arguments: Any) -> None:
        step(self, *arguments)
        steps.append(self.state.step)
        # In the second system, after three updates.
        if len(steps) == 8 + 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Trainer, "step", interrupted)
    outcome, _ = go(recipe)
    assert outcome == Outcome(None, {})
    assert not (tmp_path / "out" / "report.md").exists()
    outcome, _ = go(recipe)
    # Nothing twice: eight updates a system in all.
    assert len(steps) == 16
    whole, _ = go(recipe, output="whole")
    for again, straight in zip(report_of(outcome).systems, report_of(whole).systems, strict=True):
        assert [point.loss for point in again.curve] == [point.loss for point in straight.curve]


def test_a_system_that_fails_does_not_stop_the_others(
    tmp_path: Path, write_comparison: WriteComparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_comparison(tmp_path)
    step = Trainer.step

    def failing(self: Trainer, *arguments: Any) -> None:
        if self.d_model == 16:
            raise TrainingError("the weights went astray")
        step(self, *arguments)

    monkeypatch.setattr(Trainer, "step", failing)
    outcome, said = go(recipe)
    assert outcome.failed == {"wide": "the weights went astray"}
    assert "wide: failed: the weights went astray" in said
    report = report_of(outcome)
    assert [system.name for system in report.systems] == ["narrow"]
    assert report.failed == outcome.failed
    assert "| wide | training | the weights went astray |" in (tmp_path / "out" / "report.md").read_text()


def test_a_measurement_that_cannot_be_made_is_told_and_the_others_are_made(
    tmp_path: Path, write_comparison: WriteComparison
) -> None:
    # One length alone is short enough for so few positions.
    shape = "positions: learned, max_positions: 9, encoder_layers: 1, decoder_layers: 1, d_model: 8, num_heads: 2"
    table = "measure.table={lengths: [5, 11], path_lengths: [2, 3], repeats: 1}"
    outcome, _ = go(write_comparison(tmp_path, f"systems.wide.model={{{shape}, d_ff: 7}}", table))
    wide, narrow = report_of(outcome).systems
    assert wide.table is None and wide.missing == {"table": "it takes fewer than two of the lengths"}
    assert narrow.table is not None and narrow.missing == {}


def test_the_budget_of_parameters_is_checked_before_anything_is_trained(
    tmp_path: Path, write_comparison: WriteComparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_comparison(tmp_path)
    comparison = load_comparison(recipe, tmp_path)
    corpus = prepare_once(comparison, tmp_path / "text", lambda message: None)
    sizes = {name: count_parameters(config, corpus) for name, config in comparison.systems.items()}
    assert sizes["wide"] > 1.3 * sizes["narrow"]
    monkeypatch.setattr("attento.comparison.ladder.train", lambda *arguments: pytest.fail("something was trained"))
    for budget, told in (
        (sizes["narrow"], f"`systems.wide` has {sizes['wide']:,} parameters"),
        (sizes["wide"], "narrow"),
    ):
        with pytest.raises(ConfigError, match=told) as raised:
            go(recipe, overrides=(f"budget={{parameters: {budget}}}",))
        assert str(raised.value).count("`systems.") == 1
    # A tenth more or less is near enough.
    with pytest.raises(pytest.fail.Exception, match="something was trained"):
        go(recipe, "wide", overrides=(f"budget={{parameters: {round(sizes['wide'] / 1.09)}}}",))


def test_all_that_does_not_fit_the_text_is_told_at_once(tmp_path: Path, write_comparison: WriteComparison) -> None:
    short = [f"systems.{name}.model={{positions: learned, max_positions: 3}}" for name in ("wide", "narrow")]
    with pytest.raises(ConfigError, match=r"(?s)`systems.wide`: .*`systems.narrow`: .*reads at most 3"):
        go(write_comparison(tmp_path, *short))


def test_a_test_set_is_asked_for_where_it_is_needed(tmp_path: Path, write_comparison: WriteComparison) -> None:
    with pytest.raises(ConfigError, match=r"need `data.test`"):
        go(write_comparison(tmp_path, "data.test=null", MEASURED[0]))
    assert not (tmp_path / "out").exists()
    outcome, _ = go(write_comparison(tmp_path, "data.test=null"), "narrow")
    assert outcome.report is not None


def test_a_folder_of_something_else_is_refused(tmp_path: Path, write_comparison: WriteComparison) -> None:
    recipe = write_comparison(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(RunFolderError, match="holds no comparison"):
        go(recipe)
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_the_run_folders_are_those_of_training(measured: tuple[Path, Report]) -> None:
    folder, _ = measured
    said: list[str] = []
    recipe = yaml.safe_load((folder / "out" / "runs" / "wide" / "config.yaml").read_text())
    assert recipe["training"]["max_steps"] == 8
    path = folder / "alone.yaml"
    path.write_text(yaml.safe_dump(recipe))
    alone = training.load_recipe(path, folder)
    assert training.train(alone, folder / "alone", said.append)
    from safetensors.torch import load_file

    compared, trained = (load_file(folder / place / "model.safetensors") for place in ("out/runs/wide", "alone"))
    assert compared.keys() == trained.keys()
    assert all(torch.equal(compared[name], trained[name]) for name in compared)
