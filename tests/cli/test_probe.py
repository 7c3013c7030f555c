"""`attento probe`: every task answers in a table, in JSON and as a page; what cannot be asked is told."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from attento.cli.app import app
from attento.errors import AttentoError, ConfigError, DataError, InputError

FEW = ("--sentences", "3", "--device", "cpu")


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["probe", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_pronouns(run: Path) -> None:
    found = json.loads(invoke(str(run), "pronouns", *FEW, "--json"))
    assert (found["task"], found["contrasts"], found["data"]) == ("pronouns", 3, "the built-in language")
    assert [head["head"] for head in found["heads"]] == [
        *(f"encoder self {layer}.{head}" for layer in (0, 1) for head in range(3)),
        *(f"{kind} 0.{head}" for kind in ("decoder self", "cross") for head in range(3)),
    ]
    assert len(found["views"]) == 8
    shown = invoke(str(run), "pronouns", *FEW)
    assert "Right or wrong" in shown and "cross 0.2" in shown


def test_pronouns_of_a_file(run: Path, tmp_path: Path) -> None:
    block = {"src": ["Stars.", "They are far."], "trg": [{"correct": ["a", "b"], "incorrect": ["a", "c"]}]}
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"1": block}), encoding="utf-8")
    found = json.loads(invoke(str(run), "pronouns", "--data", str(path), "--json", "--device", "cpu"))
    assert (found["contrasts"], found["data"], found["views"]) == (1, "set.json", [])
    assert found["heads"][0]["antecedent"] is None
    assert [each["left_out"] for each in found["contexts"]] == ["source", "translation", "both"]


def test_order_scale_and_alignment(run: Path) -> None:
    order = json.loads(invoke(str(run), "order", *FEW, "--json"))
    assert order["change_without"] < 1e-12 < 1e-3 < order["change"]
    assert len(json.loads(invoke(str(run), "scale", *FEW, "--json"))["trained"]) == 12
    aligned = json.loads(invoke(str(run), "alignment", *FEW, "--json"))
    assert aligned["sentences"] == 3 and aligned["model"]["known"] == aligned["first"]["known"]


def test_text_of_ones_own(masked_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("a cloud\n\nan apple and a bridge\n", encoding="utf-8")
    found = json.loads(invoke(str(masked_run), "order", "--data", str(path), "--json", "--device", "cpu"))
    assert found["sentences"] == 2 and len(found["profiles"]) == 3


@pytest.mark.parametrize("task", ["pronouns", "order"])
def test_a_page_is_written_whole(run: Path, task: str, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    page = tmp_path / "page.html"
    invoke(str(run), task, *FEW, "--output", str(page))
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>") and text.rstrip().endswith("</html>")
    assert f"attento probe {task}" in text and '<div class="figure" id="figure-0">' in text


def fails(error: type[AttentoError], match: str, *arguments: str) -> None:
    with pytest.raises(error, match=match):
        invoke(*arguments)


def test_what_cannot_be_asked_is_told_with_what_can(run: Path, language_run: Path, label_run: Path) -> None:
    fails(ConfigError, r"no task `pronoun` \(did you mean `pronouns`\?\)", str(run), "pronoun")
    fails(ConfigError, r"`pronouns`: it does not translate; no task can be put", str(language_run), "pronouns")
    fails(ConfigError, r"`cost`: it has no multi-head attention; it can be asked: order", str(label_run), "cost")
    fails(ConfigError, "--data is not for `cost`", str(run), "cost", "--data", "text")


def test_languages_that_a_run_does_not_know(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    other.mkdir()
    for each in run.iterdir():
        text = each.read_bytes()
        (other / each.name).write_bytes(text.replace(b"source_language: en", b"source_language: de"))
    fails(ConfigError, "`pronouns` asks in en to fr, but this run knows de to fr; take a run", str(other), "pronouns")
    fails(ConfigError, "`order` asks in en, but this run knows de; name a file", str(other), "order")


def test_a_text_that_holds_nothing(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("\n\n", encoding="utf-8")
    fails(DataError, "holds no text", str(run), "scale", "--data", str(path))


def test_the_text_is_not_written_over(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("a cloud\n", encoding="utf-8")
    fails(InputError, "is read from", str(run), "scale", "--data", str(path), "--output", str(path))
    assert path.read_text(encoding="utf-8") == "a cloud\n"


def test_a_page_that_cannot_be_written_is_told_before_the_model_is_asked(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attento.inspection.probes.choose.probe", lambda *_: pytest.fail("asked"))
    fails(InputError, "cannot be written", str(run), "order", "--output", str(tmp_path / "none" / "page.html"))
