"""`attento compare`: flags, exit statuses, what is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from attento.cli.app import app
from attento.comparison.compare import Outcome
from attento.errors import ConfigError

RECIPE: dict[str, Any] = {
    "data": {
        "source_language": "en",
        "target_language": "fr",
        "train": [{"source": "train.en", "target": "train.fr"}],
        "validation": {"source": "dev.en", "target": "dev.fr"},
    },
    "budget": {"updates": 3},
    "systems": {"small": {"model": {}}, "large": {"model": {"d_model": 1024}}},
}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Outcome], list[Any]]:
    """Let a comparison come out as told; return the list that will hold what it was asked for."""

    def come_out(outcome: Outcome) -> list[Any]:
        calls: list[Any] = []

        def compare(*arguments: Any) -> Outcome:
            calls.extend(arguments)
            return outcome

        monkeypatch.setattr("attento.comparison.compare.compare", compare)
        return calls

    return come_out


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)], catch_exceptions=False)


def test_flags_reach_the_comparison(
    recipe: Path, asked: Callable[[Outcome], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = asked(Outcome(Path("out/report.html"), {}))
    monkeypatch.setattr("sys.argv", ["/usr/bin/attento", "compare", "a recipe.yaml"])
    result = invoke(
        recipe, "--output", "out", "--data", "texts", "--only", "large, small", "--set", "systems.large.model.d_ff=7"
    )
    assert result.exit_code == 0 and result.stdout == "" and "report: out/report.html" in result.stderr
    comparison, only, output, command, _ = calls
    assert comparison.systems["large"].model.d_ff == 7 and comparison.data_root == Path("texts")
    assert (only, output) == (["large", "small"], Path("out"))
    assert command == "attento compare 'a recipe.yaml'"


def test_an_interrupted_comparison_leaves_with_130(recipe: Path, asked: Callable[[Outcome], list[Any]]) -> None:
    asked(Outcome(None, {}))
    assert invoke(recipe, "--output", "out").exit_code == 130


def test_a_failed_system_makes_it_1(recipe: Path, asked: Callable[[Outcome], list[Any]]) -> None:
    asked(Outcome(Path("out/report.html"), {"small": "no luck"}))
    result = invoke(recipe, "--output", "out")
    assert result.exit_code == 1
    assert "report: out/report.html" in result.stderr and "failed: small" in result.stderr


def test_wrong_settings_are_told_before_anything_is_made(recipe: Path) -> None:
    output = recipe.with_name("out")
    with pytest.raises(ConfigError, match=r"did you mean `large`"):
        invoke(recipe, "--output", output, "--only", "larg")
    with pytest.raises(ConfigError, match=r"systems\.small: unknown setting `model\.d_modl`"):
        invoke(recipe, "--output", output, "--set", "systems.small.model.d_modl=3")
    assert not output.exists()
