"""The study of lists of likely target pieces: its dictionary, its lists, and what they are predicted to save."""

from collections import Counter
from itertools import product
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from torch import nn

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
PAIRS = [([7, 4], [3, 9, 5]), ([4], [9, 9]), ([7, 7, 8], [3, 5]), ([8, 4, 6], [5, 11, 9])]


@pytest.fixture
def ibm_model1(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return __import__("ibm_model1")


@pytest.fixture
def shortlist(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return __import__("shortlist")


def enumerated(pairs: Any, iterations: int, nothing: int) -> dict[tuple[int, int], float]:
    """Expectation maximization over whole alignments, each with its own probability."""
    t = {(s, f): 1.0 for source, target in pairs for s in (nothing, *source) for f in target}
    for _ in range(iterations):
        counts: Counter[tuple[int, int]] = Counter()
        for source, target in pairs:
            alignments = list(product((nothing, *source), repeat=len(target)))
            weights = [prod(t[cell] for cell in zip(each, target, strict=True)) for each in alignments]
            for alignment, weight in zip(alignments, weights, strict=True):
                for cell in zip(alignment, target, strict=True):
                    counts[cell] += weight / sum(weights)
        totals: Counter[int] = Counter()
        for (source_piece, _), count in counts.items():
            totals[source_piece] += count
        t = {cell: count / totals[cell[0]] for cell, count in counts.items()}
    return t


class TestModel1:
    @pytest.mark.parametrize("iterations", [1, 2, 5])
    def test_is_the_sum_over_all_alignments(self, ibm_model1: Any, iterations: int) -> None:
        found = ibm_model1.estimate(PAIRS, iterations)
        wanted = enumerated(PAIRS, iterations, ibm_model1.NOTHING)
        assert list(zip(found.source.tolist(), found.target.tolist(), strict=True)) == sorted(wanted)
        np.testing.assert_allclose(found.probability, [wanted[cell] for cell in sorted(wanted)], rtol=1e-12)

    def test_candidates_are_the_most_probable(self, ibm_model1: Any) -> None:
        table = ibm_model1.Dictionary(
            np.array([4, 4, 4, 6, 6]), np.array([3, 5, 9, 2, 7]), np.array([0.25, 0.5, 0.25, 0.1, 0.9])
        )
        found = {source: pieces.tolist() for source, pieces in table.candidates(2).items()}
        assert found == {4: [5, 3], 6: [7, 2]}
        assert table.candidates(5)[4].tolist() == [5, 3, 9]


class TestLists:
    def test_hold_the_frequent_the_likely_and_the_end(self, shortlist: Any) -> None:
        lists = shortlist.ListMaker(PAIRS, vocabulary=13)
        found = lists.make([[4, 10], [8], []], candidates=1, common=2)
        frequent, end = {9, 5}, 3  # 9 four times, 5 three times; 3 is eos
        likely = {source: set(pieces.tolist()) for source, pieces in lists.dictionary.candidates(1).items()}
        wanted = [frequent | {end} | likely[4], frequent | {end} | likely[8], frequent | {end}]
        assert [set(row.nonzero()[0].tolist()) for row in found] == wanted

    def test_unions_are_of_neighbours(self, shortlist: Any) -> None:
        lists = np.zeros((5, 7), dtype=np.bool_)
        for row, pieces in enumerate([[1, 2], [2, 3, 4], [5], [5], [0, 1, 2, 3, 4, 5, 6]]):
            lists[row, pieces] = True
        assert shortlist.union_length(lists, 1) == {"mean": (2 + 3 + 1 + 1 + 7) / 5, "most": 7}
        assert shortlist.union_length(lists, 2) == {"mean": 2.5, "most": 4}


class TestGains:
    def test_a_line_is_found_again(self, shortlist: Any) -> None:
        sizes = [4000, 16000, 64000]
        assert shortlist.line_of(sizes, [5.0 + 0.125 * size for size in sizes]) == pytest.approx((5.0, 0.125))

    def test_an_empty_list_saves_the_whole_product(self, shortlist: Any) -> None:
        step = {"vocabulary": 600, "share": 0.25}
        assert shortlist.gain_by_counts(step, 0) == pytest.approx(4 / 3)
        assert shortlist.gain_by_counts(step, 300) == pytest.approx(8 / 7)
        assert shortlist.gain_by_counts(step, 600) == 1

    def test_counts_the_matrices_of_a_model(self, shortlist: Any) -> None:
        layers, d_model, d_ff, vocabulary = 3, 8, 20, 31
        kinds = nn.TransformerEncoderLayer, nn.TransformerDecoderLayer
        parameters = [each for kind in kinds for each in kind(d_model, 2, d_ff).parameters()]
        matrices = layers * sum(each.numel() for each in parameters if each.dim() == 2)
        output = vocabulary * d_model
        assert shortlist.counted_share(layers, d_model, d_ff, vocabulary) == pytest.approx(output / (output + matrices))
