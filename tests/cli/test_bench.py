"""`attento bench`: what it prints, and how it fails."""

import json
import sys

import pytest

from attento.cli.app import main
from attento.cli.console import EXIT_FAILED, EXIT_WRONG_USE
from attento.speed import bench as speed
from attento.speed.bench import Bench
from attento.speed.cases import Case
from attento.speed.floor import Rates
from attento.speed.measure import Timed

CASES = (Case(7, 1, 5), Case(7, 3, None))
FOUND = Bench(
    run="my",
    kernels="portable",
    rates=Rates(products=2e9, bytes=3e9),
    timed=tuple(
        (Timed("native", case, (20.0, 40.0, 60.0)), Timed("torch fp32", case, (10.0, 10.0, 10.0))) for case in CASES
    ),
    shares=(0.25, None),
)


@pytest.fixture
def calls(monkeypatch):
    made = []

    def bench(run, texts, cases, rounds, tell):
        made.append((str(run), texts, cases, rounds))
        tell("batch 7: native")
        return FOUND

    monkeypatch.setattr(speed, "bench", bench)
    return made


def attento(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["attento", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text").write_text("one\n\ntwo\n")
    return tmp_path / "text"


def test_the_table_is_printed(monkeypatch, capsys, text, calls):
    assert attento(monkeypatch, "bench", "my", "--text", text, "--batch", 7, "--rounds", 3) == 0
    ((run, texts, cases, rounds),) = calls
    assert (run, texts, rounds) == ("my", ["one", "two"], 3)
    assert [case.batch for case in cases] == [7, 7, 1, 1, 7]
    out = capsys.readouterr().out
    assert "batch 7, greedy, 5 pieces" in out and "4.00x [2.00, 6.00]" in out and "25%" in out
    assert "sentences/s" in out


def test_json_holds_every_round(monkeypatch, capsys, text, calls):
    assert attento(monkeypatch, "bench", "my", "--text", text, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["timed"][1][0]["rates"] == [20.0, 40.0, 60.0] and found["shares"] == [0.25, None]


def test_a_wrong_number_is_wrong_use(monkeypatch, capsys, text, calls):
    assert attento(monkeypatch, "bench", "my", "--text", text, "--batch", 0) == EXIT_WRONG_USE
    assert "--batch must be at least 1" in capsys.readouterr().err


def test_without_the_engine_the_extra_is_named(monkeypatch, capsys, text):
    monkeypatch.setattr(speed, "find_spec", lambda name: None)
    assert attento(monkeypatch, "bench", "my", "--text", text) == EXIT_FAILED
    assert "attento[native]" in capsys.readouterr().err
