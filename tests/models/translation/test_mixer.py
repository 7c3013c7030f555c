"""The token mixer against its formula, and what a fixed number of positions means."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attento.models.translation.config import TokenMixerConfig
from attento.models.translation.mixer import MixerLayer, TokenMixer
from attento.nn.state import DecoderState

# Rows, source, target, width, feed-forward, width between positions, most positions, vocabulary.
B, S, T, D, INNER, BETWEEN, MOST, V = 3, 7, 5, 33, 13, 19, 11, 17
REAL = torch.arange(S) < torch.tensor([[7], [3], [5]])

both_orders = pytest.mark.parametrize("norm", ["post", "pre"])


def settings(**changes: Any) -> TokenMixerConfig:
    sizes: dict[str, Any] = {
        "d_model": D, "num_heads": 3, "d_ff": INNER, "d_token": BETWEEN, "encoder_layers": 2, "decoder_layers": 2,
        "max_positions": MOST,
    }  # fmt: skip
    return TokenMixerConfig(architecture="token_mixer", **(sizes | changes))


def make(**changes: Any) -> TokenMixer:
    model = TokenMixer(settings(**changes), V, V).double().eval()
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.bias, std=0.3)
    return model


def draw() -> tuple[Tensor, Tensor]:
    return torch.randint(V, (B, S)), torch.randint(V, (B, T))


def mixed(layer: MixerLayer, hidden: Tensor, real: Tensor) -> Tensor:
    """max(0, sum_s W1[j, s] x[s, d] + b1[j]) over real s; then W2[s, j] of it + b2[s]; channel by channel."""
    w1, b1 = layer.token_mixing.inner.weight, layer.token_mixing.inner.bias
    w2, b2 = layer.token_mixing.outer.weight, layer.token_mixing.outer.bias
    rows = []
    for x, length in zip(hidden, real.sum(1).tolist(), strict=True):
        channels = []
        for d in range(D):
            inner = torch.stack([sum(w1[j, s] * x[s, d] for s in range(length)) + b1[j] for j in range(BETWEEN)])
            channels.append(torch.stack([w2[s] @ inner.clamp(min=0) + b2[s] for s in range(S)]))
        rows.append(torch.stack(channels, -1))
    return torch.stack(rows)


@both_orders
def test_a_layer_is_its_formula(norm: str) -> None:
    """Tolstikhin et al. 2021, eq. 1, one number at a time."""
    layer = MixerLayer(settings(norm=norm, dropout=0.0)).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    hidden = torch.randn(B, S, D, dtype=torch.float64)
    inner, outer = layer.feed_forward.inner, layer.feed_forward.outer
    expected = hidden
    for residual, made in (
        (layer.token_mixing_residual, lambda x: mixed(layer, x, REAL)),
        (layer.feed_forward_residual, lambda x: outer(inner(x).clamp(min=0))),
    ):
        gain, bias = residual.norm.weight, residual.norm.bias
        if norm == "pre":
            expected = expected + made(F.layer_norm(expected, (D,), gain, bias))
        else:
            expected = F.layer_norm(expected + made(expected), (D,), gain, bias)
    torch.testing.assert_close(layer(hidden, REAL), expected, rtol=1e-10, atol=1e-12)


def test_with_norms_first_steps_are_all_at_once_alone_or_among_others() -> None:
    model, (source, target) = make(norm="pre"), draw()
    state: DecoderState = model.start(model.encode(source, REAL))
    expected, _ = model.decode(target, state)
    for place in range(T):
        logits, state = model.decode(target[:, place : place + 1], state)
        torch.testing.assert_close(logits[:, 0], expected[:, place], rtol=1e-10, atol=1e-12)
    for row in range(B):
        alone = source[row : row + 1, : int(REAL[row].sum())]
        memory = model.encode(alone, torch.ones_like(alone).bool())
        logits, _ = model.decode(target[row : row + 1], model.start(memory))
        torch.testing.assert_close(logits, expected[row : row + 1], rtol=1e-10, atol=1e-12)


def test_every_real_position_reaches_every_other_and_order_matters() -> None:
    model, (source, _) = make(encoder_layers=1), draw()
    layer = model.encoder[0]
    hidden = torch.randn(1, S, D, dtype=torch.float64, requires_grad=True)
    real = torch.arange(S)[None] < 5
    gradient = torch.autograd.grad((layer(hidden, real)[0, 1] * torch.randn(D)).sum(), hidden)[0]
    assert torch.equal(gradient[0].abs().sum(-1) > 0, real[0])
    straight, back = model.encode(source[:1], REAL[:1]).hidden, model.encode(source[:1].flip(1), REAL[:1]).hidden
    assert not torch.allclose(straight, back.flip(1))


def test_no_source_is_longer_than_its_positions_whatever_the_targets_are() -> None:
    model, learned = make(), make(positions="learned")
    assert (model.max_source_length, model.max_target_length) == (MOST, None)
    assert (learned.max_source_length, learned.max_target_length) == (MOST, MOST)
    assert not any("source_positions" in name for name in learned.state_dict())
    longest = torch.randint(V, (B, MOST))
    assert model.encode(longest, torch.ones_like(longest).bool()).hidden.shape == (B, MOST, D)
    longer = torch.randint(V, (B, MOST + 1))
    with pytest.raises(IndexError, match="a source of 12 tokens is longer than the 11 positions"):
        model.encode(longer, torch.ones_like(longer).bool())


def test_recomputing_changes_no_gradient() -> None:
    results = []
    for recompute in (False, True):
        torch.manual_seed(3)
        model, (source, target) = make(dropout=0.3).train(), draw()
        model.recompute = recompute
        model.decode(target, model.start(model.encode(source, REAL)))[0].square().sum().backward()
        results.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
