"""`attento import`: a foreign folder in, and the other verbs take what comes out for a run like any other."""

import json
from pathlib import Path

import pytest
from interop_models import marian
from typer.testing import CliRunner, Result

from attento.cli.app import app
from attento.errors import DataError


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


@pytest.fixture(scope="module")
def opus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Marian model's folder."""
    folder = tmp_path_factory.mktemp("hub") / "opus"
    marian(folder)
    generation = folder / "generation_config.json"
    settings = json.loads(generation.read_text(encoding="utf-8")) | {"num_beams": 3}
    generation.write_text(json.dumps(settings), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def imported(opus: Path) -> Path:
    """The run folder made of it."""
    run = opus.parent / "run"
    result = invoke("import", str(opus), "--output", str(run), "--target-language", "nds")
    assert result.exit_code == 0, result.output
    assert "note: search: their `length_penalty: 1.0`" in result.stderr
    assert f"imported: {run} (marian, 9,045 parameters)" in result.stderr
    return run


def test_run_is_translated_with(imported: Path) -> None:
    result = invoke("translate", str(imported), "der Hund schläft", "am Fluss", "--device", "cpu", "--json")
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["source"] for line in result.stdout.splitlines()] == ["der Hund schläft", "am Fluss"]


def test_run_is_evaluated(imported: Path, tmp_path: Path) -> None:
    source, reference = tmp_path / "source.de", tmp_path / "reference.en"
    source.write_text("der Hund schläft\n", encoding="utf-8")
    reference.write_text("the dog sleeps\n", encoding="utf-8")
    arguments = ("--source", str(source), "--reference", str(reference), "--device", "cpu", "--json")
    result = invoke("evaluate", str(imported), *arguments)
    assert result.exit_code == 0, result.output
    assert 0 <= json.loads(result.stdout)["bleu"]["value"] <= 100


def test_run_is_described(imported: Path) -> None:
    result = invoke("info", str(imported), "--json")
    assert result.exit_code == 0, result.output
    described = json.loads(result.stdout)
    assert described["parameters"] == 9045
    assert described["source_vocab_size"] == 62


def test_what_is_wrong_is_told(opus: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no config\.json"):
        invoke("import", str(opus.parent), "--output", str(tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []
