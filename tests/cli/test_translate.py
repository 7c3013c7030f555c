"""`attento translate`: the same as the library, whatever way the text comes in and goes out."""

import gzip
import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from attento import Translator
from attento.cli import translate as translate_module
from attento.cli.app import app
from attento.cli.files import open_output
from attento.cli.options import change_search
from attento.decoding.config import SamplingConfig, SearchConfig
from attento.errors import ConfigError, DataError, InputError, RunFolderError

LINES = ["apple 3", "", "the bridge and the cloud\u2028 7", "cloud", "  ", "a [bold]b[/bold] 日本 \r", "apple"]


def invoke(*arguments: str | Path, input: str | bytes = "") -> Result:
    return CliRunner().invoke(app, ["translate", *map(str, arguments)], input=input, catch_exceptions=False)


@pytest.fixture(scope="module")
def expected(run: Path) -> list[str]:
    return [each.text for each in Translator.load(run).translate(LINES)]


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "text.en"
    path.write_bytes("".join(f"{line}\n" for line in LINES).encode())
    return path


def lines_of(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return result.stdout_bytes.decode().split("\n")[:-1]


def test_texts(run: Path, expected: list[str]) -> None:
    assert lines_of(invoke(run, LINES[0], LINES[2])) == [expected[0], expected[2]]


def test_stdin_to_stdout(run: Path, text_file: Path, expected: list[str]) -> None:
    assert lines_of(invoke(run, input=text_file.read_bytes())) == expected
    assert expected[1] == ""


def test_last_line_needs_no_line_end(run: Path, text_file: Path, expected: list[str]) -> None:
    assert lines_of(invoke(run, input=text_file.read_bytes().removesuffix(b"\n"))) == expected


def test_file_to_file_in_small_chunks(
    run: Path, text_file: Path, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translate_module, "CHUNK_LINES", 3)
    output = text_file.with_name("text.fr")
    result = invoke(run, "--input", text_file, "--output", output)
    assert (result.exit_code, result.stdout) == (0, "")
    assert output.read_bytes().decode() == "".join(f"{line}\n" for line in expected)
    assert sorted(path.name for path in text_file.parent.iterdir()) == ["text.en", "text.fr"]


def test_compressed_file(run: Path, text_file: Path, expected: list[str]) -> None:
    packed = text_file.with_name("text.en.gz")
    packed.write_bytes(gzip.compress(text_file.read_bytes()))
    assert lines_of(invoke(run, "--input", packed)) == expected


@pytest.mark.parametrize("given", ["file", "stdin"])
def test_nothing_in_nothing_out(run: Path, tmp_path: Path, given: str) -> None:
    (tmp_path / "empty").touch()
    result = invoke(run, *(("--input", tmp_path / "empty") if given == "file" else ()))
    assert (result.exit_code, result.stdout) == (0, "")


def test_json_has_scores_and_alternatives(run: Path) -> None:
    records = [json.loads(line) for line in lines_of(invoke(run, *LINES[:1], "--n-best", "3", "--json"))]
    search = SearchConfig(beam_size=3, max_extra_length=5, n_best=3)
    best = Translator.load(run).translate(LINES[:1], search=search)[0]
    assert len(best.alternatives) > 0
    assert records == [
        {
            "source": LINES[0],
            "translation": best.text,
            "score": best.score,
            "alternatives": [{"translation": each.text, "score": each.score} for each in best.alternatives],
            "flags": list(best.flags),
        }
    ]


def test_n_best_as_text(run: Path) -> None:
    rows = [line.split("\t") for line in lines_of(invoke(run, "apple 3", "cloud", "--n-best", "2"))]
    search = SearchConfig(beam_size=3, max_extra_length=5, n_best=2)
    both = Translator.load(run).translate(["apple 3", "cloud"], search=search)
    assert [(row[0], row[2]) for row in rows] == [
        (str(number), text)
        for number, each in enumerate(both, 1)
        for text in (each.text, *(other.text for other in each.alternatives))
    ]


def test_search_flags_reach_the_search(run: Path) -> None:
    search = SearchConfig(beam_size=1, length_penalty=0.0, max_extra_length=5)
    greedy = Translator.load(run).translate(["apple 3"], search=search)[0]
    record = json.loads(invoke(run, "apple 3", "--beam-size", "1", "--length-penalty", "0", "--json").stdout)
    assert (record["translation"], record["score"]) == (greedy.text, greedy.score)


def test_constraints_reach_the_search(run: Path) -> None:
    search = SearchConfig(beam_size=3, max_extra_length=5, min_length=4, no_repeat_ngram=1)
    (expected,) = Translator.load(run).translate(["apple 3"], search=search, prefixes=["the"])
    flags = ("--min-length", "4", "--no-repeat-ngram", "1", "--prefix", "the")
    record = json.loads(invoke(run, "apple 3", *flags, "--json").stdout)
    assert (record["translation"], record["score"]) == (expected.text, expected.score)
    assert expected.text.startswith("the")


def test_a_prefix_is_for_one_sentence_a_line(run: Path) -> None:
    with pytest.raises(InputError, match="--whole-lines"):
        invoke(run, "An apple. A cloud.", "--prefix", "the")
    whole = invoke(run, "An apple. A cloud.", "", "--prefix", "the", "--whole-lines")
    assert [line[:3] for line in lines_of(whole)] == ["the", ""]


def test_an_engine_without_its_model_is_told_with_the_way_out(run: Path) -> None:
    with pytest.raises(ConfigError, match=rf"there is no model\.attento; `attento export {run} --format native` makes"):
        invoke(run, "apple 3", "--engine", "native")
    assert lines_of(invoke(run, "apple 3", "--engine", "torch")) == lines_of(invoke(run, "apple 3"))


def test_flags_are_told_beside_the_text(run: Path) -> None:
    # An untrained model does not know how to end.
    result = invoke(run, "apple 3", "cloud")
    assert "note: length cap reached in 2 of 2 (number 1, 2)" in result.stderr


def test_more_translations_than_hypotheses_is_wrong_use(run: Path) -> None:
    with pytest.raises(ConfigError, match="n_best=5 and beam_size=3"):
        invoke(run, "apple", "--n-best", "5")


def test_broken_line_is_named_and_no_output_is_left(run: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"apple\nclo\xffud\n")
    with pytest.raises(DataError, match=r"text:2: is not valid UTF-8"):
        invoke(run, "--input", tmp_path / "text", "--output", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["text"]
    with pytest.raises(InputError, match=r"standard input, line 2: is not valid UTF-8 \(byte 4 of the line\)"):
        invoke(run, input=b"apple\nclo\xffud\n")


def test_output_that_cannot_be_written_is_told(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere/out: cannot be written: No such file"):
        invoke(run, "apple", "--output", tmp_path / "nowhere" / "out")


def test_output_that_cannot_take_the_translations_is_told_before_the_work(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder; name a file"):
        invoke(run, "apple", "--output", tmp_path)
    (tmp_path / "text").write_text("apple\n")
    (tmp_path / "link").symlink_to("text")
    for output in ("text", "link"):
        with pytest.raises(InputError, match=rf"{output}: is read from; name another --output"):
            invoke(run, "--input", tmp_path / "text", "--output", tmp_path / output)
    assert (tmp_path / "text").read_text() == "apple\n"


def test_link_and_device_stay_what_they_are(run: Path, tmp_path: Path, expected: list[str]) -> None:
    (tmp_path / "link").symlink_to("real")
    assert invoke(run, LINES[0], "--output", tmp_path / "link").exit_code == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == f"{expected[0]}\n"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert invoke(run, LINES[0], "--output", tmp_path / "pipe").exit_code == 0
        assert os.read(reader, 1000).decode() == f"{expected[0]}\n"
    finally:
        os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_closed_stdout_is_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(InputError, match=r"standard output is closed; name a file with --output"), open_output(None):
        pass


def test_text_that_begins_with_a_dash(run: Path) -> None:
    assert lines_of(invoke(run, "--", "-x apple")) == [Translator.load(run).translate(["-x apple"])[0].text]


def test_missing_run_and_missing_file_are_told(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no such run folder"):
        invoke(tmp_path / "nothing", "apple")
    with pytest.raises(DataError, match=r"tex: no such file"):
        invoke(run, "--input", tmp_path / "tex")


def test_text_and_file_together_are_wrong_use(run: Path, text_file: Path) -> None:
    assert invoke(run, "apple", "--input", text_file).exit_code == 2


def test_sampling_flags_reach_the_draw(run: Path) -> None:
    flags = ("--sample", "--temperature", "0.7", "--top-k", "5", "--top-p", "0.9", "--seed", "11", "--n-best", "4")
    [record] = [json.loads(line) for line in lines_of(invoke(run, LINES[2], *flags, "--json"))]
    sampling = SamplingConfig(temperature=0.7, top_k=5, top_p=0.9, seed=11)
    search = SearchConfig(n_best=4, max_extra_length=5, sampling=sampling)
    expected = Translator.load(run).translate([LINES[2]], search=search)[0]
    assert (record["translation"], record["score"]) == (expected.text, expected.score)
    assert [each["translation"] for each in record["alternatives"]] == [each.text for each in expected.alternatives]
    assert len(expected.alternatives) > 1


@pytest.mark.parametrize("flags", [("--sample", "--beam-size", "3"), ("--temperature", "0.5"), ("--seed", "3")])
def test_flags_of_searching_and_drawing_do_not_go_together(run: Path, flags: tuple[str, ...]) -> None:
    assert invoke(run, "apple", *flags).exit_code == 2


def test_a_beam_asked_for_takes_the_place_of_the_runs_draws(run: Path) -> None:
    drawing = SearchConfig(sampling=SamplingConfig(), length_penalty=0.5)
    assert change_search(drawing, beam_size=3, length_penalty=None) == SearchConfig(beam_size=3, length_penalty=0.5)
    assert change_search(drawing, beam_size=None, length_penalty=0.2).sampling == SamplingConfig()


def test_a_run_of_another_task_is_told_with_the_right_verb(language_run: Path) -> None:
    with pytest.raises(RunFolderError, match=r"`model\.architecture: rnn`.*`attento generate`"):
        invoke(language_run, "apple")
