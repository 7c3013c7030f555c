"""`attento train`: a whole tiny run, from text to a model that the other verbs take."""

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

from attento.cli.app import app
from attento.errors import ConfigError

SOURCES = [f"the {noun} number {n}" for n in range(17) for noun in ("cat", "sea", "dog")]
TARGETS = [f"le {noun} numéro {n}" for n in range(17) for noun in ("chat", "lac", "chien")]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    for name, lines in {"train.en": SOURCES, "train.fr": TARGETS, "dev.en": SOURCES[:5], "dev.fr": TARGETS[:5]}.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    settings = {
        "data": {
            "source_language": "en",
            "target_language": "fr",
            "train": [{"source": "train.en", "target": "train.fr"}],
            "validation": {"source": "dev.en", "target": "dev.fr"},
            "tokenizer": {"vocab_size": 311},
        },
        "model": {"encoder_layers": 1, "decoder_layers": 1, "d_model": 12, "num_heads": 3, "d_ff": 17},
        "search": {"max_extra_length": 3},
        "training": {
            "max_steps": 5,
            "tokens_per_step": 211,
            "validate_every": 2,
            "checkpoint_every": 2,
            "keep_last": 2,
        },
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)


def test_recipe_to_translation(recipe: Path) -> None:
    run = recipe.with_name("run")
    result = invoke("train", recipe, "--data", recipe.parent, "--output", run, "--set", "training.max_steps=3")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert yaml.safe_load((run / "config.yaml").read_text())["training"]["max_steps"] == 3
    translated = invoke("translate", run, "the cat number 3", "--json")
    assert json.loads(translated.stdout)["source"] == "the cat number 3"
    assert json.loads(invoke("info", run, "--json").stdout)["source_vocab_size"] == 311


def test_prepared_folder_stands_in_for_the_corpora(recipe: Path) -> None:
    prepared, run = recipe.with_name("prepared"), recipe.with_name("run")
    invoke("prepare", recipe, "--data", recipe.parent, "--output", prepared, "--workers", "1")
    result = invoke("train", recipe, "--data", recipe.with_name("elsewhere"), "--prepared", prepared, "--output", run)
    assert result.exit_code == 0, result.output
    assert (run / "tokenizer.model").read_bytes() == (prepared / "tokenizer.model").read_bytes()


def test_run_that_was_stopped_leaves_with_130(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attento.training.run.train", lambda *arguments: False)
    assert invoke("train", recipe, "--output", recipe.with_name("run")).exit_code == 130


def test_unknown_setting_is_answered_with_the_nearest(recipe: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.max_step`.*did you mean `max_steps`"):
        invoke("train", recipe, "--output", recipe.with_name("run"), "--set", "training.max_step=3")
    assert not recipe.with_name("run").exists()


def test_profile_tells_where_the_time_goes_and_writes_nothing(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attento.training.profile._MATRIX", {"cpu": 31})
    monkeypatch.setattr("attento.training.profile._LEAST_SECONDS", 0.0)
    run = recipe.with_name("run")
    settings = ("--set", "training.device=cpu", "--set", "training.precision=fp32")
    result = invoke("train", recipe, "--data", recipe.parent, "-o", run, "--profile", "--profile-steps", "3", *settings)
    assert result.exit_code == 0, result.output
    rows = [re.split(r"  +", line.strip()) for line in result.stdout.splitlines() if line.strip()]
    cells = {row[0]: row[1:] for row in rows}
    parts = ["data", "forward", "loss", "backward", "optimizer", "rest", "whole step"]
    assert list(cells)[: len(parts) + 1] == ["part of a step", *parts]
    milliseconds, shares = (
        [float(cells[part][place].replace(",", "").rstrip("%")) for part in parts] for place in (0, 1)
    )
    assert sum(milliseconds[:-1]) == pytest.approx(milliseconds[-1], abs=0.5)
    assert shares[-1] == 100.0
    assert sum(shares[:-1]) == pytest.approx(100.0, abs=0.5)
    assert cells["measured"] == [f"3 steps on cpu in float32, {torch.get_num_threads()} threads, after 3 others"]
    tokens, at_most = re.fullmatch(r"(\d+) of at most (\d+)", cells["tokens a step"][0]).groups()
    assert 0 < int(tokens) <= int(at_most) == 211
    for name, form in {
        "tokens a second": r"[\d,]+ \(source and target, no padding\)",
        "padding": r"\d+\.\d% of the places",
        "matrix products": r"[\d,.]+ GFLOP/s",
        "share of ceiling": r"[\d,.]+% of [\d,.]+ GFLOP/s, large products in torch",
    }.items():
        assert re.fullmatch(form, cells[name][0])
    assert "nothing was written" in result.stderr
    assert not run.exists()
