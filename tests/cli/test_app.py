"""The command as a whole: help, errors as one line, exit status, and what it must not import."""

import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from attento.cli import app as app_module
from attento.errors import AttentoError, ConfigError, DataError, MissingExtraError

VERBS = "demo prepare train translate generate embed evaluate compare info inspect probe import export doctor".split()


def run_attento(*arguments: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "attento", *arguments], input=input, capture_output=True, timeout=120)


def test_help_names_every_verb_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from attento.cli.app import app\n"
        "try:\n    app(['--help'])\n"
        "except SystemExit as leaving:\n    assert leaving.code == 0\n"
        "heavy = {'torch', 'numpy', 'pyarrow', 'sacrebleu', 'sentencepiece'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert all(verb in done.stdout for verb in VERBS)


def test_a_verb_imports_no_other_and_no_rich() -> None:
    code = (
        "import sys\n"
        "from attento.cli.app import app\n"
        "try:\n    app(['translate', 'nowhere', 'a'])\n"
        "except Exception as problem:\n    assert 'no such run folder' in str(problem)\n"
        "unwanted = {'torch', 'numpy', 'pyarrow', 'sacrebleu', 'rich', 'attento.cli.train', 'attento.cli.info'}\n"
        "sys.exit(f'imported: {unwanted & set(sys.modules)}' if unwanted & set(sys.modules) else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    done = run_attento(verb, "--help")
    assert done.returncode == 0
    assert b"Usage" in done.stdout


def test_version() -> None:
    done = run_attento("--version")
    assert (done.returncode, done.stdout) == (0, b"attento 0.1.0\n")


def test_package_version_is_the_one_of_the_build(project: Path) -> None:
    import tomllib

    import attento

    assert tomllib.loads((project / "pyproject.toml").read_text())["project"]["version"] == attento.__version__


def test_torch_is_pinned_alike_in_both_files(project: Path) -> None:
    pinned = next(line for line in (project / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))
    assert f"TORCH := {pinned}\n" in (project / "Makefile").read_text()


def test_mistyped_verb_is_answered_with_the_nearest() -> None:
    done = run_attento("transalte")
    assert done.returncode == 2
    assert b"translate" in done.stderr
    assert b"Traceback" not in done.stderr


def test_no_verb_shows_help() -> None:
    done = run_attento()
    assert done.returncode == 2
    assert b"doctor" in done.stdout + done.stderr


def _leave(monkeypatch: pytest.MonkeyPatch, problem: BaseException) -> int | str | None:
    def fail() -> NoReturn:
        raise problem

    monkeypatch.setattr(app_module, "app", fail)
    with pytest.raises(SystemExit) as leaving:
        app_module.main()
    return leaving.value.code


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (ConfigError("recipe.yaml: unknown setting `data[0]`"), 2),
        (DataError("text.en:7: is not valid UTF-8 [bold]here[/bold]"), 1),
        (AttentoError("x" * 300), 1),
        (MissingExtraError("torch", "train"), 1),
    ],
)
def test_errors_are_one_message_without_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], problem: AttentoError, status: int
) -> None:
    assert _leave(monkeypatch, problem) == status
    captured = capsys.readouterr()
    assert captured.err == f"error: {problem}\n"
    assert captured.out == ""


def test_missing_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _leave(monkeypatch, ModuleNotFoundError("No module named 'torch'", name="torch")) == 1
    assert "pip install 'attento[train]'" in capsys.readouterr().err


def test_other_missing_modules_are_bugs_and_show_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> NoReturn:
        raise ModuleNotFoundError("No module named 'attento.oops'", name="attento.oops")

    monkeypatch.setattr(app_module, "app", fail)
    with pytest.raises(ModuleNotFoundError, match="oops"):
        app_module.main()


def test_ctrl_c_leaves_with_a_word_and_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("attento.cli.doctor._examine", interrupted)
    monkeypatch.setattr(sys, "argv", ["attento", "doctor"])
    with pytest.raises(SystemExit) as leaving:
        app_module.main()
    assert leaving.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_reader_that_goes_away_is_no_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "attento", "info", "--list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        told = process.stderr.read()
        process.wait(timeout=120)
    assert b"Traceback" not in told
    assert b"Exception ignored" not in told


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [("info", "--list"), ("--version",)])
def test_full_disk_behind_stdout_is_one_message(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "attento", *arguments], stdout=full, stderr=subprocess.PIPE, timeout=120
        )
    assert done.returncode == 1
    assert done.stderr == b"error: standard output: No space left on device\n"


def test_public_names_are_found_and_others_are_not() -> None:
    import attento

    assert attento.AttentoError is AttentoError
    assert "Translator" in dir(attento)
    with pytest.raises(AttributeError, match="no attribute `Translater`"):
        attento.__getattr__("Translater")


def test_import_attento_needs_no_torch() -> None:
    code = "import sys, attento; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
