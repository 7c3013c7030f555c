"""What ByteNet promises: a decoder on top of an encoder, column on column, whatever the lengths of the two."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attento.models.translation.bytenet import ByteNet
from attento.models.translation.config import ByteNetConfig
from attento.nn.state import DecoderState

# Rows, source, target, width, vocabulary.
B, S, T, D, V = 3, 7, 11, 10, 17
LENGTHS = (7, 2, 4)
DILATIONS = (1, 2)

Weights = dict[str, Tensor]


def make(**changes: Any) -> ByteNet:
    settings: dict[str, Any] = {"architecture": "bytenet", "d_model": D, "blocks": 1, "dilations": DILATIONS}
    return ByteNet(ByteNetConfig(**(settings | changes)), V, V).double().eval()


def draw_source() -> tuple[Tensor, Tensor]:
    return torch.randint(V, (B, S)), torch.arange(S) < torch.tensor(LENGTHS)[:, None]


def draw_target() -> Tensor:
    return torch.randint(V, (B, T))


def decode(model: ByteNet, source: Tensor, mask: Tensor, target: Tensor) -> Tensor:
    return model.decode(target, model.start(model.encode(source, mask)))[0]


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


def active(weights: Weights, norm: str, column: Tensor) -> Tensor:
    """Compute the ReLU of the layer norm of one column."""
    centred = column - column.mean()
    normed = centred / (centred.square().mean() + 1e-5).sqrt()
    return (normed * weights[f"{norm}.weight"] + weights[f"{norm}.bias"]).clamp(min=0)


def affine(weights: Weights, name: str, column: Tensor) -> Tensor:
    return weights[f"{name}.weight"] @ column + weights[f"{name}.bias"]


def normalised_linear(weights: Weights, name: str, column: Tensor) -> Tensor:
    return affine(weights, f"{name}.linear", active(weights, f"{name}.norm", column))


def block(weights: Weights, name: str, columns: list[Tensor], offsets: tuple[int, int, int]) -> list[Tensor]:
    half = [active(weights, f"{name}.norm", normalised_linear(weights, f"{name}.inner", each)) for each in columns]
    zero, result = torch.zeros(D // 2, dtype=torch.float64), []
    for t, column in enumerate(columns):
        seen = [half[t + offset] if 0 <= t + offset < len(half) else zero for offset in offsets]
        convolved = affine(weights, f"{name}.convolution.linear", torch.cat(seen))
        result.append(column + normalised_linear(weights, f"{name}.outer", convolved))
    return result


def by_loops(weights: Weights, source: list[int], target: list[int], factor: float) -> Tensor:
    """Compute the logits of one sentence without padding, column by column, from the weights alone."""
    table, zero = weights["target_embedding.weight"] * D**0.5, torch.zeros(D, dtype=torch.float64)
    columns = [table[token] for token in source]
    columns += [zero] * (math.ceil(factor * len(source)) - len(source))
    for number, dilation in enumerate(DILATIONS):
        columns = block(weights, f"encoder.{number}", columns, (-dilation, 0, dilation))
    columns = [normalised_linear(weights, "encoder_output", each) for each in columns]
    columns += [zero] * len(target)
    columns = [table[token] + below for token, below in zip(target, columns, strict=False)]
    for number, dilation in enumerate(DILATIONS):
        columns = block(weights, f"decoder.{number}", columns, (-2 * dilation, -dilation, 0))
    features = [normalised_linear(weights, "decoder_output", each) for each in columns]
    return torch.stack([weights["target_embedding.weight"] @ each for each in features])


@pytest.mark.parametrize("factor", [1.0, 1.2, 2.5])
def test_logits_are_the_formula(factor: float) -> None:
    model, target = make(length_factor=factor), draw_target()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    source, mask = draw_source()
    logits = decode(model, source, mask, target)
    for row, length in enumerate(LENGTHS):
        expected = by_loops(model.state_dict(), source[row, :length].tolist(), target[row].tolist(), factor)
        assert_close(logits[row], expected)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_steps_of_any_width_go_on_beyond_the_encoders_last_column(width: int) -> None:
    model, target = make(width=width), draw_target()
    state: DecoderState = model.start(model.encode(*draw_source()))
    assert state.columns.size(1) == 9 < T
    expected, _ = model.decode(target, state)
    logits = []
    for piece in target.split([1, 7, 2, 1], dim=1):
        more, state = model.decode(piece, state)
        logits.append(more)
    assert_close(torch.cat(logits, dim=1), expected)


def test_a_target_shorter_than_the_source_is_its_beginning() -> None:
    model, target = make(), draw_target()
    source, mask = draw_source()
    assert_close(decode(model, source, mask, target[:, :2]), decode(model, source, mask, target)[:, :2])


def embedded(embedding: nn.Module) -> list[Tensor]:
    """Catch what an embedding puts out from now on, so that its gradient can be looked at."""
    caught: list[Tensor] = []

    def catch(_module: nn.Module, _ids: Any, output: Tensor) -> None:
        output.retain_grad()
        caught.append(output)

    embedding.register_forward_hook(catch)
    return caught


@pytest.mark.parametrize("position", range(T))
def test_only_what_the_dilated_kernels_reach_is_seen(position: int) -> None:
    """The decoder reaches 2 * (1 + 2) = 6 back; the encoder's columns 1 + 2 = 3 to either side."""
    model = make(tied_embeddings="target", dropout=0.0)
    written, read = embedded(model.target_embedding), embedded(model.source_embedding)
    logits = decode(model, torch.randint(V, (B, S)), torch.ones(B, S, dtype=torch.bool), draw_target())
    (logits[:, position] * torch.randn(V)).sum().backward()
    inside = torch.tensor([position - 6 <= place <= position for place in range(T)])
    assert torch.equal(written[0].grad.abs().sum((0, -1)) > 0, inside)
    last = min(position, math.ceil(1.2 * S) - 1)
    reached = torch.tensor([position - 6 - 3 <= place <= last + 3 for place in range(S)])
    assert torch.equal(read[0].grad.abs().sum((0, -1)) > 0, reached)


def test_the_encoder_makes_more_columns_than_the_source_has_tokens() -> None:
    memory = make(length_factor=1.2).encode(*draw_source())
    assert memory.mask.sum(1).tolist() == [9, 3, 5]
    assert memory.hidden.shape == (B, 9, D)


def test_there_is_no_limit() -> None:
    model = make()
    assert (model.max_source_length, model.max_target_length) == (None, None)
    long = torch.randint(V, (2, 601))
    assert decode(model, long, torch.ones_like(long).bool(), long).shape == (2, 601, V)
