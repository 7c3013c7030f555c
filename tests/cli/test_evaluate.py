"""`attento evaluate`: the scores are sacreBLEU's of the translator's own output."""

import json
from pathlib import Path

import pytest
import sacrebleu
from typer.testing import CliRunner, Result

from attento import Translator
from attento.cli.app import app
from attento.errors import InputError

SOURCES = ["apple 3", "the bridge and the cloud", "cloud 7", "the apple", "bridge"]


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def hypotheses(run: Path) -> list[str]:
    return [each.text for each in Translator.load(run).translate(SOURCES)]


@pytest.fixture
def files(tmp_path: Path, hypotheses: list[str]) -> tuple[Path, Path]:
    # References that are partly right, so that the scores are neither 0 nor 100.
    references = [*hypotheses[:3], "Something else", "entirely different"]
    source, reference = tmp_path / "test.en", tmp_path / "test.fr"
    source.write_text("".join(f"{line}\n" for line in SOURCES))
    reference.write_text("".join(f"{line}\n" for line in references))
    return source, reference


def test_scores_are_those_of_sacrebleu(run: Path, files: tuple[Path, Path], hypotheses: list[str]) -> None:
    source, reference = files
    references = reference.read_text().split("\n")[:-1]
    result = invoke(run, "--source", source, "--reference", reference, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    bleu = sacrebleu.corpus_bleu(hypotheses, [references]).score
    assert 0 < bleu < 100
    assert report["bleu"]["value"] == bleu
    assert report["chrf"]["value"] == sacrebleu.corpus_chrf(hypotheses, [references]).score
    assert "tok:13a" in report["bleu"]["signature"]
    assert report["sentences"] == len(SOURCES)


def test_text_report_and_kept_translations(
    run: Path, files: tuple[Path, Path], hypotheses: list[str], tmp_path: Path
) -> None:
    source, reference = files
    flags = ("--tokenize", "char", "--lowercase", "--output", tmp_path / "out")
    result = invoke(run, "--source", source, "--reference", reference, *flags)
    assert "BLEU = " in result.stdout
    assert "tok:char" in result.stdout
    assert "case:lc" in result.stdout
    assert (tmp_path / "out").read_bytes().decode() == "".join(f"{line}\n" for line in hypotheses)


def test_files_of_different_length_are_both_named(run: Path, files: tuple[Path, Path]) -> None:
    source, reference = files
    source.write_text("apple\n")
    with pytest.raises(InputError, match=r"test\.en has 1 lines and .*test\.fr has 5"):
        invoke(run, "--source", source, "--reference", reference)


def test_unknown_tokenizer_is_told(run: Path, files: tuple[Path, Path]) -> None:
    source, reference = files
    with pytest.raises(InputError, match="no tokenizer `13b`"):
        invoke(run, "--source", source, "--reference", reference, "--tokenize", "13b")


def test_what_is_wrong_is_told_before_anything_is_translated(
    run: Path, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, reference = files
    monkeypatch.setattr(Translator, "translate", None)
    with pytest.raises(InputError, match="no tokenizer `13b`"):
        invoke(run, "--source", source, "--reference", reference, "--tokenize", "13b")
    with pytest.raises(InputError, match="is a folder; name a file"):
        invoke(run, "--source", source, "--reference", reference, "--output", source.parent)
    with pytest.raises(InputError, match=r"test\.fr: is read from; name another --output"):
        invoke(run, "--source", source, "--reference", reference, "--output", reference)


def test_empty_test_set_is_told(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match=r"empty: is empty; there is nothing to score"):
        invoke(run, "--source", tmp_path / "empty", "--reference", tmp_path / "empty")


def test_lines_are_whole_unless_asked_otherwise(run: Path, tmp_path: Path) -> None:
    # Two sentences in a line: cut, each is translated by itself.
    line = "The apple and the cloud. The bridge and the apple."
    translator = Translator.load(run)
    whole, cut = (translator.translate([line], split_sentences=split)[0].text for split in (False, True))
    assert whole != cut
    (tmp_path / "test.en").write_text(f"{line}\n")
    (tmp_path / "test.fr").write_text(f"{line}\n")
    given = ("--source", tmp_path / "test.en", "--reference", tmp_path / "test.fr", "--output", tmp_path / "out")
    for flags, expected in (((), whole), (("--split-sentences",), cut)):
        assert invoke(run, *given, *flags).exit_code == 0
        assert (tmp_path / "out").read_text() == f"{expected}\n"
