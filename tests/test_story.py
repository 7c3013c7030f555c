"""The tables of the pages are those of the reports, and its arithmetic is right."""

from pathlib import Path

import pytest
import torch

PROJECT = Path(__file__).parents[1]


def test_the_tables_are_those_of_the_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROJECT / "benchmarks")
    story = __import__("story")
    pages = [page.read_text(encoding="utf-8") for page in story.PAGES]
    assert [story.filled(page) for page in pages] == pages
    assert all(f"<!-- table: {name} -->\n|" in "".join(pages) for name in story.TABLES)


def test_the_toy_softmax() -> None:
    weights = torch.tensor([2.0, 0.2, 1.0], dtype=torch.float64).softmax(dim=0)
    told = "(" + ", ".join(f"{each:.2f}" for each in weights.tolist()) + ")"
    assert told == "(0.65, 0.11, 0.24)"
    assert told in (PROJECT / "docs" / "story.md").read_text(encoding="utf-8")
