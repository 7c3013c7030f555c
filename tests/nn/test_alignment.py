"""The four scores against their formulas in plain Python, and what a mask does to them."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from attento.nn.alignment import Alignment, Score, gather

# Rows, source, width of the query, width of the memory.
N, S, D, E = 3, 5, 7, 11
SCORES: list[Score] = ["additive", "dot", "general", "concat"]

every_score = pytest.mark.parametrize("score", SCORES)


def make(score: Score) -> tuple[Alignment, Tensor, Tensor, Tensor]:
    width = D if score == "dot" else E
    query = torch.randn(N, D, dtype=torch.float64)
    memory = torch.randn(N, S, width, dtype=torch.float64)
    mask = torch.arange(S) < torch.tensor([[4], [5], [1]])
    return Alignment(score, D, width).double(), query, memory, mask


def times(matrix: list[list[float]], vector: list[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def score_by_loops(score: Score, module: Alignment, query: list[float], memory: list[float]) -> float:
    """One number: Bahdanau et al. 2015, A.1.2, and Luong et al. 2015, section 3.1, as they are printed."""
    weights: dict[str, Any] = {name: weight.tolist() for name, weight in module.named_parameters()}
    match score:
        case "dot":
            return times([query], memory)[0]
        case "general":
            return times([query], times(weights["by_memory.weight"], memory))[0]
        case "additive":
            parts = zip(
                times(weights["by_query.weight"], query), times(weights["by_memory.weight"], memory), strict=True
            )
            hidden = [math.tanh(one + other) for one, other in parts]
        case "concat":
            both = zip(weights["by_query.weight"], weights["by_memory.weight"], strict=True)
            hidden = [math.tanh(each) for each in times([one + other for one, other in both], query + memory)]
    return times([weights["weight"]], hidden)[0]


@every_score
def test_context_and_weights_are_the_formula(score: Score) -> None:
    module, query, memory, mask = make(score)
    context, weights = module(query, module.source(memory, mask))
    for n in range(N):
        real = int(mask[n].sum())
        powers = [
            math.exp(score_by_loops(score, module, query[n].tolist(), memory[n, s].tolist())) for s in range(real)
        ]
        expected = torch.tensor([power / sum(powers) for power in powers] + [0.0] * (S - real), dtype=torch.float64)
        torch.testing.assert_close(weights[n], expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(context[n], expected @ memory[n], rtol=1e-10, atol=1e-12)


@every_score
def test_what_stands_at_padding_changes_nothing(score: Score) -> None:
    module, query, memory, mask = make(score)
    context, weights = module(query, module.source(memory, mask))
    other = torch.where(mask[..., None], memory, memory + 100)
    other_context, other_weights = module(query, module.source(other, mask))
    assert torch.equal(context, other_context)
    assert torch.equal(weights, other_weights)


def test_a_source_with_no_real_token_gives_zeros_and_finite_gradients() -> None:
    module, query, memory, mask = make("additive")
    mask[1] = False
    context, weights = module(query, module.source(memory, mask))
    assert (context[1] == 0).all()
    assert (weights[1] == 0).all()
    context.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


def test_weights_are_float32_where_scores_are_not() -> None:
    scores, values = torch.randn(N, S, dtype=torch.bfloat16), torch.randn(N, S, E, dtype=torch.bfloat16)
    context, weights = gather(scores, values, torch.ones(N, S, dtype=torch.bool))
    assert (context.dtype, weights.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(weights.sum(-1), torch.ones(N))


@every_score
def test_a_source_picks_its_rows(score: Score) -> None:
    module, query, memory, mask = make(score)
    rows = torch.tensor([2, 0, 0, 1])
    picked, _ = module(query[rows], module.source(memory, mask).select(rows))
    expected, _ = module(query, module.source(memory, mask))
    torch.testing.assert_close(picked, expected[rows], rtol=1e-10, atol=1e-12)


def test_a_product_needs_equal_widths() -> None:
    with pytest.raises(ValueError, match="`dot` needs queries as wide as the memory, but got 7 and 11"):
        Alignment("dot", D, E)
