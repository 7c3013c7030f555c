"""The decoder without a source against torch's encoder with a causal mask, and what it sees."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attento.models.language.config import DecoderOnlyConfig
from attento.models.language.decoder_only import DecoderOnly
from attento.nn.state import DecoderState

# Rows, tokens, width, heads, feed-forward, layers, vocabulary.
B, T, D, H, INNER, LAYERS, V = 5, 7, 33, 3, 13, 2, 17

both_orders = pytest.mark.parametrize("norm", ["post", "pre"])
every_position = pytest.mark.parametrize("positions", ["sinusoidal", "learned", "none"])


def make(**changes: Any) -> DecoderOnly:
    sizes: dict[str, Any] = {"d_model": D, "num_heads": H, "d_ff": INNER, "layers": LAYERS, "max_positions": 11}
    config = DecoderOnlyConfig(architecture="decoder_only", **(sizes | changes))
    return DecoderOnly(config, V).double().eval()


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


def torchs(norm: str) -> nn.TransformerEncoder:
    pre = norm == "pre"
    layer = nn.TransformerEncoderLayer(D, H, INNER, dropout=0.0, batch_first=True, norm_first=pre, dtype=torch.float64)
    last = nn.LayerNorm(D, dtype=torch.float64) if pre else None
    return nn.TransformerEncoder(layer, LAYERS, last, enable_nested_tensor=False)


@torch.no_grad()
def give_weights(ours: DecoderOnly, theirs: nn.TransformerEncoder) -> None:
    """Draw all of ours anew, biases and gains too, and give torch's the same."""
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.3)
    pairs = [] if theirs.norm is None else [(ours.decoder_norm, theirs.norm)]
    for mine, other in zip(ours.decoder, theirs.layers, strict=True):
        parts = [mine.self_attention.query, mine.self_attention.key, mine.self_attention.value]
        other.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        other.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        pairs += [
            (mine.self_attention.output, other.self_attn.out_proj),
            (mine.feed_forward.inner, other.linear1),
            (mine.feed_forward.outer, other.linear2),
            (mine.self_attention_residual.norm, other.norm1),
            (mine.feed_forward_residual.norm, other.norm2),
        ]
    for mine, other in pairs:
        other.weight.copy_(mine.weight)
        other.bias.copy_(mine.bias)


@both_orders
@every_position
@pytest.mark.parametrize("tied", [True, False])
def test_is_torchs_encoder_with_a_causal_mask(tied: bool, positions: str, norm: str) -> None:
    ours, theirs = make(norm=norm, positions=positions, tied_embeddings=tied, dropout=0.0).train(), torchs(norm)
    give_weights(ours, theirs)
    tokens = torch.randint(V, (B, T))
    angles = [[place / 10000 ** (2 * (i // 2) / D) for i in range(D)] for place in range(T)]
    where = {
        "none": 0,
        "learned": ours.state_dict().get("positions.weight", torch.zeros(11, D))[:T],
        # In float32, as the model has it.
        "sinusoidal": torch.tensor(
            [[math.cos(a) if i % 2 else math.sin(a) for i, a in enumerate(row)] for row in angles]
        ).double(),
    }[positions]
    hidden = ours.embedding.weight.detach()[tokens] * math.sqrt(D) + where
    written = theirs(hidden, mask=torch.ones(T, T, dtype=torch.bool).triu(1))
    matrix = ours.embedding.weight if tied else ours.output_embedding.weight
    logits, _ = ours.decode(tokens, ours.start(B))
    expected = written @ matrix.detach().T
    assert_close(logits, expected)
    weight = torch.randn_like(logits)
    (logits * weight).sum().backward()
    (expected * weight).sum().backward()
    assert_close(ours.decoder[0].feed_forward.inner.weight.grad, theirs.layers[0].linear1.weight.grad)
    query = ours.decoder[0].self_attention.query.weight.grad
    assert_close(query, theirs.layers[0].self_attn.in_proj_weight.grad[:D])


@both_orders
def test_without_positions_step_by_step_is_all_at_once(norm: str) -> None:
    model, tokens = make(norm=norm, positions="none"), torch.randint(V, (B, T))
    state: DecoderState = model.start(B)
    expected, _ = model.decode(tokens, state)
    logits = []
    for piece in tokens.split([1, 3, 2, 1], dim=1):
        more, state = model.decode(piece, state)
        logits.append(more)
    assert_close(torch.cat(logits, 1), expected)


@both_orders
@pytest.mark.parametrize("place", range(T))
def test_only_the_past_is_seen(place: int, norm: str) -> None:
    model = make(norm=norm, tied_embeddings=False)
    tokens = torch.randint(V, (1, T))
    expected, _ = model.decode(tokens, model.start(1))
    tokens[:, place] = (tokens[:, place] + 1) % V
    logits, _ = model.decode(tokens, model.start(1))
    assert torch.equal(logits[:, :place], expected[:, :place])
    assert (logits[:, place:] != expected[:, place:]).any(-1).all()


def test_learned_positions_set_a_limit_and_others_do_not() -> None:
    learned = make(positions="learned")
    assert (learned.max_length, make(positions="sinusoidal").max_length, make(positions="none").max_length) == (
        11, None, None,
    )  # fmt: skip
    _, state = learned.decode(torch.randint(V, (B, 11)), learned.start(B))
    with pytest.raises(IndexError, match="position 11 is beyond the 11 positions"):
        learned.decode(torch.randint(V, (B, 1)), state)


@pytest.mark.parametrize("tied", [True, False])
def test_a_matrix_has_one_name_in_the_file_of_weights(tied: bool) -> None:
    model = make(tied_embeddings=tied)
    weights = model.state_dict()
    names = {name for name in weights if "embedding" in name}
    assert names == {"embedding.weight"} | (set() if tied else {"output_embedding.weight"})
    assert not any("cross_attention" in name for name in weights)
    assert weights.keys() == {name for name, _ in model.named_parameters()}
    assert len({weight.data_ptr() for weight in weights.values()}) == len(weights)


@pytest.mark.parametrize("normalization", ["layer", "batch"])
def test_recomputing_changes_neither_gradients_nor_averages(normalization: str) -> None:
    results = []
    for recompute in (False, True):
        torch.manual_seed(3)
        model = make(dropout=0.3, normalization=normalization).train()
        model.recompute = recompute
        model.decode(torch.randint(V, (B, T)), model.start(B))[0].square().sum().backward()
        results.append([parameter.grad for parameter in model.parameters()] + list(model.buffers()))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
