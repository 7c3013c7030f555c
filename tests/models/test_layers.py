"""Layers with something taken out of them, against their formula in float64; and layers that are computed twice."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attento.models.layers import DecoderLayer, EncoderLayer, LayerState, decode_through, make_last_norm, run
from attento.models.stack_config import StackConfig
from attento.nn.masks import padding_mask
from attento.nn.normalization import BatchNormalization
from attento.nn.relation import NoRelations

# Rows, source, target, width, heads, feed-forward.
B, S, T, D, H, INNER = 2, 7, 5, 33, 3, 13
REAL = torch.arange(S) < torch.tensor([[4], [7]])

both_orders = pytest.mark.parametrize("norm", ["post", "pre"])


def config(**changes: Any) -> StackConfig:
    return StackConfig(**({"d_model": D, "num_heads": H, "d_ff": INNER, "dropout": 0.0} | changes))


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def drawn(layer: nn.Module) -> nn.Module:
    layer = layer.double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    return layer


def attended(attention: nn.Module, query: Tensor, memory: Tensor, scores: str, hidden: Tensor | None) -> Tensor:
    """Section 3.2.2 head by head, with what `scores` says in the softmax; `hidden` is True where nothing is seen."""
    q, k, v = (
        linear(x).view(B, x.size(1), H, D // H)
        for linear, x in ((attention.query, query), (attention.key, memory), (attention.value, memory))
    )
    heads = []
    for h in range(H):
        products = q[:, :, h] @ k[:, :, h].transpose(1, 2) * {"scaled": (D // H) ** -0.5, "unscaled": 1.0}[scores]
        if hidden is not None:
            products = products.masked_fill(hidden, float("-inf"))
        heads.append(products.softmax(-1) @ v[:, :, h])
    return attention.output(torch.cat(heads, -1))


def wrapped(hidden: Tensor, made: Any, norm: nn.LayerNorm, order: str, residual: bool) -> Tensor:
    def normalized(x: Tensor) -> Tensor:
        return F.layer_norm(x, (D,), norm.weight, norm.bias)

    if order == "post":
        return normalized(made(hidden) + (hidden if residual else 0))
    return made(normalized(hidden)) + (hidden if residual else 0)


@both_orders
@pytest.mark.parametrize("scores", ["scaled", "unscaled"])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("feed_forward", ["relu", "none"])
def test_encoder_layer_is_its_formula(feed_forward: str, residual: bool, scores: str, norm: str) -> None:
    layer = drawn(EncoderLayer(config(feed_forward=feed_forward, residual=residual, scores=scores, norm=norm)))
    hidden, attention = draw(B, S, D), layer.self_attention
    expected = wrapped(
        hidden,
        lambda x: attended(attention, x, x, scores, ~REAL[:, None]),
        layer.self_attention_residual.norm,
        norm,
        residual,
    )
    if feed_forward == "relu":
        inner, outer = layer.feed_forward.inner, layer.feed_forward.outer
        norm_of = layer.feed_forward_residual.norm
        expected = wrapped(expected, lambda x: outer(inner(x).clamp(min=0)), norm_of, norm, residual)
    output = layer(hidden, REAL, padding_mask(REAL))
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-12)
    names = {name.split(".")[0] for name, _ in layer.named_parameters()}
    assert ("feed_forward" in names, "feed_forward_residual" in names) == (feed_forward == "relu",) * 2


@both_orders
def test_decoder_layer_without_a_source_is_torchs_encoder_layer_that_sees_the_past(norm: str) -> None:
    ours = drawn(DecoderLayer(config(norm=norm), reads_source=False))
    theirs = nn.TransformerEncoderLayer(
        D, H, INNER, dropout=0.0, batch_first=True, norm_first=norm == "pre", dtype=torch.float64
    )
    attention = ours.self_attention
    parts = [attention.query, attention.key, attention.value]
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        for mine, other in (
            (attention.output, theirs.self_attn.out_proj),
            (ours.feed_forward.inner, theirs.linear1),
            (ours.feed_forward.outer, theirs.linear2),
            (ours.self_attention_residual.norm, theirs.norm1),
            (ours.feed_forward_residual.norm, theirs.norm2),
        ):
            other.weight.copy_(mine.weight)
            other.bias.copy_(mine.bias)
    hidden = draw(B, T, D)
    assert ours.start() == LayerState(None, None)
    output, (state,) = decode_through([ours], hidden, (ours.start(),), 0, NoRelations())
    expected = theirs(hidden, src_mask=torch.ones(T, T, dtype=torch.bool).triu(1))
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-12)
    assert state.source is None
    assert state.target.keys.shape == (B, H, T, D // H)


@both_orders
def test_batch_normalization_counts_the_real_places_of_a_source(norm: str) -> None:
    layer = drawn(EncoderLayer(config(normalization="batch", norm=norm)))
    last = make_last_norm(config(normalization="batch", norm=norm))
    assert isinstance(last, BatchNormalization) == (norm == "pre")
    hidden = draw(B, S, D)
    other = torch.where(REAL[:, :, None], hidden, draw(B, S, D))
    averages = {name: buffer.clone() for name, buffer in layer.named_buffers()}
    output = layer(hidden, REAL, padding_mask(REAL))
    after = {name: buffer.clone() for name, buffer in layer.named_buffers()}
    assert len(after) == 4
    assert all((after[name] != averages[name]).any() for name in after)
    layer.load_state_dict(averages, strict=False)
    assert torch.equal(layer(other, REAL, padding_mask(REAL))[REAL], output[REAL])
    assert all(torch.equal(buffer, after[name]) for name, buffer in layer.named_buffers())


@pytest.mark.parametrize("normalization", ["layer", "batch"])
def test_a_layer_that_is_computed_again_leaves_the_same_gradients_and_averages(normalization: str) -> None:
    plain, again = (EncoderLayer(config(normalization=normalization, dropout=0.3)) for _ in range(2))
    again.load_state_dict(plain.state_dict())
    hidden = torch.randn(B, S, D)
    for layer, recompute in ((plain, False), (again, True)):
        torch.manual_seed(7)
        output = run(layer, hidden.clone().requires_grad_(), REAL, padding_mask(REAL), recompute=recompute)
        output.square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in plain.named_parameters()}
    assert all(torch.equal(parameter.grad, gradients[name]) for name, parameter in again.named_parameters())
    buffers = dict(plain.named_buffers())
    assert len(buffers) == (4 if normalization == "batch" else 0)
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in again.named_buffers())
