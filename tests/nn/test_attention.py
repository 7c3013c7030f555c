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
from attento.nn.relation import LinearBiases, Places, Relation, RotaryRelations, consecutive_places

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


@pytest.mark.parametrize("kind", ["none", "causal"])
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_shared_heads_are_plain_ones_whose_keys_and_values_are_repeated(groups: int, kind: str) -> None:
    """Ainslie et al. 2023, section 2.2; one group is Shazeer 2019, as many as heads is Vaswani et al. 2017."""
    heads, d_model, mask = 6, 17, draw_mask(kind)
    ours = MultiHeadAttention(d_model, heads, K, E, num_kv_heads=groups).double()
    plain = MultiHeadAttention(d_model, heads, K, E).double()
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.3)
    weights = dict(ours.state_dict())
    for name in ("key.weight", "key.bias", "value.weight", "value.bias"):
        split = weights[name].unflatten(0, (groups, -1))
        weights[name] = split.repeat_interleave(heads // groups, 0).flatten(0, 1)
    plain.load_state_dict(weights)
    hidden, memory = draw(B, T, d_model), draw(B, S, d_model)
    kept, whole = ours.keys_values(memory), plain.keys_values(memory)
    torch.testing.assert_close(ours(hidden, kept, mask), plain(hidden, whole, mask), rtol=1e-10, atol=1e-12)
    assert (kept.keys.shape, kept.values.shape) == ((B, groups, S, K), (B, groups, S, E))
    assert heads * (kept.keys.nbytes + kept.values.nbytes) == groups * (whole.keys.nbytes + whole.values.nbytes)


def test_groups_must_divide_the_heads() -> None:
    with pytest.raises(
        ValueError, match="`num_kv_heads` must divide `num_heads`, but got num_kv_heads=4 and num_heads=6"
    ):
        MultiHeadAttention(18, 6, num_kv_heads=4)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_without_bias_the_projections_are_matrices_alone(groups: int) -> None:
    bare, full = (MultiHeadAttention(18, 6, num_kv_heads=groups, bias=bias).double() for bias in (False, True))
    assert set(bare.state_dict()) == {f"{name}.weight" for name in ("query", "key", "value", "output")}
    full.load_state_dict(bare.state_dict(), strict=False)
    for name, parameter in full.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    hidden = draw(B, T, 18)
    assert torch.equal(bare(hidden, bare.keys_values(hidden)), full(hidden, full.keys_values(hidden)))


@pytest.mark.parametrize("rows", [1, B])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_a_relation_turns_queries_and_keys_and_moves_scores_but_leaves_values(groups: int, rows: int) -> None:
    heads, d_model, d_key = 6, 17, 2 * K
    attention = MultiHeadAttention(d_model, heads, d_key, E, num_kv_heads=groups).double()
    places = Places(torch.randint(97, (rows, T)), torch.randint(97, (rows, S)))
    rotary, bias = RotaryRelations(d_key), LinearBiases(heads)(places).bias
    hidden, memory = draw(B, T, d_model), draw(B, S, d_model)
    at_queries = Relation(rotary(places).rotation, bias)
    at_keys = rotary(Places(places.seen, places.seen))
    kept = attention.keys_values(memory, at_keys)
    assert torch.equal(kept.values, attention.keys_values(memory).values)
    query, key = attention.query(hidden), attention.key(memory)
    turned = at_queries.rotate(query.unflatten(-1, (heads, d_key)).transpose(1, 2))
    found = at_keys.rotate(key.unflatten(-1, (groups, d_key)).transpose(1, 2)).repeat_interleave(heads // groups, 1)
    scores = turned @ found.transpose(-1, -2) / math.sqrt(d_key) + bias
    gathered = scores.softmax(-1) @ kept.values.repeat_interleave(heads // groups, 1)
    expected = attention.output(gathered.transpose(1, 2).flatten(2))
    output = attention(hidden, kept, None, at_queries)
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-12)


def test_a_model_in_half_precision_adds_a_bias_in_float32_and_keeps_its_format() -> None:
    attention = MultiHeadAttention(18, 6, 4, num_kv_heads=2).bfloat16()
    places = consecutive_places(0, T, 0)
    hidden = torch.randn(B, T, 18).bfloat16()
    for relation in (LinearBiases(6)(places), RotaryRelations(4)(places)):
        output = attention(hidden, attention.keys_values(hidden, relation), causal_mask(T, T), relation)
        assert output.dtype == torch.bfloat16
    query = torch.zeros(B, H, T, K, dtype=torch.bfloat16)
    bias = 300 + torch.arange(S).expand(1, H, T, S) / 8
    _, weights = scaled_dot_product_attention(
        query, query[:, :, :1].expand(B, H, S, K), torch.zeros_like(query[:, :, :1]).expand(B, H, S, K), bias=bias
    )
    torch.testing.assert_close(weights, bias.softmax(-1).expand(B, H, T, S))


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
    with pytest.raises(ValueError, match=r"`d_key`, `d_value` and `num_kv_heads` must be left out"):
        MultiHeadAttention(33, 3, **widths, projections=False)
