"""The three forms of a report hold the numbers."""

import json
import re
from pathlib import Path

import pytest

from attento.comparison.report.spread import with_spread
from attento.comparison.report.write import write_report
from attento.comparison.results import (
    Counts,
    CurvePoint,
    Growth,
    LengthScore,
    Quantity,
    RecallPoint,
    Report,
    SystemResult,
    Table,
)
from attento.evaluation.report.forms import markdown, page
from attento.evaluation.report.section import Figure, Grid, Section, number


def growth(*values: float) -> Growth:
    quantities = tuple(Quantity(value=each, low=each / 2, high=each * 2) for each in values)
    return Growth(lengths=(3, 7), values=quantities, exponent=1.37, unit="s")


FULL = SystemResult(
    name="lstm",
    architecture="rnn_encoder_decoder",
    parameters=12_345,
    updates=89,
    minutes=2.5,
    quality={"bleu": Quantity(value=31.25, low=29.5, high=33.125, spread="some interval", note="a signature")},
    by_length=(
        LengthScore(shortest=0, longest=5, sentences=7, bleu=41.5),
        LengthScore(shortest=6, longest=None, sentences=2, bleu=None),
    ),
    cost={"peak_memory": Quantity(value=3 * 2**20, note="a process")},
    table=Table(
        seconds=growth(0.125, 0.5),
        memory=growth(2**20, 2**22),
        sequential=Counts(lengths=(3, 7), values=(19, 39)),
        paths={"source to target": Counts(lengths=(3, 7), values=(4, None))},
    ),
    recall=(RecallPoint(distance=9, accuracy=Quantity(value=0.625, low=0.5, high=0.75)),),
    curve=(
        CurvePoint(step=40, minutes=1.0, loss=3.75),
        CurvePoint(step=80, minutes=2.0, loss=3.25),
        CurvePoint(step=89, minutes=2.5, loss=3.5),
    ),
)
BARE = SystemResult(name="ngram", architecture="ngram", missing={"table": "it counts <n-grams> & no more"})
REPORT = Report(
    task="translation",
    facts={"command": "attento compare x.yaml", "date": "2026-01-01"},
    recipe={
        "budget": {"updates": 89, "minutes": None, "parameters": None},
        "systems": {"lstm": {"model": {"d_model": 3}}},
        "measure": {
            "table": {"rows": 4, "repeats": 5},
            "recall": {"keys": 8, "updates": 300, "batch_size": 32, "test_examples": 200},
        },
    },
    systems=(FULL, BARE),
    failed={"bytenet": "out of luck"},
)


def test_json_holds_everything_and_is_read_back(tmp_path: Path) -> None:
    write_report(REPORT, tmp_path)
    assert Report.model_validate_json((tmp_path / "report.json").read_bytes()) == REPORT


def test_markdown_holds_all_numbers(tmp_path: Path) -> None:
    write_report(REPORT, tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    rows = [
        "| lstm | rnn_encoder_decoder | 12,345 | 89 | 2.5 | 31.25 [29.5, 33.12] |",
        "| ngram | ngram | - | - | - | - |",
        "| 0 to 5 | 7 | 41.5 |",
        "| 6 or more | 2 | - |",
        "| lstm | 12,345 | 3 |",
        "| lstm | 125 [62.5, 250] | 500 [250, 1,000] | 1.37 |",
        "| lstm | 1 [0.5, 2] | 4 [2, 8] | 1.37 |",
        "| lstm: sequential operations | 19 | 39 | 5 |",
        "| lstm: path, source to target | 4 | never | - |",
        "| 9 | 62.5 [50, 75] |",
        "| lstm | 3.25 | 80 | 2 | 3.5 |",
        "| self-attention | O(n² d) | O(1) | O(1) |",
        "| bytenet | training | out of luck |",
        "| ngram | table | it counts <n-grams> & no more |",
        "| command | attento compare x.yaml |",
    ]
    for row in rows:
        assert row in text
    assert "some interval" in text and "a signature" in text and "updates: 89" in text


def test_html_needs_nothing_else_and_draws_every_figure(tmp_path: Path) -> None:
    text = write_report(REPORT, tmp_path).read_text(encoding="utf-8")
    assert text.count("<!DOCTYPE html>") == 1
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", text)
    assert "<td>31.25 [29.5, 33.12]</td>" in text
    assert "it counts &lt;n-grams&gt; &amp; no more" in text
    line = next(each for each in text.splitlines() if each.startswith("const figures = "))
    figures = json.loads(line.removeprefix("const figures = ").removesuffix(";"))
    assert [figure["layout"]["title"]["text"] for figure in figures] == [
        "BLEU on the test set",
        "BLEU by source length",
        "Time of a step",
        "Memory of a step",
        "Sequential operations",
        "Maximum path length",
        "Recall by distance",
        "Validation loss by updates",
        "Validation loss by minutes",
    ]
    assert [f'id="figure-{place}"' in text for place in range(10)] == [True] * 9 + [False]
    assert figures[0]["data"][0]["error_y"]["array"] == [1.875]
    assert figures[2]["data"][0]["y"] == [125, 500] and figures[2]["layout"]["xaxis"]["type"] == "log"
    assert figures[5]["data"][0]["y"] == [4, None]


def test_what_was_not_measured_has_no_section(tmp_path: Path) -> None:
    write_report(Report(task="translation", facts={}, recipe=REPORT.recipe, systems=()), tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert re.findall("^## (.*)$", text, re.MULTILINE) == ["Quality", "Where these numbers come from"]


def test_text_cannot_break_out_of_its_form() -> None:
    nasty = "a|b\n</script><b>"
    sections = [Section(nasty, nasty, (Grid(("x", nasty), ((nasty, "1"),)),), (Figure(nasty, (), "x", "y"),))]
    shown = page("t", sections)
    # The scripts of the page's own are closed, and no other.
    assert shown.count("</script>") == 2
    assert "<b>" not in shown[shown.index("<h1>") : shown.index("const figures")]
    assert "| a\\|b </script><b> | 1 |" in markdown("t", sections)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (0, "0"),
        (1234, "1,234"),
        (1234.5, "1,234"),
        (2.0, "2"),
        (0.0123456, "0.01235"),
        (98.76543, "98.77"),
    ],
)
def test_numbers_have_four_digits_that_count(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_a_spread_is_shown_where_there_is_one() -> None:
    assert with_spread(None) == "-"
    assert with_spread(Quantity(value=0.25), 100) == "25"
    assert with_spread(Quantity(value=0.25, low=0.125, high=0.5), 100) == "25 [12.5, 50]"
