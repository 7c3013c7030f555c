"""A whole run: text in, run folder out, and the same folder however often it was cut off."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor
from training_runs import run

from attento.data.pairs.prepare import prepare
from attento.data.pairs.prepared import PreparedCorpus
from attento.engines.torch import TorchEngine
from attento.errors import ConfigError, RunFolderError
from attento.models.base import EncoderDecoder
from attento.run_folder import RunFolder
from attento.training import run as run_module
from attento.training.build import build_trainer
from attento.training.loop import Trainer
from attento.training.parallel.alone import Alone
from attento.training.records.averaging import average_weights
from attento.training.run import load_recipe
from attento.training.validation import ValidationResult, Validator

TIMES = ("train/source_tokens_per_second", "train/target_tokens_per_second")

# The command line, with steps slow enough to be hit between two checkpoints.
CHILD = """
import sys, time
from attento.cli.app import main
from attento.training.build import build_trainer
from attento.training.loop import Trainer
from attento.training.parallel.alone import Alone

step = Trainer.step

def slow_step(*arguments):
    time.sleep(0.02)
    step(*arguments)

Trainer.step = slow_step
sys.argv = ["attento", *sys.argv[1:]]
main()
"""


def records(output: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in RunFolder(output).metrics.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def content(output: Path) -> dict[str, Any]:
    """Everything in a run folder that must not depend on whether the run was cut off."""
    found: dict[str, Any] = {"metrics": records(output)}
    for path in sorted(output.rglob("*")):
        name = str(path.relative_to(output))
        if path.name == "progress.json":
            progress = json.loads(path.read_bytes())
            del progress["progress"]["seconds"], progress["progress"]["meter"]["seconds"]
            found[name] = progress
        elif path.name == "prepared.json":
            # The files' times are left out where a file is younger than a clock can tell.
            found[name] = json.loads(path.read_bytes()) | {"files": None}
        elif path.is_file() and path.name not in ("metrics.jsonl", "manifest.json") and "tensorboard" not in name:
            found[name] = path.read_bytes()
    return found


def assert_same_runs(found: Path, expected: Path) -> None:
    ours, theirs = content(found), content(expected)
    assert ours.keys() == theirs.keys()
    assert [name for name in theirs if ours[name] != theirs[name]] == []


@pytest.fixture(scope="module")
def whole(recipe: Path) -> Path:
    """The run that was never cut off."""
    output = recipe.parent / "whole"
    assert run(recipe, output)[0]
    return output


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def start(recipe: Path, tmp_path: Path) -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Start training in a process of its own, and come back when its first checkpoint is there."""
    children = []

    def begin(output: Path) -> subprocess.Popen[str]:
        source = str(Path(run_module.__file__).parents[2])
        arguments = ["train", str(recipe), "--data", str(recipe.parent), "--output", str(output)]
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, *arguments],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": source},
        )
        children.append(child)
        while not list(output.glob("checkpoints/step-*")):
            assert child.poll() is None, child.communicate()
            time.sleep(0.01)
        return child

    yield begin
    for child in children:
        child.kill()
        child.communicate()


def test_killed_and_run_again_is_bit_for_bit_the_same(
    recipe: Path, whole: Path, tmp_path: Path, start: Callable[[Path], subprocess.Popen[str]]
) -> None:
    output = tmp_path / "run"
    child = start(output)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (output / "checkpoints" / "step-00000042").exists()
    finished, said = run(recipe, output)
    assert finished
    assert any(line.startswith("going on from step ") for line in said)
    assert_same_runs(output, whole)


def test_ctrl_c_saves_and_the_same_command_ends_the_same(
    recipe: Path, whole: Path, tmp_path: Path, start: Callable[[Path], subprocess.Popen[str]]
) -> None:
    output = tmp_path / "run"
    child = start(output)
    child.send_signal(signal.SIGINT)
    stdout, stderr = child.communicate()
    assert child.returncode == 130
    assert stdout == ""
    assert "stopping once this step" in stderr
    assert "Traceback" not in stderr
    newest = sorted((output / "checkpoints").glob("step-*"))[-1]
    step = int(newest.name.removeprefix("step-"))
    assert f"stopped at step {step}, saved; the same command goes on from there" in stderr
    assert f"going on from step {step}" in run(recipe, output)[1]
    assert_same_runs(output, whole)


def test_a_broken_newest_checkpoint_is_told_and_made_again(recipe: Path, whole: Path, copy: Path) -> None:
    weights = copy / "checkpoints" / "step-00000042" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    (copy / "model.safetensors").unlink()
    _, said = run(recipe, copy)
    assert any("step-00000042 is damaged" in line for line in said)
    assert "going on from step 40" in said
    assert_same_runs(copy, whole)


def test_a_finished_run_is_left_as_it_is(recipe: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(copy)
    monkeypatch.setattr(Validator, "validate", None)
    finished, said = run(recipe, copy)
    assert finished
    assert said[-1].endswith("is finished (step 42); raise `training.max_steps` to train it further")
    assert content(copy) == before


def test_cut_off_while_it_finished_it_finishes_again(recipe: Path, whole: Path, copy: Path) -> None:
    record = copy / "metrics.jsonl"
    record.write_text("".join(record.read_text().splitlines(keepends=True)[:-1]))
    (copy / "README.md").unlink()
    assert run(recipe, copy)[0]
    assert_same_runs(copy, whole)


def test_more_steps_take_a_finished_run_further(recipe: Path, copy: Path, tmp_path: Path) -> None:
    longer = tmp_path / "longer"
    assert run(recipe, longer, "training.max_steps=47")[0]
    finished, said = run(recipe, copy, "training.max_steps=47")
    assert finished
    assert "going on from step 42" in said
    for name in ("training.safetensors", "model.safetensors"):
        ours, theirs = (load_file(each / "checkpoints" / "step-00000047" / name) for each in (copy, longer))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert yaml.safe_load((copy / "config.yaml").read_text())["training"]["max_steps"] == 47


def test_what_is_in_the_folder(recipe: Path, whole: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    assert names == {
        "README.md",
        "checkpoints",
        "config.yaml",
        "metrics.jsonl",
        "model.safetensors",
        "prepared",
        "tensorboard",
        "tokenizer.model",
    }
    steps = {
        name: [record["step"] for record in records(whole) if name in record]
        for name in (
            "train/loss",
            "validation/loss",
            "final/loss",
        )
    }
    assert steps == {
        "train/loss": [5, 10, 15, 20, 25, 30, 35, 40, 42],
        "validation/loss": [6, 12, 18, 24, 30, 36, 42],
        "final/loss": [42],
    }
    assert [path.name for path in sorted((whole / "checkpoints").glob("step-*"))] == [
        "step-00000036",
        "step-00000040",
        "step-00000042",
    ]
    saved = load_recipe(whole / "config.yaml", recipe.parent).config
    assert saved == load_recipe(recipe, recipe.parent).config
    card = (whole / "README.md").read_text()
    assert "42 updates" in card
    assert f"{records(whole)[-1]['final/loss']:.4f}" in card


def finish_with(
    copy: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch, losses: dict[str, float]
) -> dict[str, dict[str, Tensor]]:
    """Finish a run whose single best weights and average have the losses given; return both."""
    record = copy / "metrics.jsonl"
    record.write_text("".join(record.read_text().splitlines(keepends=True)[:-1]))
    checkpoints = sorted((copy / "checkpoints").glob("step-*/model.safetensors"))
    models = {"best": load_file(copy / "checkpoints" / "best.safetensors"), "average": average_weights(checkpoints)}

    def judge(self: Validator, model: EncoderDecoder, device: torch.device) -> ValidationResult:
        name = next(
            name
            for name, weights in models.items()
            if all(torch.equal(tensor, weights[key]) for key, tensor in model.state_dict().items())
        )
        return ValidationResult(losses[name])

    monkeypatch.setattr(Validator, "validate", judge)
    assert run(recipe, copy)[0]
    return models


@pytest.mark.parametrize(
    ("best", "average", "kept"),
    [(2.0, 1.5, "average"), (1.5, 2.0, "best"), (2.0, 2.0, "best"), (2.0, float("nan"), "best")],
)
def test_the_average_is_kept_only_where_it_is_better(
    copy: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch, best: float, average: float, kept: str
) -> None:
    losses = {"best": best, "average": average}
    models = finish_with(copy, recipe, monkeypatch, losses)
    found = load_file(copy / "model.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in models[kept].items())
    assert records(copy)[-1] == {"step": 42, "final/loss": losses[kept]}
    assert f"| loss, nats a target token | {losses[kept]:.4f} |" in (copy / "README.md").read_text()


def test_final_weights_score_what_the_record_says(recipe: Path, whole: Path, copy: Path) -> None:
    engine = TorchEngine.load(whole, device="cpu")
    config = load_recipe(recipe, recipe.parent).config
    corpus = PreparedCorpus.open(RunFolder(copy).prepared)
    trainer = build_trainer(config, corpus, RunFolder(copy), Alone(config.training), Trainer)
    result = trainer.validator.validate(engine.model, torch.device("cpu"))
    assert records(whole)[-1]["final/loss"] == result.loss


@pytest.mark.parametrize(
    ("override", "setting"),
    [
        ("model.d_ff=31", r"`model\.d_ff` is 29 there and 31 here"),
        ("data.tokenizer.vocab_size=20", r"`data\.tokenizer\.vocab_size` is 21 there and 20 here"),
        ("data.train=[{pairs: a.tsv}]", r"`data\.train\.0\.source`"),
        ("training.seed=5", r"`training\.seed` is 1 there and 5 here"),
        ("training.tokens_per_step=98", r"`training\.tokens_per_step`"),
        ("training.validation.metric=bleu", r"`training\.validation\.metric` is 'loss' there and 'bleu' here"),
    ],
)
def test_a_run_of_other_settings_is_refused(copy: Path, recipe: Path, override: str, setting: str) -> None:
    before = content(copy)
    with pytest.raises(ConfigError, match=setting):
        run(recipe, copy, override)
    assert content(copy) == before


def test_other_text_is_refused_and_nothing_is_touched(copy: Path, recipe: Path, tmp_path: Path) -> None:
    before = content(copy)
    other = tmp_path / "other"
    shutil.copytree(recipe.parent, other, ignore=shutil.ignore_patterns("whole"))
    with (other / "train.source").open("a") as source, (other / "train.target").open("a") as target:
        source.write("b a d\n")
        target.write("d a b\n")
    with pytest.raises(RunFolderError, match="was trained on other text"):
        run(other / "recipe.yaml", copy, "training.max_steps=50")
    assert content(copy) == before
    # The same where the run's own prepared text is gone.
    shutil.rmtree(copy / "prepared")
    with pytest.raises(RunFolderError, match="was trained on other text"):
        run(other / "recipe.yaml", copy, "training.max_steps=50")
    assert (copy / "config.yaml").read_bytes() == before["config.yaml"]
    assert (copy / "tokenizer.model").read_bytes() == before["tokenizer.model"]


def test_cut_off_while_it_prepared_it_begins_again(recipe: Path, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole / "prepared", tmp_path / "prepared")
    (tmp_path / ".prepared.partial-elsewhere-1").mkdir()
    (tmp_path / ".prepared.partial-elsewhere-1" / "tokenizer.model").write_bytes(b"half")
    assert run(recipe, tmp_path, "training.max_steps=1")[0]


def test_a_finished_model_without_checkpoints_is_not_trained_over(recipe: Path, copy: Path) -> None:
    shutil.rmtree(copy / "checkpoints")
    weights = (copy / "model.safetensors").read_bytes()
    with pytest.raises(RunFolderError, match="holds a finished model, but no checkpoint"):
        run(recipe, copy)
    assert (copy / "model.safetensors").read_bytes() == weights


def test_a_prepared_folder_brings_its_own_settings(recipe: Path, whole: Path, tmp_path: Path) -> None:
    prepared, output = tmp_path / "prepared", tmp_path / "run"
    prepare(load_recipe(recipe, recipe.parent).config.data, recipe.parent, prepared)
    changed = yaml.safe_load(recipe.read_text())
    changed["data"]["tokenizer"]["vocab_size"] = 99
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(changed))
    assert run(tmp_path / "recipe.yaml", output, prepared=prepared)[0]
    assert not (output / "prepared").exists()
    assert load_recipe(output / "config.yaml", recipe.parent).config.data.tokenizer.vocab_size == 21
    assert (output / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=r"--set data\.tokenizer\.vocab_size=20: .*prepared already"):
        run(recipe, output, "data.tokenizer.vocab_size=20", prepared=prepared)
