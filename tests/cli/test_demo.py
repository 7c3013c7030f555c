"""`attento demo`: the whole road on a little text and three steps; what it learns is the full demo's to show."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from attento import Translator
from attento.cli import demo as demo_module
from attento.cli.app import app
from attento.cli.demo import SHOWN
from attento.errors import InputError
from attento.training import run as run_module
from attento.training.config import RecipeConfig
from attento.training.run import Recipe

SIZES = {"train": 307, "validation": 11, "test": 61}
TINY = {
    "data.tokenizer.vocab_size": 211,
    "model.encoder_layers": 1,
    "model.decoder_layers": 1,
    "model.d_model": 12,
    "model.d_ff": 17,
    "search.beam_size": 2,
    "search.max_extra_length": 3,
    "training.max_steps": 3,
    "training.schedule.warmup": 2,
    "training.tokens_per_step": 401,
}


def invoke(folder: Path) -> Result:
    return CliRunner().invoke(app, ["demo", "--output", str(folder)], catch_exceptions=False)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A folder that the demo has filled, and what it said."""
    folder = tmp_path_factory.mktemp("demo") / "made"
    load_recipe = run_module.load_recipe

    def load_tiny(path: Path, data_root: Path, overrides: Sequence[str] = ()) -> Recipe:
        return load_recipe(path, data_root, [*overrides, *(f"{name}={value}" for name, value in TINY.items())])

    with pytest.MonkeyPatch.context() as patch:
        for name, size in SIZES.items():
            patch.setattr(demo_module, name.upper(), size)
        patch.setattr(run_module, "load_recipe", load_tiny)
        return folder, invoke(folder)


@pytest.fixture
def text(done: tuple[Path, Result]) -> dict[str, list[str]]:
    """The lines of every text file of the demo."""
    files = (done[0] / "text").glob("*.??")
    return {path.name: path.read_bytes().decode().removesuffix("\n").split("\n") for path in files}


def test_text_is_aligned_and_of_the_sizes_asked_for(text: dict[str, list[str]]) -> None:
    assert {name: len(lines) for name, lines in text.items()} == {
        f"{part}.{language}": size for part, size in SIZES.items() for language in ("en", "fr")
    }


def test_nothing_that_is_shown_or_scored_is_trained_on(text: dict[str, list[str]]) -> None:
    train, validation, test = (text[f"{part}.en"] for part in ("train", "validation", "test"))
    together = [*SHOWN, *train, *validation, *test]
    assert len(set(together)) == len(together)
    assert not set(SHOWN.values()) & set(text["train.fr"])


def test_recipe_is_copied_and_is_a_recipe(done: tuple[Path, Result], project: Path) -> None:
    recipe = done[0] / "text" / "recipe.yaml"
    assert recipe.read_bytes() == (project / "src/attento/cli/demo.yaml").read_bytes()
    settings = RecipeConfig.model_validate(yaml.safe_load(recipe.read_text()))
    assert {settings.data.train[0].source, settings.data.validation.source} == {"train.en", "validation.en"}


def test_run_folder_translates_as_was_shown(done: tuple[Path, Result]) -> None:
    folder, result = done
    assert result.exit_code == 0, result.output
    assert yaml.safe_load((folder / "run/config.yaml").read_text())["training"]["max_steps"] == 3
    for translation in Translator.load(folder / "run").translate(list(SHOWN)):
        assert f"{translation.source}\n  -> {translation.text}  (" in result.stdout


def test_scores_and_verdicts_are_printed(done: tuple[Path, Result]) -> None:
    shown = done[1].stdout
    for measure in ("BLEU", "pronoun agreement", "exactly the reference"):
        assert measure in shown
    # Three steps teach nothing, so that both verdicts name the French that is wanted.
    for french in SHOWN.values():
        assert f"(should be: {french})" in shown


def test_ends_with_the_commands_for_own_text(done: tuple[Path, Result]) -> None:
    folder, result = done
    last = result.stderr.partition("== Now your own text")[2]
    assert f"attento translate {folder / 'run'} " in last
    assert f"attento train {folder / 'text' / 'recipe.yaml'} --data {folder / 'text'} --output" in last
    assert "attento evaluate" in last


def test_stopped_training_leaves_with_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_module, "TRAIN", 7)
    monkeypatch.setattr(run_module, "train", lambda *arguments: False)
    assert invoke(tmp_path / "demo").exit_code == 130


def test_place_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_module, "TRAIN", 7)
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match=r"taken/text: cannot be written: .*; choose another --output"):
        invoke(tmp_path / "taken")
