"""What ConvS2S promises: the paper's equations, and one result however the target is cut and the source is padded."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attento.models.base import Memory
from attento.models.translation.config import ConvS2SConfig
from attento.models.translation.convolutional import ConvS2S
from attento.nn.state import DecoderState

# Rows, source, target, width, vocabulary; decoder: 2 layers that see 3 tokens, a reach of 5.
B, S, T, D, V = 3, 7, 8, 5, 17
LENGTHS = (7, 2, 4)
HALF = 0.5**0.5

Weights = dict[str, Tensor]


def make(vocab: tuple[int, int] = (V, V), **changes: Any) -> ConvS2S:
    settings: dict[str, Any] = {
        "architecture": "convs2s", "d_model": D, "encoder_layers": 1, "decoder_layers": 2, "max_positions": 11,
    }  # fmt: skip
    return ConvS2S(ConvS2SConfig(**(settings | changes)), *vocab).double().eval()


def draw_source() -> tuple[Tensor, Tensor]:
    return torch.randint(V, (B, S)), torch.arange(S) < torch.tensor(LENGTHS)[:, None]


def draw_target() -> Tensor:
    return torch.randint(V, (B, T))


def decode(model: ConvS2S, source: Tensor, mask: Tensor, target: Tensor) -> Tensor:
    return model.decode(target, model.start(model.encode(source, mask)))[0]


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def affine(weights: Weights, name: str, vector: Tensor) -> Tensor:
    return weights[f"{name}.weight"] @ vector + weights[f"{name}.bias"]


def gated(weights: Weights, name: str, seen: list[Tensor]) -> Tensor:
    """Apply a kernel to the columns that it sees, and half of what comes out as the gate of the other half."""
    both = affine(weights, f"{name}.convolution.linear", torch.cat(seen))
    return both[:D] / (1 + torch.exp(-both[D:]))


def attention(query: Tensor, keys: list[Tensor], values: list[Tensor]) -> Tensor:
    """Compute c of Gehring et al. 2017, eq. 2, times m sqrt(1/m) (section 3.4)."""
    scores = [sum(q * k for q, k in zip(query.tolist(), key.tolist(), strict=True)) for key in keys]
    shares = torch.tensor(scores, dtype=torch.float64).exp()
    total = torch.zeros(D, dtype=torch.float64)
    for share, value in zip((shares / shares.sum()).tolist(), values, strict=True):
        total = total + share * value
    return total * len(keys) * (1 / len(keys)) ** 0.5


def by_loops(weights: Weights, source: list[int], target: list[int]) -> Tensor:
    """Compute the logits of one sentence without padding, place by place, from the weights alone."""
    zero = torch.zeros(D, dtype=torch.float64)
    table = weights["target_embedding.weight"]
    e = [(table[token] * D**0.5 + weights["source_positions.weight"][j]) * 0.1 for j, token in enumerate(source)]
    columns = [zero] + [affine(weights, "encoder_input", each) for each in e] + [zero]
    z = [(columns[j + 1] + gated(weights, "encoder.0", columns[j : j + 3])) * HALF for j in range(len(source))]
    z = [affine(weights, "encoder_output", each) for each in z]
    values = [(one + other) * HALF for one, other in zip(z, e, strict=True)]
    g = [(table[token] * D**0.5 + weights["target_positions.weight"][t]) * 0.1 for t, token in enumerate(target)]
    h = [affine(weights, "decoder_input", each) for each in g]
    for layer in ("decoder.0", "decoder.1"):
        columns, h = [zero, zero, *h], []
        for t in range(len(target)):
            new = gated(weights, layer, columns[t : t + 3])
            query = (affine(weights, f"{layer}.query", new) + g[t]) * HALF
            h.append((columns[t + 2] + (new + attention(query, z, values)) * HALF) * HALF)
    return torch.stack([table @ affine(weights, "decoder_output", each) for each in h])


def test_logits_are_the_papers_equations() -> None:
    model, target = make(), draw_target()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    source, mask = draw_source()
    logits = decode(model, source, mask, target)
    for row, length in enumerate(LENGTHS):
        assert_close(logits[row], by_loops(model.state_dict(), source[row, :length].tolist(), target[row].tolist()))


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_step_by_step_is_all_at_once_in_any_width(width: int) -> None:
    model, target = make(width=width), draw_target()
    state: DecoderState = model.start(model.encode(*draw_source()))
    expected, _ = model.decode(target, state)
    logits = []
    for piece in target.split([1, 4, 2, 1], dim=1):
        more, state = model.decode(piece, state)
        logits.append(more)
    assert_close(torch.cat(logits, dim=1), expected)


def embedded(embedding: nn.Module) -> list[Tensor]:
    """Catch what an embedding puts out from now on, so that its gradient can be looked at."""
    caught: list[Tensor] = []

    def catch(_module: nn.Module, _ids: Any, output: Tensor) -> None:
        output.retain_grad()
        caught.append(output)

    embedding.register_forward_hook(catch)
    return caught


@pytest.mark.parametrize("position", range(T))
def test_only_the_last_tokens_are_seen(position: int) -> None:
    model = make(tied_embeddings="target")
    caught = embedded(model.target_embedding)
    logits = decode(model, *draw_source(), draw_target())
    (logits[:, position] * torch.randn(V)).sum().backward()
    reach = 1 + 2 * (3 - 1)
    inside = torch.tensor([position - reach < place <= position for place in range(T)])
    assert torch.equal(caught[0].grad.abs().sum(-1) > 0, inside.expand(B, T))


def test_only_real_source_tokens_are_seen() -> None:
    model = make(tied_embeddings="target")
    caught = embedded(model.source_embedding)
    source, mask = draw_source()
    (decode(model, source, mask, draw_target()) * torch.randn(V)).sum().backward()
    assert torch.equal(caught[0].grad.abs().sum(-1) > 0, mask)


def test_a_memory_that_another_model_made_is_refused() -> None:
    memory = Memory(torch.zeros(B, S, D).double(), torch.ones(B, S, dtype=torch.bool))
    with pytest.raises(TypeError, match="`ConvS2SMemory` was given `Memory`"):
        make().start(memory)


def test_learned_positions_set_a_limit_to_both_sides() -> None:
    model = make()
    assert (model.max_source_length, model.max_target_length) == (11, 11)
    ids, real = torch.randint(V, (2, 12)), torch.ones(2, 12, dtype=torch.bool)
    with pytest.raises(IndexError, match="position 11 is beyond the 11 positions"):
        model.encode(ids, real)
    _, state = model.decode(ids[:, :11], model.start(model.encode(ids[:, :11], real[:, :11])))
    with pytest.raises(IndexError, match="position 11 is beyond the 11 positions"):
        model.decode(ids[:, 11:], state)


def test_vectors_start_as_the_paper_has_them_and_keep_their_variance_through_many_layers() -> None:
    """Sections 3.4 and 3.5: tokens and positions from N(0, 0.1), and no growth or decay with depth."""
    model = make((997, 997), d_model=199, encoder_layers=16, decoder_layers=16, dropout=0.0, max_positions=29)
    ids = torch.randint(997, (5, 29))
    tokens, positions = model.target_embedding(ids), model.source_positions(0, 29)
    assert (tokens.std().item(), positions.std().item()) == pytest.approx((1, 1), rel=0.05)
    memory = model.encode(ids, torch.ones(5, 29, dtype=torch.bool))
    features, _ = model.features(ids, model.start(memory))
    assert 0.01 < memory.hidden.var() < 0.04
    # Somewhat more: at first all layers gather nearly the same from the source.
    assert 0.01 < features.var() < 0.2
