"""`attento evaluate`: translations by sacreBLEU, text and labels by counts of the engines' own output."""

import json
import math
from pathlib import Path

import pytest
import sacrebleu
from typer.testing import CliRunner, Result

from attento import Translator
from attento.cli.app import app
from attento.engines.classification import ClassificationEngine
from attento.engines.denoising import DenoisingEngine
from attento.engines.language import LanguageEngine
from attento.engines.masked import MaskedEngine
from attento.errors import ConfigError, DataError, InputError

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


TEXT = "a cloud and 7 more\na bridge\n\nand an apple é\n"


@pytest.mark.parametrize("which", ["language_run", "ngram_run"])
@pytest.mark.parametrize(("shares", "part"), [((), slice(None)), ((0.25, 0.9), slice(11, 39))])
def test_text_is_measured_by_token_character_and_byte(
    request: pytest.FixtureRequest, tmp_path: Path, which: str, shares: tuple[float, ...], part: slice
) -> None:
    run = request.getfixturevalue(which)
    (tmp_path / "text").write_text(TEXT, encoding="utf-8")
    assert len(TEXT) == 44
    flags = [item for name, share in zip(("--start", "--stop"), shares, strict=False) for item in (name, str(share))]
    report = json.loads(invoke(run, "--text", tmp_path / "text", *flags, "--json").stdout)
    score = LanguageEngine.load(run).score(TEXT[part])
    assert report["nats_per_token"] == pytest.approx(score.total_nats / len(TEXT[part]))
    assert report["perplexity"] == pytest.approx(math.exp(report["nats_per_token"]))
    assert report["bits_per_byte"] == pytest.approx(score.total_nats / math.log(2) / len(TEXT[part].encode()))
    assert (report["tokens"], report["characters"], report["bytes"]) == (
        len(TEXT[part]),
        len(TEXT[part]),
        len(TEXT[part].encode()),
    )


@pytest.mark.parametrize(("which", "engine"), [("masked_run", MaskedEngine), ("denoising_run", DenoisingEngine)])
def test_what_is_told_of_a_text_is_counted(
    request: pytest.FixtureRequest, tmp_path: Path, which: str, engine: type[MaskedEngine | DenoisingEngine]
) -> None:
    run = request.getfixturevalue(which)
    (tmp_path / "text").write_text(TEXT * 3, encoding="utf-8")
    result = invoke(run, "--text", tmp_path / "text", "--start", "0.25", "--json")
    report, score = json.loads(result.stdout), engine.load(run).score((TEXT * 3)[33:])
    assert report["nats_per_token"] == pytest.approx(score.total_nats / score.tokens)
    assert report["perplexity"] == pytest.approx(math.exp(score.total_nats / score.tokens))
    assert (report["tokens"], report["right"]) == (score.tokens, score.right)
    assert report["accuracy"] == score.right / score.tokens
    assert (
        f"({score.right} of {score.tokens} tokens)"
        in invoke(run, "--text", tmp_path / "text", "--start", "0.25").stdout
    )
    (tmp_path / "text").write_text("é" * 7)
    assert "tokens are not in the vocabulary" in invoke(run, "--text", tmp_path / "text").stderr


def test_text_that_the_vocabulary_lacks_is_told(ngram_run: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT, encoding="utf-8")
    result = invoke(ngram_run, "--text", tmp_path / "text")
    assert "note: 1 of 44 tokens are not in the vocabulary" in result.stderr
    assert "perplexity = " in result.stdout


def test_shares_that_name_no_part_are_told(ngram_run: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("ab\n")
    with pytest.raises(ConfigError, match="`start` must be less than `stop`"):
        invoke(ngram_run, "--text", tmp_path / "text", "--start", "0.5", "--stop", "0.5")
    with pytest.raises(DataError, match="has 3 characters, none of them between"):
        invoke(ngram_run, "--text", tmp_path / "text", "--start", "0.1", "--stop", "0.2")


EXAMPLES = [("a cloud", "an apple", "yes"), ("7 more", "a bridge", "no"), ("and", "and a", "yes"), ("12", "1", "no")]


def test_labels_are_compared_and_kept(label_run: Path, tmp_path: Path) -> None:
    table = tmp_path / "test.tsv"
    # In another order than the training file's: the columns are found by name.
    table.write_text("two\tnote\tverdict\tone\n" + "".join(f"{b}\t-\t{label}\t{a}\n" for a, b, label in EXAMPLES))
    result = invoke(label_run, "--labelled", table, "--output", tmp_path / "found", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    found = [label.name for label in ClassificationEngine.load(label_run).classify([(a, b) for a, b, _ in EXAMPLES])]
    right = sum(name == label for name, (_, _, label) in zip(found, EXAMPLES, strict=True))
    assert (report["accuracy"], report["examples"]) == (right / 4, 4)
    assert (tmp_path / "found").read_text() == "".join(f"{name}\n" for name in found)
    assert f"{right} of 4 examples" in invoke(label_run, "--labelled", table).stdout


def test_labelled_file_of_another_form_is_told(label_run: Path, tmp_path: Path) -> None:
    (tmp_path / "test").write_text("yes a cloud\n")
    with pytest.raises(DataError, match=r"test:1: `verdict` is no column"):
        invoke(label_run, "--labelled", tmp_path / "test")
    with pytest.raises(InputError, match="is read from; name another --output"):
        invoke(label_run, "--labelled", tmp_path / "test", "--output", tmp_path / "test")


@pytest.mark.parametrize(
    ("which", "flags", "told"),
    [
        ("run", (), r"a translation model .*transformer.* --source FILE and --reference FILE; --source is missing"),
        ("run", ("--source", "a"), "--reference is missing"),
        ("run", ("--source", "a", "--reference", "b", "--text", "c"), "--text is not for it"),
        ("language_run", (), r"a language model .*rnn.* --text FILE; --text is missing"),
        ("language_run", ("--source", "a", "--reference", "b"), "--source is not for it"),
        ("language_run", ("--text", "a", "--lowercase"), "--lowercase is not for it"),
        ("language_run", ("--text", "a", "--output", "b"), "--output is not for it"),
        ("masked_run", (), r"a masked language model .*encoder_only.* --text FILE; --text is missing"),
        ("masked_run", ("--text", "a", "--labelled", "b"), "--labelled is not for it"),
        ("denoising_run", ("--text", "a", "--output", "b"), "--output is not for it"),
        ("label_run", (), r"a sentence model .*decomposable_attention.* --labelled FILE; --labelled is missing"),
        ("label_run", ("--labelled", "a", "--start", "0.5"), "--start is not for it"),
        ("label_run", ("--labelled", "a", "--beam-size", "2"), "--beam-size is not for it"),
        # Nothing is something that was given, too.
        ("label_run", ("--labelled", "a", "--no-repeat-ngram", "0"), "--no-repeat-ngram is not for it"),
        ("label_run", ("--labelled", "a", "--engine", "torch", "--json", "--device", "cpu"), "--engine is not for it"),
    ],
)
def test_flags_of_another_task_are_told(
    request: pytest.FixtureRequest, which: str, flags: tuple[str, ...], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        invoke(request.getfixturevalue(which), *flags)
