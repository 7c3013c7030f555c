"""Attention against torch's module, against equation 1 in plain Python, and its two forms against each other."""

import math
from collections.abc import Iterator
from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from attento.nn import attention
from attento.nn.attention import MultiHeadAttention, attend, fused_attention, scaled_dot_product_attention
from attento.nn.masks import causal_mask, padding_mask

# Rows, heads, queries, keys, width of a key, width of a value.
B, H, T, S, K, E = 2, 3, 5, 7, 11, 13
MASKS = ["none", "padding", "causal", "free"]


def draw_mask(kind: str) -> Tensor | None:
    match kind:
        case "padding":
            return padding_mask(torch.arange(S) < torch.tensor([[3], [7]]))
        case "causal":
            return causal_mask(T, S)
        case "free":
            mask = torch.rand(B, H, T, S) < 0.4
            # Queries with nothing to attend to: one in the middle, and a whole head.
            mask[0, 1, 2] = False
            mask[1, 2] = False
            return mask
    return None


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=dtype, requires_grad=True)


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


def twins(
    ours: MultiHeadAttention, theirs: nn.MultiheadAttention
) -> Iterator[tuple[nn.Parameter, nn.Parameter, slice]]:
    """Our parameters, each with torch's and the rows of it that mean the same."""
    width = ours.query.out_features
    for part, linear in enumerate((ours.query, ours.key, ours.value)):
        rows = slice(part * width, (part + 1) * width)
        yield linear.weight, theirs.in_proj_weight, rows
        yield linear.bias, theirs.in_proj_bias, rows
    yield ours.output.weight, theirs.out_proj.weight, slice(None)
    yield ours.output.bias, theirs.out_proj.bias, slice(None)


@pytest.mark.parametrize("self_attention", [True, False], ids=["self", "cross"])
@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
def test_multi_head_attention_is_torchs(padded: bool, causal: bool, self_attention: bool) -> None:
    batch, queries, keys, heads, d_model = 2, 5, (5 if self_attention else 7), 3, 33
    ours = MultiHeadAttention(d_model, heads).double()
    theirs = nn.MultiheadAttention(d_model, heads, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for mine, other, rows in twins(ours, theirs):
            other[rows] = mine.normal_(std=0.3)
    assert {id(mine) for mine, _, _ in twins(ours, theirs)} == {id(mine) for mine in ours.parameters()}

    hidden = draw(batch, queries, d_model)
    memory = hidden if self_attention else draw(batch, keys, d_model)
    real = torch.arange(keys) < torch.tensor([[3], [keys]]) if padded else torch.ones(batch, keys, dtype=torch.bool)
    # The mask in loops, as it is meant; torch's say True for what is hidden.
    seen = torch.tensor([[not causal or s <= t for s in range(keys)] for t in range(queries)])
    output = ours(hidden, ours.keys_values(memory), padding_mask(real) & seen)
    expected, _ = theirs(hidden, memory, memory, key_padding_mask=~real, attn_mask=~seen)
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-12)

    weight = torch.randn_like(output)
    inputs = [hidden] if self_attention else [hidden, memory]
    gradients = torch.autograd.grad((output * weight).sum(), [*inputs, *(mine for mine, _, _ in twins(ours, theirs))])
    others = torch.autograd.grad((expected * weight).sum(), [*inputs, *(other for _, other, _ in twins(ours, theirs))])
    rows_of = [slice(None)] * len(inputs) + [rows for _, _, rows in twins(ours, theirs)]
    for gradient, other, rows in zip(gradients, others, rows_of, strict=True):
        torch.testing.assert_close(gradient, other[rows], rtol=1e-10, atol=1e-12)


def test_heads_of_any_width_are_those_of_section_3_2_2() -> None:
    """Concat(head_1 .. head_h) W^O, head by head, with widths that d_model / num_heads does not give."""
    batch, queries, keys, heads, d_model, d_key, d_value = 2, 5, 7, 3, 17, 11, 13
    attention = MultiHeadAttention(d_model, heads, d_key, d_value).double()
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.3)
    hidden, memory = draw(batch, queries, d_model), draw(batch, keys, d_model)
    concatenated = []
    for head in range(heads):
        to_key, to_value = slice(head * d_key, (head + 1) * d_key), slice(head * d_value, (head + 1) * d_value)
        q = hidden @ attention.query.weight[to_key].T + attention.query.bias[to_key]
        k = memory @ attention.key.weight[to_key].T + attention.key.bias[to_key]
        v = memory @ attention.value.weight[to_value].T + attention.value.bias[to_value]
        concatenated.append(torch.softmax(torch.einsum("btk,bsk->bts", q, k) / math.sqrt(d_key), -1) @ v)
    expected = torch.cat(concatenated, -1) @ attention.output.weight.T + attention.output.bias
    output = attention(hidden, attention.keys_values(memory))
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("widths", [{}, {"d_key": 5}, {"d_value": 5}])
def test_heads_must_divide_the_model_where_their_width_is_left_to_it(widths: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="`num_heads` must divide `d_model`, but got num_heads=3 and d_model=17"):
        MultiHeadAttention(17, 3, **widths)


def test_one_head_without_projections_and_scale_is_the_softmax_of_x_with_itself() -> None:
    """softmax(X X^T) X."""
    attention, x = MultiHeadAttention(17, 1, scores="unscaled", projections=False), 0.3 * draw(2, 5, 17)
    assert list(attention.parameters()) == []
    expected = torch.stack([torch.softmax(row @ row.T, -1) @ row for row in x])
    torch.testing.assert_close(attention(x, attention.keys_values(x)), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("scores", "scale"), [("scaled", 11**-0.5), ("unscaled", 1.0), ("uniform", 0.0)])
def test_heads_without_projections_share_the_vectors_out(scores: str, scale: float) -> None:
    attention = MultiHeadAttention(33, 3, scores=scores, projections=False)
    hidden, memory, mask = draw(2, 5, 33), draw(2, 7, 33), padding_mask(torch.arange(7) < torch.tensor([[3], [7]]))
    output = attention(hidden, attention.keys_values(memory), mask)
    for head in range(3):
        part = slice(11 * head, 11 * (head + 1))
        products = scale * torch.einsum("btk,bsk->bts", hidden[..., part], memory[..., part])
        weights = products.masked_fill(~mask[:, 0], -math.inf).softmax(-1)
        torch.testing.assert_close(output[..., part], weights @ memory[..., part], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("scores", "factor"), [("unscaled", math.sqrt(11)), ("uniform", 0.0)])
def test_scores_of_another_kind_are_those_of_a_longer_or_a_zero_query(scores: str, factor: float) -> None:
    ours, plain = MultiHeadAttention(33, 3, scores=scores).double(), MultiHeadAttention(33, 3).double()
    nn.init.normal_(plain.query.bias)
    missing, _ = plain.load_state_dict(ours.state_dict(), strict=False)
    assert set(missing) == ({f"{p}.{w}" for p in ("query", "key") for w in ("weight", "bias")} if not factor else set())
    with torch.no_grad():
        plain.query.weight.mul_(factor)
        plain.query.bias.mul_(factor)
    hidden, memory, mask = draw(2, 5, 33), draw(2, 7, 33), torch.rand(5, 7) < 0.6
    output = ours(hidden, ours.keys_values(memory), mask)
    torch.testing.assert_close(output, plain(hidden, plain.keys_values(memory), mask), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("widths", [{"d_key": 5}, {"d_value": 5}, {"d_key": 5, "d_value": 7}, {"num_kv_heads": 3}])
def test_widths_are_refused_where_nothing_is_projected(widths: dict[str, int]) -> None:
    with pytest.raises(
        ValueError, match=r"`d_key`, `d_value` and `num_kv_heads` must be left out"
    ):
        MultiHeadAttention(33, 3, **widths, projections=False)
