"""Attention against equation 1 in plain Python, and its two forms against each other."""

import math
from functools import partial
from itertools import product

import pytest
import torch
from attention_inputs import B, E, H, K, S, T, draw, draw_mask
from torch import Tensor

from attento.nn import attention
from attento.nn.attention import attend, fused_attention, scaled_dot_product_attention
from attento.nn.masks import causal_mask

MASKS = ["none", "padding", "causal", "free"]


def draw_inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    return draw(B, H, T, K, dtype=dtype), draw(B, H, S, K, dtype=dtype), draw(B, H, S, E, dtype=dtype)


def attention_by_loops(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Equation 1, one number at a time."""
    allowed = torch.ones(B, H, T, S, dtype=torch.bool) if mask is None else mask.expand(B, H, T, S)
    q, k, v, may = query.tolist(), key.tolist(), value.tolist(), allowed.tolist()
    context, weights = [], []
    for b, h, t in product(range(B), range(H), range(T)):
        scores = [sum(x * y for x, y in zip(q[b][h][t], k[b][h][s], strict=True)) / math.sqrt(K) for s in range(S)]
        exponentials = [math.exp(score) if may[b][h][t][s] else 0.0 for s, score in enumerate(scores)]
        total = sum(exponentials)
        row = [exponential / total if total else 0.0 for exponential in exponentials]
        weights.append(row)
        context.append([sum(row[s] * v[b][h][s][e] for s in range(S)) for e in range(E)])
    as_tensor = partial(torch.tensor, dtype=torch.float64)
    return as_tensor(context).view(B, H, T, E), as_tensor(weights).view(B, H, T, S)


@pytest.mark.parametrize("kind", MASKS)
def test_readable_attention_is_equation_1(kind: str) -> None:
    query, key, value = draw_inputs()
    mask = draw_mask(kind)
    context, weights = scaled_dot_product_attention(query, key, value, mask)
    expected_context, expected_weights = attention_by_loops(query, key, value, mask)
    torch.testing.assert_close(context, expected_context, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(weights, expected_weights, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", MASKS)
def test_weights_are_shares_of_what_may_be_attended_to(kind: str) -> None:
    query, key, value = draw_inputs()
    mask = draw_mask(kind)
    _, weights = scaled_dot_product_attention(100 * query, key, value, mask)
    allowed = torch.ones(B, H, T, S, dtype=torch.bool) if mask is None else mask.expand(B, H, T, S)
    assert (weights[~allowed] == 0).all()
    torch.testing.assert_close(weights.sum(-1), allowed.any(-1).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", [lambda *args: scaled_dot_product_attention(*args)[0], fused_attention])
def test_what_is_hidden_stays_hidden_however_low_the_other_scores_are(form) -> None:
    """What may be attended to scores some -3 * 10^8, what may not as much above zero."""
    mask = torch.arange(S) < 3
    signs = torch.where(mask, -1.0, 1.0)[:, None]
    query, key = torch.full((B, H, T, K), 1e4), (1e4 * signs).expand(B, H, S, K)
    value = torch.randn(B, H, S, E)
    expected = value[:, :, :3].mean(2, keepdim=True).expand(B, H, T, E)
    torch.testing.assert_close(form(query, key, value, mask.expand(T, S)), expected)


@pytest.mark.parametrize("kind", MASKS)
def test_readable_attention_has_the_gradient_of_its_values(kind: str) -> None:
    mask = draw_mask(kind)
    attention = partial(scaled_dot_product_attention, mask=mask)
    assert torch.autograd.gradcheck(attention, draw_inputs(), fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", MASKS)
def test_fused_is_readable(kind: str, dtype: torch.dtype) -> None:
    inputs = draw_inputs(dtype)
    mask = draw_mask(kind)
    readable = scaled_dot_product_attention(*inputs, mask)[0]
    fused = fused_attention(*inputs, mask)
    torch.testing.assert_close(fused, readable)
    weight = torch.randn(B, H, T, E, dtype=dtype)
    expected = torch.autograd.grad((readable * weight).sum(), inputs)
    torch.testing.assert_close(torch.autograd.grad((fused * weight).sum(), inputs), expected)


@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize("kind", MASKS)
def test_another_scale_is_equation_1_of_a_longer_query_in_either_form(kind: str, scale: float) -> None:
    query, key, value = inputs = draw_inputs()
    mask = draw_mask(kind)
    expected, expected_weights = attention_by_loops(scale * math.sqrt(K) * query, key, value, mask)
    context, weights = scaled_dot_product_attention(query, key, value, mask, scale)
    torch.testing.assert_close(context, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(weights, expected_weights, rtol=1e-12, atol=1e-14)
    fused = fused_attention(query, key, value, mask, scale)
    torch.testing.assert_close(fused, context)
    weight = torch.randn(B, H, T, E, dtype=torch.float64)
    gradients = torch.autograd.grad((context * weight).sum(), inputs)
    torch.testing.assert_close(torch.autograd.grad((fused * weight).sum(), inputs), gradients)


@pytest.mark.parametrize("form", [lambda *args: scaled_dot_product_attention(*args)[0], fused_attention, attend])
@pytest.mark.parametrize("kind", MASKS)
def test_zero_queries_and_keys_take_the_mean_of_what_may_be_attended_to(kind: str, form) -> None:
    query, key, value = draw_inputs()
    mask = draw_mask(kind)
    context = form(torch.zeros_like(query), torch.zeros_like(key), value, mask)
    allowed = torch.ones(B, H, T, S, dtype=torch.bool) if mask is None else mask.expand(B, H, T, S)
    for b, h, t in product(range(B), range(H), range(T)):
        seen = value[b, h][allowed[b, h, t]]
        expected = seen.mean(0) if len(seen) else torch.zeros(E, dtype=torch.float64)
        torch.testing.assert_close(context[b, h, t], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("form", [lambda *args: scaled_dot_product_attention(*args)[0], fused_attention, attend])
def test_a_query_with_nothing_to_attend_to_gives_zeros_and_takes_no_gradient(form) -> None:
    query, key, value = inputs = draw_inputs(torch.float32)
    mask = draw_mask("free")
    context = form(*inputs, mask)
    assert (context[0, 1, 2] == 0).all()
    assert (context[1, 2] == 0).all()
    assert (context[0, 0] != 0).any()
    context.square().sum().backward()
    for gradient in (query.grad, key.grad, value.grad):
        assert gradient.isfinite().all()
        assert (gradient[1, 2] == 0).all()
        assert (gradient[0, 0] != 0).any()
    assert (query.grad[0, 1, 2] == 0).all()


# Query heads, key heads: one for each, one for each two or three, one for all.
every_grouping = pytest.mark.parametrize(("heads", "groups"), [(6, 6), (6, 3), (6, 2), (6, 1)])
BIASES = ["none", "shared", "own"]


def draw_grouped(
    heads: int, groups: int, kind: str, bias: str, dtype: torch.dtype = torch.float64
) -> tuple[list[Tensor], Tensor | None]:
    """Query, key, value and where there is to be one a bias, of all rows or of each; and a mask for all heads."""
    inputs = [draw(B, heads, T, K, dtype=dtype), draw(B, groups, S, K, dtype=dtype), draw(B, groups, S, E, dtype=dtype)]
    if bias != "none":
        inputs.append(draw(1 if bias == "shared" else B, heads, T, S, dtype=dtype))
    mask = draw_mask(kind)
    return inputs, mask.repeat(1, heads // H, 1, 1) if kind == "free" else mask


def call(form, inputs: list[Tensor], mask: Tensor | None, scale: float | None = None) -> Tensor:
    query, key, value, *bias = inputs
    context = form(query, key, value, mask, scale, *bias)
    return context[0] if isinstance(context, tuple) else context


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("kind", MASKS)
@every_grouping
def test_shared_keys_and_a_bias_are_equation_1_with_both_written_out(
    heads: int, groups: int, kind: str, bias: str, scale: float | None
) -> None:
    inputs, mask = draw_grouped(heads, groups, kind, bias)
    query, key, value, *added = inputs
    keys, values = (each.repeat_interleave(heads // groups, 1) for each in (key, value))
    scores = torch.einsum("bhtk,bhsk->bhts", query, keys) * (K**-0.5 if scale is None else scale) + sum(added)
    exponentials = scores.exp() if mask is None else scores.exp() * mask
    shares = exponentials / exponentials.sum(-1, keepdim=True).clamp(min=1e-300)
    expected = torch.einsum("bhts,bhse->bhte", shares, values)
    context, weights = scaled_dot_product_attention(query, key, value, mask, scale, *added)
    torch.testing.assert_close(weights, shares, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(context, expected, rtol=1e-12, atol=1e-14)
    weight = torch.randn_like(context)
    gradients = torch.autograd.grad((context * weight).sum(), inputs)
    others = torch.autograd.grad((expected * weight).sum(), inputs)
    torch.testing.assert_close(gradients, others, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("kind", MASKS)
@every_grouping
def test_fused_is_readable_with_shared_keys_and_a_bias(
    heads: int, groups: int, kind: str, bias: str, dtype: torch.dtype
) -> None:
    inputs, mask = draw_grouped(heads, groups, kind, bias, dtype)
    readable, fused = call(scaled_dot_product_attention, inputs, mask), call(fused_attention, inputs, mask)
    torch.testing.assert_close(fused, readable)
    weight = torch.randn_like(readable)
    expected = torch.autograd.grad((readable * weight).sum(), inputs)
    gradients = torch.autograd.grad((fused * weight).sum(), inputs)
    torch.testing.assert_close(gradients, expected)
    if kind == "free":
        # A query with nothing to attend to: zeros, and no gradient to it or to its bias.
        assert (fused[0, 1, 2] == 0).all()
        assert (gradients[0][0, 1, 2] == 0).all()
        assert all((gradient[-1, 2] == 0).all() for gradient in gradients[3:] if len(gradient) == B)


@pytest.mark.parametrize("queries", [509, 521], ids=["readable", "fused"])
@every_grouping
def test_either_side_of_the_length_that_chooses_gives_the_same(heads: int, groups: int, queries: int) -> None:
    keys, dtype = 509, torch.float64
    query, bias = draw(1, heads, queries, 2), draw(1, heads, queries, keys)
    key, value, mask = draw(1, groups, keys, 2), draw(1, groups, keys, 3), causal_mask(queries, keys)
    mask[7] = False
    inputs, weight = [query, key, value, bias], torch.randn(1, heads, queries, 3, dtype=dtype)
    contexts = [call(form, inputs, mask) for form in (attend, scaled_dot_product_attention, fused_attention)]
    gradients = [torch.autograd.grad((context * weight).sum(), inputs) for context in contexts]
    assert torch.equal(contexts[0], contexts[1 if queries == 509 else 2])
    for other in (1, 2):
        torch.testing.assert_close(contexts[0], contexts[other], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(gradients[0], gradients[other], rtol=1e-9, atol=1e-12)
    assert (contexts[0][0, :, 7] == 0).all()


@pytest.mark.parametrize("kind", MASKS)
def test_attend_is_readable_attention(kind: str) -> None:
    inputs = draw_inputs(torch.float32)
    mask = draw_mask(kind)
    torch.testing.assert_close(attend(*inputs, mask), scaled_dot_product_attention(*inputs, mask)[0])


@pytest.mark.parametrize(
    ("queries", "keys", "form"), [(1, 997, "readable"), (509, 509, "readable"), (521, 509, "fused")]
)
def test_on_a_cpu_the_length_chooses_the_form(
    queries: int, keys: int, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    for name, twin in (("scaled_dot_product_attention", "readable"), ("fused_attention", "fused")):
        original = getattr(attention, name)
        monkeypatch.setattr(attention, name, lambda *a, o=original, t=twin: used.append(t) or o(*a))
    query, key, value = torch.randn(1, 2, queries, 3), torch.randn(1, 2, keys, 3), torch.randn(1, 2, keys, 5)
    context = attend(query, key, value)
    assert used == [form]
    torch.testing.assert_close(context, (query @ key.transpose(-2, -1) / 3**0.5).softmax(dim=-1) @ value)
