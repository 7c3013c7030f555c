"""`attento train`: a whole tiny run, from text to a model that the other verbs take."""

import json
from pathlib import Path

import pytest
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
