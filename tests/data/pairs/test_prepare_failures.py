"""What cannot be prepared, or was cut off, is told and leaves nothing half-made."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from parallel_text import GOOD, configure, contents, many_pairs, texts

from attento.data.pairs.config import TokenizerConfig
from attento.data.pairs.prepare import prepare
from attento.data.pairs.prepared import PreparedCorpus
from attento.errors import DataError


def test_a_folder_of_the_user_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="holds other things"):
        prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "out")
    assert contents(tmp_path / "out") == {"thesis.txt": b"mine"}


def test_no_pair_left_is_told_with_the_reasons(tmp_path: Path) -> None:
    config = configure(tmp_path, [("same words", "same words"), ("", "vide"), ("more", "more")])
    config = config.model_copy(update={"tokenizer": TokenizerConfig(vocab_size=271)})
    with pytest.raises(DataError, match=r"no training pair is left of 3 \(empty: 1, identical: 2\)"):
        prepare(config, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stage", ["reading", "training the tokenizer", "encoding"])
@pytest.mark.parametrize("older", [False, True])
def test_an_interruption_at_any_stage_leaves_nothing_half_made(tmp_path: Path, stage: str, older: bool) -> None:
    if older:
        prepare(configure(tmp_path, GOOD[:61]), tmp_path, tmp_path / "out")
    config = configure(tmp_path, GOOD)
    before = {path.name for path in tmp_path.iterdir()}

    def interrupt(at: str, done: int, total: int | None) -> None:
        if at == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(config, tmp_path, tmp_path / "out", progress=interrupt)
    assert {path.name for path in tmp_path.iterdir()} == before
    if older:
        assert len(PreparedCorpus.open(tmp_path / "out").train) == 61
    assert len(prepare(config, tmp_path, tmp_path / "out").train) == len(GOOD)


SCRIPT = """
import signal, sys, time
from pathlib import Path
from attento.config import load_settings
from attento.data.pairs.config import DataConfig
from attento.data.pairs.prepare import prepare

def progress(stage, done, total):
    if stage == "encoding":
        print("encoding", flush=True)
        time.sleep(600)

if __name__ == "__main__":
    # Whoever starts tests in the background may have had it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = Path(sys.argv[1])
    prepare(load_settings(DataConfig, folder / "data.yaml"), folder, folder / "out", workers=2, progress=progress)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs process groups")
def test_ctrl_c_ends_all_processes_and_leaves_nothing(tmp_path: Path) -> None:
    config = configure(tmp_path, many_pairs())
    (tmp_path / "data.yaml").write_text(config.model_dump_json())
    (tmp_path / "script.py").write_text(SCRIPT)
    before = {path.name for path in tmp_path.iterdir()}
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "encoding\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the parent and its workers
        _, errors = process.communicate()  # ends when all that hold the pipes have ended, workers too
    assert errors.count("KeyboardInterrupt") == 1, errors
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("limit", [1009, 20011])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, limit: int) -> None:
    # The least that makes the system refuse to write: a limit on the size of files.
    config = configure(tmp_path, many_pairs())
    before = {path.name for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(DataError, match=rf"{tmp_path / 'out'}: cannot be written: .*[Ff]ile too large"):
            prepare(config, tmp_path, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name for path in tmp_path.iterdir()} == before


def test_bad_text_is_told_before_anything_is_made(tmp_path: Path) -> None:
    config = configure(tmp_path, GOOD)
    with (tmp_path / "dev.fr").open("ab") as file:
        file.write(b"one more\n")
    with pytest.raises(DataError, match=r"dev\.en has 3 lines and .*dev\.fr has 4"):
        prepare(config, tmp_path, tmp_path / "deep/out")
    assert not (tmp_path / "deep").exists()


def test_workers_must_be_one_at_least(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="`workers` must be at least 1"):
        prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "out", workers=0)


@pytest.mark.parametrize("missing", ["prepared.json", "tokenizer.model", "train-00000.arrow", "validation-00000.arrow"])
def test_an_incomplete_folder_is_told(tmp_path: Path, missing: str) -> None:
    prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "out")
    (tmp_path / "out" / missing).unlink()
    with pytest.raises(DataError, match=r"prepared folder|no tokenizer|prepare the data again"):
        PreparedCorpus.open(tmp_path / "out")
    if missing != "prepared.json":  # without it, the folder could be anybody's
        assert texts(prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "out")) == GOOD


def test_a_missing_validation_text_is_told(tmp_path: Path) -> None:
    corpus = prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "out")
    (tmp_path / "out/validation.target.txt").unlink()
    with pytest.raises(DataError, match=r"validation\.target\.txt: cannot be read"):
        corpus.validation_texts()


@pytest.mark.parametrize("record", ["", "[]", "{", '{"format": 0}'])
def test_a_damaged_or_foreign_record_is_told(tmp_path: Path, record: str) -> None:
    prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "out")
    (tmp_path / "out/prepared.json").write_text(record)
    with pytest.raises(DataError, match="prepare the data again"):
        PreparedCorpus.open(tmp_path / "out")
    # and it can be prepared again
    assert len(prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "out").train) == len(GOOD)
