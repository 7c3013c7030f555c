"""Layers, stacks and the whole Transformer against torch's own, forward and gradients, in float64."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attento.models.layers import DecoderLayer, EncoderLayer, LayerState
from attento.models.translation.config import TransformerConfig
from attento.models.translation.transformer import Transformer
from attento.nn.attention import MultiHeadAttention
from attento.nn.feed_forward import FeedForward
from attento.nn.masks import causal_mask, padding_mask

B, S, T, D, H, F, V = 2, 7, 5, 33, 3, 13, 17
# Our parameter, torch's, and the rows of torch's that mean the same.
Twin = tuple[nn.Parameter, nn.Parameter, slice]
ALL = slice(None)

both_orders = pytest.mark.parametrize("norm", ["post", "pre"])


def config(norm: str, **changes: Any) -> TransformerConfig:
    sizes: dict[str, Any] = {"d_model": D, "num_heads": H, "d_ff": F, "dropout": 0.0, "norm": norm}
    return TransformerConfig(**(sizes | changes))


def torchs(kind: Callable[..., nn.Module], norm: str) -> nn.Module:
    return kind(D, H, F, dropout=0.0, batch_first=True, norm_first=norm == "pre", dtype=torch.float64)


def attention_twins(ours: MultiHeadAttention, theirs: nn.MultiheadAttention) -> Iterator[Twin]:
    for part, linear in enumerate((ours.query, ours.key, ours.value)):
        rows = slice(part * D, (part + 1) * D)
        yield linear.weight, theirs.in_proj_weight, rows
        yield linear.bias, theirs.in_proj_bias, rows
    yield from same(ours.output, theirs.out_proj)


def same(ours: nn.Module, theirs: nn.Module) -> Iterator[Twin]:
    yield ours.weight, theirs.weight, ALL
    yield ours.bias, theirs.bias, ALL


def feed_forward_twins(ours: FeedForward, theirs: nn.Module) -> Iterator[Twin]:
    yield from same(ours.inner, theirs.linear1)
    yield from same(ours.outer, theirs.linear2)


def encoder_twins(ours: EncoderLayer, theirs: nn.TransformerEncoderLayer) -> Iterator[Twin]:
    yield from attention_twins(ours.self_attention, theirs.self_attn)
    yield from feed_forward_twins(ours.feed_forward, theirs)
    yield from same(ours.self_attention_residual.norm, theirs.norm1)
    yield from same(ours.feed_forward_residual.norm, theirs.norm2)


def decoder_twins(ours: DecoderLayer, theirs: nn.TransformerDecoderLayer) -> Iterator[Twin]:
    yield from attention_twins(ours.self_attention, theirs.self_attn)
    yield from attention_twins(ours.cross_attention, theirs.multihead_attn)
    yield from feed_forward_twins(ours.feed_forward, theirs)
    yield from same(ours.self_attention_residual.norm, theirs.norm1)
    yield from same(ours.cross_attention_residual.norm, theirs.norm2)
    yield from same(ours.feed_forward_residual.norm, theirs.norm3)


def give_both_the_same_weights(ours: nn.Module, twins: list[Twin]) -> None:
    """Draw all parameters anew, biases and gains too: what stays 0 or 1 would hide a mistake."""
    assert {id(mine) for mine, _, _ in twins} == {id(mine) for mine in ours.parameters()}
    with torch.no_grad():
        for mine, other, rows in twins:
            other[rows] = mine.normal_(std=0.3)


def assert_same(output: Tensor, expected: Tensor, inputs: list[Tensor], twins: list[Twin]) -> None:
    """Hold output, gradients of inputs and gradients of parameters against torch's."""
    torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-11)
    weight = torch.randn_like(output)
    gradients = torch.autograd.grad((output * weight).sum(), inputs + [mine for mine, _, _ in twins])
    others = torch.autograd.grad((expected * weight).sum(), inputs + [other for _, other, _ in twins])
    all_rows = [ALL] * len(inputs) + [rows for _, _, rows in twins]
    for gradient, other, rows in zip(gradients, others, all_rows, strict=True):
        assert (other[rows] != 0).any()
        torch.testing.assert_close(gradient, other[rows], rtol=1e-9, atol=1e-11)


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def real_tokens(length: int, shortest: int) -> Tensor:
    return torch.arange(length) < torch.tensor([[shortest], [length]])


def hidden_future() -> Tensor:
    """Torch's sense: True where nothing may be seen."""
    return torch.tensor([[key > query for key in range(T)] for query in range(T)])


@both_orders
def test_encoder_layer(norm: str) -> None:
    ours, theirs = EncoderLayer(config(norm)).double(), torchs(nn.TransformerEncoderLayer, norm)
    twins = list(encoder_twins(ours, theirs))
    give_both_the_same_weights(ours, twins)
    hidden, real = draw(B, S, D), real_tokens(S, 3)
    output = ours(hidden, real, padding_mask(real))
    assert_same(output, theirs(hidden, src_key_padding_mask=~real), [hidden], twins)


@both_orders
def test_decoder_layer(norm: str) -> None:
    ours, theirs = DecoderLayer(config(norm)).double(), torchs(nn.TransformerDecoderLayer, norm)
    twins = list(decoder_twins(ours, theirs))
    give_both_the_same_weights(ours, twins)
    hidden, memory, real = draw(B, T, D), draw(B, S, D), real_tokens(S, 3)
    state = LayerState(None, ours.cross_attention.keys_values(memory))
    output, _ = ours(hidden, state, causal_mask(T, T), padding_mask(real))
    expected = theirs(hidden, memory, tgt_mask=hidden_future(), memory_key_padding_mask=~real)
    assert_same(output, expected, [hidden, memory], twins)


@both_orders
def test_the_whole_model(norm: str) -> None:
    """From ids to logits: torch's stacks between an embedding and a projection written here."""
    ours = Transformer(config(norm, encoder_layers=2, decoder_layers=3), V, V).double()
    encoder = nn.TransformerEncoder(
        torchs(nn.TransformerEncoderLayer, norm), 2, final_norm(norm), enable_nested_tensor=False
    )
    decoder = nn.TransformerDecoder(torchs(nn.TransformerDecoderLayer, norm), 3, final_norm(norm))
    matrix = nn.Parameter(torch.empty(V, D, dtype=torch.float64))
    twins = [(ours.target_embedding.weight, matrix, ALL)]
    for layers, their_layers, pair in (
        (ours.encoder, encoder.layers, encoder_twins),
        (ours.decoder, decoder.layers, decoder_twins),
    ):
        for mine, other in zip(layers, their_layers, strict=True):
            twins += pair(mine, other)
    if norm == "pre":
        twins += [*same(ours.encoder_norm, encoder.norm), *same(ours.decoder_norm, decoder.norm)]
    give_both_the_same_weights(ours, twins)

    source, target = torch.randint(V, (B, S)), torch.randint(V, (B, T))
    real = real_tokens(S, 3)
    logits, _ = ours.decode(target, ours.start(ours.encode(source, real)))
    memory = encoder(matrix[source] * math.sqrt(D) + waves(S), src_key_padding_mask=~real)
    written = decoder(
        matrix[target] * math.sqrt(D) + waves(T), memory, tgt_mask=hidden_future(), memory_key_padding_mask=~real
    )
    assert_same(logits, written @ matrix.T, [], twins)


def final_norm(norm: str) -> nn.LayerNorm | None:
    return nn.LayerNorm(D, dtype=torch.float64) if norm == "pre" else None


def waves(length: int) -> Tensor:
    """Section 3.5, element by element; in float32, as the model has it."""
    angles = [[position / 10000 ** (2 * (i // 2) / D) for i in range(D)] for position in range(length)]
    return torch.tensor([[math.cos(a) if i % 2 else math.sin(a) for i, a in enumerate(row)] for row in angles]).double()
