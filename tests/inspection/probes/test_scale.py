"""Products of unit normal vectors spread as d_k says, and the division takes that away."""

import math

import pytest
import torch
from architectures import TRANSLATION, translation_model

from attento.inspection.probes.scale import WIDTHS, fresh_spread, probe_scale, spreads

V = 19
PAIRS = [([7, 4, 11, 5, 17], [6, 9, 13]), ([8, 12, 4], [10, 5])]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_variance_of_fresh_scores_is_d_k(width: int) -> None:
    found = fresh_spread(width)
    assert found.variance == pytest.approx(width, rel=0.15)
    assert found.variance_divided == pytest.approx(1, rel=0.15)


def test_undivided_scores_grow_sharp_with_d_k() -> None:
    found = [fresh_spread(width) for width in WIDTHS]
    undivided = [each.entropy for each in found]
    assert undivided == sorted(undivided, reverse=True) and undivided[-1] < 0.1
    divided = [each.entropy_divided for each in found]
    assert max(divided) - min(divided) < 0.03 and min(divided) > 0.8


def test_spreads_are_those_of_the_formula() -> None:
    query, key = torch.randn(1, 4, 3, 5), torch.randn(1, 2, 7, 5)
    seen = torch.rand(1, 1, 3, 7) < 0.6
    seen[0, 0, :, :2] = True
    seen[0, 0, 1] = False
    for head, found in enumerate(spreads(query, key, seen)):
        variances, entropies = [], []
        for place in (0, 2):
            scores = [
                sum(q * k for q, k in zip(query[0, head, place].tolist(), one.tolist(), strict=True))
                for one, may in zip(key[0, head // 2], seen[0, 0, place], strict=True)
                if may
            ]
            mean = sum(scores) / len(scores)
            variances.append(sum((score - mean) ** 2 for score in scores) / len(scores))
            total = sum(math.exp(score) for score in scores)
            shares = [math.exp(score) / total for score in scores]
            entropies.append(-sum(share * math.log(share) for share in shares) / math.log(len(shares)))
        assert found.variance == pytest.approx(sum(variances) / 2, rel=1e-5)
        assert found.variance_divided == pytest.approx(sum(variances) / 2 / 5, rel=1e-5)
        assert found.entropy == pytest.approx(sum(entropies) / 2, rel=1e-5)


def test_every_head_of_a_run_is_told() -> None:
    found = probe_scale("untrained", translation_model(TRANSLATION["transformer_llama_shaped"], V, V), PAIRS)
    assert [each.name for each in found.trained[:3]] == [f"encoder self 0.{head}" for head in range(3)]
    assert len(found.trained) == 18 and found.divides and {each.d_key for each in found.trained} == {6}
    undivided = probe_scale("untrained", translation_model(TRANSLATION["transformer_unscaled"], V, V), PAIRS)
    assert not undivided.divides
    assert [section.title for section in undivided.sections()] == ["At initialisation", "After training"]
