"""`attento export`: what it prints, and how it fails."""

import json
import sys
from pathlib import Path

import pytest

from attento.cli.app import main
from attento.cli.console import EXIT_FAILED, EXIT_WRONG_USE
from attento.errors import ExportError
from attento.interop import exporting
from attento.interop.verify import Verification

FOUND = Verification(3, 0, 1.5e-6, 3, 1, None)


@pytest.fixture
def calls(monkeypatch):
    made = []

    def export_run(*arguments):
        made.append((*arguments[:4], *arguments[5:]))
        arguments[4]("verifying", 3, 3)
        return FOUND

    monkeypatch.setattr(exporting, "export_run", export_run)
    return made


def attento(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["attento", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code


def test_the_result_is_printed(monkeypatch, capsys, tmp_path, calls):
    (tmp_path / "text").write_text("one\ntwo\n")
    status = attento(
        monkeypatch, "export", "run", "--format", "onnx", "--output", "out", "--sentences", tmp_path / "text"
    )
    assert status == 0
    assert calls == [(Path("run"), "onnx", Path("out"), ["one", "two"], None)]
    out, err = capsys.readouterr()
    assert out == "3 sentences: largest logit difference 1.5e-06, greedy ids agree in 3, 1 of them up to a tie\n"
    assert "written to out" in err


def test_native_goes_into_the_run_folder(monkeypatch, capsys, calls):
    assert attento(monkeypatch, "export", "run", "--format", "native") == 0
    assert "written to run/model.attento" in capsys.readouterr().err
    arguments = ("--format", "native", "--compute-type", "bf16", "--output", "out")
    assert attento(monkeypatch, "export", "run", *arguments) == 0
    assert calls == [(Path("run"), "native", None, None, None), (Path("run"), "native", Path("out"), None, "bf16")]


@pytest.mark.parametrize("options", [(), ("--output", "out", "--compute-type", "int8")])
def test_options_of_native_are_wrong_use_with_others(monkeypatch, capsys, options):
    assert attento(monkeypatch, "export", "run", "--format", "onnx", *options) == EXIT_WRONG_USE
    assert "the format" in capsys.readouterr().err


def test_as_json(monkeypatch, capsys, calls):
    assert attento(monkeypatch, "export", "run", "--format", "huggingface", "--output", "out", "--json") == 0
    assert calls == [(Path("run"), "huggingface", Path("out"), None, None)]
    printed = json.loads(capsys.readouterr().out)
    assert (printed["agreeing"], printed["largest_difference"]) == (3, 1.5e-6)


def test_a_failed_verification_fails_loudly(monkeypatch, capsys):
    def export_run(*arguments):
        raise ExportError("out: the exported model is not the run's")

    monkeypatch.setattr(exporting, "export_run", export_run)
    assert attento(monkeypatch, "export", "run", "--format", "onnx", "--output", "out") == EXIT_FAILED
    assert "error: out: the exported model is not the run's" in capsys.readouterr().err


def test_an_unknown_format_is_wrong_use(monkeypatch):
    assert attento(monkeypatch, "export", "run", "--format", "pickle", "--output", "out") == EXIT_WRONG_USE


def test_a_run_that_the_format_cannot_hold_is_refused(monkeypatch, capsys, tmp_path, ngram_run):
    status = attento(monkeypatch, "export", ngram_run, "--format", "huggingface", "--output", tmp_path / "out")
    assert status == EXIT_FAILED
    assert "`model.architecture: ngram` cannot be said in LLaMA; only decoder_only" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
