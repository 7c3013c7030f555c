"""What holds the native engine against the torch engine: its scores, and the table that tells of missed goals."""

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from attento.evaluation import corpus_bleu

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
WORDS = "a man in the red car of two dogs runs past".split()


@pytest.fixture
def quality(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return __import__("native_quality")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return __import__("native_quality_table").table


class TestPerplexity:
    def test_is_that_of_the_mean_over_all_tokens(self, quality: Any) -> None:
        generator = torch.Generator().manual_seed(1)
        texts = [torch.randint(13, (length,), generator=generator) for length in (3, 7)]
        # One row more than there are tokens: what would come behind the text.
        logits = [5 * torch.randn(len(text) + 1, 13, generator=generator) for text in texts]
        rows = torch.cat([each[:-1] for each in logits])
        wanted = cross_entropy(rows.double(), torch.cat(texts)).exp()
        found = quality.perplexity([each.numpy() for each in logits], [text.tolist() for text in texts])
        assert found == pytest.approx(wanted.item(), rel=1e-12)


class TestScorer:
    @pytest.fixture
    def scorer(self, quality: Any) -> Any:
        def decode(ids: Any) -> str:
            return " ".join(WORDS[i] for i in ids)

        generator = np.random.default_rng(1)
        self.references = [generator.integers(len(WORDS), size=11).tolist() for _ in range(23)]
        trained = SimpleNamespace(tokenizers=SimpleNamespace(target=SimpleNamespace(decode=decode)))
        self.decode = decode
        return quality.Scorer(trained, [decode(each) for each in self.references], "en", None)

    def test_the_same_outputs_differ_by_nothing(self, scorer: Any) -> None:
        outputs = [each[:9] for each in self.references]
        assert scorer.difference(outputs, outputs) == {"value": 0.0, "interval": [0.0, 0.0]}

    def test_the_difference_is_that_of_both_scores(self, scorer: Any) -> None:
        better, worse = [each[:10] for each in self.references], [each[2:9] for each in self.references]
        texts = [self.decode(each) for each in self.references]
        scores = [
            corpus_bleu([self.decode(each) for each in outputs], texts, target_language="en").value
            for outputs in (better, worse)
        ]
        found = scorer.difference(better, worse)
        assert found["value"] == pytest.approx(scores[0] - scores[1])
        # Drawn together: no choice of sentences makes the worse the better one.
        assert 0 < found["interval"][0] <= found["value"] <= found["interval"][1]


def test_cosines_are_of_each_step(quality: Any) -> None:
    ours = [np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[3.0, 4.0]])]
    theirs = [np.array([[2.0, 0.0], [1.0, 1.0]]), np.array([[3.0, 4.0]])]
    assert quality.cosines(ours, theirs) == pytest.approx({"mean": (2 + 0.5**0.5) / 3, "least": 0.5**0.5})


def test_counts_outputs_that_are_equal_in_every_piece(quality: Any) -> None:
    assert quality.count_same([(1, 2), [3], (4, 5)], [(1, 2), (3,), (4,)]) == 2


def _measured(bleu: float, interval: list[float], same: int, cosine: float) -> dict[str, Any]:
    difference = {"value": bleu, "interval": interval}
    return {
        "bleu": 30.0 + bleu,
        "less_fp32": difference,
        "same": same,
        "perplexity": 5.5,
        "cosine": {"mean": cosine, "least": 0.98},
    }


def test_the_table_names_what_misses_its_goal(table: Any) -> None:
    exact = _measured(0.0, [0.0, 0.0], 19, 1.0)
    row = {"run": "first", "beam_size": 5, "sentences": 19, "torch": 30.0, "fp32": exact}
    good, bad = _measured(0.1, [-0.1, 0.3], 17, 0.9999), _measured(-0.3, [-0.5, -0.1], 11, 0.9987)
    text = {"run": "second", "prompts": 23, "characters": 1001, "torch": 5.5}
    text |= {"fp32": _measured(0, [0, 0], 21, 1.0), "bf16": good, "int8": good}
    refused = [{"run": "third", "reason": "no such layer"}]
    found = table({"translation": [row | {"bf16": good, "int8": bad}], "language": [text], "refused": refused})
    assert (
        "| first | 5 | 30.00 | 30.00, 19 of 19 | +0.10 [-0.10, +0.30] | -0.30 [-0.50, -0.10] | 0.99990, 0.98000 "
        "| 0.99870, 0.98000 |" in found
    )
    assert "- fp32 finds the torch engine's ids: 1 of 2; not second (2)" in found
    assert "- int8: mean cosine of 0.9995 or more: 1 of 2; not first, beam 5 (0.99870)" in found
    assert "- int8: BLEU within 0.2 of fp32: 0 of 1; not first, beam 5 (-0.30)" in found
    assert "- bf16: BLEU within 0.2 of fp32: 1 of 1" in found
    assert any(line.startswith("| language model |") for line in found)
    assert found[-1] == "- third: no such layer"
