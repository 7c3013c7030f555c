"""The text that the English-French model learns from, and the interval of what it tells."""

import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return __import__("pronoun_data")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return __import__("pronouns")


def letters(pair: tuple[str, str]) -> str:
    return "".join(c for c in pair[0].lower() if c.isalnum())


def test_no_held_out_sentence_is_trained_on(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "_VALIDATION", 11)
    monkeypatch.setattr(data, "_TEST", 7)
    pairs = [(f"Go {i}{mark}", f"Va {i}{mark}{j}") for i in range(53) for j, mark in enumerate(("!", ".", "!"))]
    made = data.split_by_english(pairs, random.Random(3))
    train, validation, test = (made[f"tatoeba.{name}"] for name in ("train", "validation", "test"))
    assert (len(validation), len(test), len(train)) == (11, 7, 3 * (53 - 18))
    assert set(train) | set(validation) | set(test) <= set(pairs)
    names = [{letters(pair) for pair in each} for each in (train, validation, test)]
    assert [len(each) for each in names] == [35, 11, 7]
    assert len(set.union(*names)) == 53


def test_neighbours_are_whole_sentences(data: Any) -> None:
    pairs = [
        ("A cat.", "Un chat."),
        ("It runs.", "Il court."),
        ("Title", "Titre"),
        ("We go.", "On va."),
        ("Go!", "Va !"),
    ]
    joined = [("A cat. It runs.", "Un chat. Il court."), ("We go. Go!", "On va. Va !")]
    assert data.neighbours(pairs) == joined
    assert data.neighbours(pairs, with_pronoun=True) == joined[:1]
    long = ("word " * 31 + ".", "mot.")
    assert data.neighbours([pairs[0], long, pairs[1]]) == []


def test_contrasts_of_one_source_are_drawn_together(benchmark: Any) -> None:
    # Each source's mean is a half: whatever is drawn, nothing moves.
    assert benchmark.interval([0.0, 1.0, 0.0, 1.0, 1.0, 0.0], [0, 0, 1, 1, 2, 2]) == [0.5, 0.5]
    low, high = benchmark.interval([0.0, 1.0, 0.0, 1.0, 1.0, 0.0], [0, 1, 0, 1, 1, 0])
    assert (low, high) == (0.0, 1.0)


@pytest.mark.shared_data
def test_what_is_asked_is_not_trained_on(data: Any, shared_data: Path) -> None:
    made = data.corpora(shared_data)
    asked = {
        line
        for name in ("prev", "current")
        for line in (shared_data / f"pronoun/anaphora.{name}.en").read_text().split("\n")
    } - {""}
    known = {pair[0] for name, pairs in made.items() for pair in pairs}
    assert not asked & known
