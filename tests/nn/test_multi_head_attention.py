"""Multi-head attention against torch's module, and against its sections and equations head by head."""

import math
from collections.abc import Iterator

import pytest
import torch
from attention_inputs import B, E, H, K, S, T, draw, draw_mask
from torch import nn

from attento.nn.attention import MultiHeadAttention, scaled_dot_product_attention
from attento.nn.masks import causal_mask, padding_mask
from attento.nn.relation import LinearBiases, Places, Relation, RotaryRelations, consecutive_places


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
