"""`attento inspect`: a whole page or none, Mermaid on stdout, and clear refusals; and `translate --alignment`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from attento import Translator
from attento.cli.app import app
from attento.errors import ConfigError, InputError
from attento.inspection.alignment import Aligner


def invoke(verb: str, *arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [verb, *map(str, arguments)], catch_exceptions=False)


def test_page_and_diagrams(run: Path, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    result = invoke("inspect", run, "apple 3", "--target", "cloud", "--output", output, "--mermaid")
    assert result.exit_code == 0, result.output
    assert output.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert result.stdout.count("```mermaid\nflowchart TD\n") == result.stdout.count("\n## ") + 1
    assert "written to" in result.stderr


@pytest.mark.parametrize(
    ("fixture", "second"),
    [
        ("language_run", None),
        ("ngram_run", None),
        ("masked_run", None),
        ("label_run", "a cloud"),
        ("denoising_run", None),
    ],
)
def test_every_task(fixture: str, second: str | None, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    given = [] if second is None else ["--target", second]
    result = invoke("inspect", request.getfixturevalue(fixture), "a cloud", *given, "-o", tmp_path / "page.html")
    assert result.exit_code == 0, result.output


def test_a_page_or_diagrams_must_be_asked_for(run: Path) -> None:
    result = invoke("inspect", run, "apple")
    assert result.exit_code == 2
    assert "--output" in result.output


def test_what_is_refused_leaves_no_file(run: Path, language_run: Path, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    with pytest.raises(InputError, match="there are 3, counted from 0"):
        invoke("inspect", run, "apple", "--head", "3", "-o", output)
    with pytest.raises(InputError, match="no attention"):
        invoke("inspect", language_run, "apple", "--layer", "0", "-o", output)
    with pytest.raises(InputError, match="cannot be written"):
        invoke("inspect", run, "apple", "-o", tmp_path / "missing" / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_alignment_behind_each_translation(run: Path) -> None:
    texts = ["apple 3", " ", "the bridge"]
    plain = [each.text for each in Translator.load(run).translate(texts, split_sentences=False)]
    aligner = Aligner.load(run)
    expected = [aligner.pharaoh(source, text) for source, text in zip(texts, plain, strict=True)]
    aligned = invoke("translate", run, "--alignment", *texts).stdout_bytes.decode()
    assert aligned == "".join(f"{text}\t{links}\n" for text, links in zip(plain, expected, strict=True))
    found = json.loads(invoke("translate", run, "--alignment", "--json", "apple 3").stdout_bytes)
    assert found["alignment"] == expected[0]
    assert invoke("translate", run, "--alignment", "--n-best", "2", "apple").exit_code == 2


def test_what_is_too_long_to_align_is_translated_all_the_same(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["apple 3", "the bridge and the cloud", "cloud"]
    plain = [each.text for each in Translator.load(run).translate(texts, split_sentences=False)]
    aligner = Aligner.load(run)

    def refuse(self: Aligner, source: str, target: str) -> str:
        if source == texts[1]:
            raise InputError("the sentence has 13 tokens with its marks, but the model takes at most 11")
        return aligner.pharaoh(source, target)

    expected = [aligner.pharaoh(texts[0], plain[0]), "", aligner.pharaoh(texts[2], plain[2])]
    monkeypatch.setattr("attento.cli.translate._load_aligner", lambda *_: type("Refusing", (), {"pharaoh": refuse})())
    result = invoke("translate", run, "--alignment", *texts)
    aligned = result.stdout_bytes.decode()
    assert aligned == "".join(f"{text}\t{links}\n" for text, links in zip(plain, expected, strict=True))
    assert "note: too long to align in 1 of 3 (number 2)" in result.stderr


@pytest.mark.parametrize(
    ("given", "heads"), [("0.1", [(0, 1)]), ("0.2,0.0", [(0, 2), (0, 0)]), ("0", None), (" 0.1, 0", None)]
)
def test_alignment_by_the_heads_that_are_named(run: Path, given: str, heads: list[tuple[int, int]] | None) -> None:
    texts = ["apple 3 and the cloud", "the bridge"]
    plain = [each.text for each in Translator.load(run).translate(texts, split_sentences=False)]
    aligner = Aligner.load(run, heads=heads)
    aligned = invoke("translate", run, "--alignment", "--alignment-heads", given, *texts).stdout_bytes.decode()
    expected = [f"{text}\t{aligner.pharaoh(source, text)}\n" for source, text in zip(texts, plain, strict=True)]
    assert aligned == "".join(expected)


def test_heads_that_cannot_be_are_wrong_use(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"no head 1\.0 .* layers 0 to 0 with heads 0 to 2"):
        invoke("translate", run, "--alignment", "--alignment-heads", "0.2,1.0", "apple")
    assert invoke("translate", run, "--alignment-heads", "0.2", "apple").exit_code == 2
    for given in ("", "0.", ".1", "0.1,", "-1", "0.1.2", "cross 0.1", "\u0662"):
        assert invoke("translate", run, "--alignment", "--alignment-heads", given, "apple").exit_code == 2
