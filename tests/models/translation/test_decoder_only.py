"""Translation by one stack against the language model of the same weights that reads each row's joined sequence."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attento.models.language.config import DecoderOnlyConfig
from attento.models.language.decoder_only import DecoderOnly
from attento.models.layers import LayerState
from attento.models.translation.config import DecoderOnlyTranslationConfig
from attento.models.translation.decoder_only import DecoderOnlyTranslation
from attento.nn.state import DecoderState

# Rows, source, target, width, vocabulary.
B, S, T, D, V = 4, 7, 5, 12, 17
LENGTHS = [3, 7, 1, 5]
REAL = torch.arange(S) < torch.tensor(LENGTHS)[:, None]
STACK: dict[str, Any] = {"d_model": D, "num_heads": 3, "d_ff": 19, "layers": 2, "dropout": 0.0}
STACKS: dict[str, dict[str, Any]] = {
    "rotary": {"positions": "rotary", "norm": "pre"},
    "sinusoidal_post_norm": {"positions": "sinusoidal", "norm": "post", "embedding_norm": True},
    "learned": {"positions": "learned", "max_positions": 24, "scale_embeddings": False, "output_bias": True},
    "alibi": {"positions": "alibi", "num_kv_heads": 1},
    "relative": {"positions": "relative", "relative": {"buckets": 4, "max_distance": 5}},
    "none": {"positions": "none", "norm": "pre"},
    "window": {"positions": "rotary", "position_layout": "halves", "sliding_window": 3},
    "window_of_itself": {"positions": "learned", "max_positions": 24, "sliding_window": 1},
}

every_stack = pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)


@torch.no_grad()
def make(**changes: Any) -> DecoderOnlyTranslation:
    config = DecoderOnlyTranslationConfig(architecture="decoder_only", **(STACK | changes))
    model = DecoderOnlyTranslation(config, V, V).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


def draw() -> tuple[Tensor, Tensor]:
    return torch.randint(V, (B, S)), torch.randint(V, (B, T))


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


@every_stack
@pytest.mark.parametrize("tied", ["all", "none"])
def test_is_the_language_model_of_the_joined_sequence_of_each_row_alone(stack: dict[str, Any], tied: str) -> None:
    ours = make(tied_embeddings=tied, **stack)
    # Its words are the source's, then the target's, where those have matrices of their own.
    apart = tied == "none"
    config = DecoderOnlyConfig(architecture="decoder_only", tied_embeddings=not apart, **(STACK | stack))
    theirs = DecoderOnly(config, 2 * V if apart else V).double()
    weights = {name: weight for name, weight in ours.state_dict().items() if "_embedding." not in name}
    words = [ours.source_embedding, ours.target_embedding] if ours.source_embedding else [ours.target_embedding]
    weights["embedding.weight"] = torch.cat([each.weight for each in words])
    if ours.output_embedding is not None:
        weights["output_embedding.weight"] = torch.cat([torch.zeros(V, D), ours.output_embedding.weight])
    if "output_bias" in weights and apart:
        weights["output_bias"] = torch.cat([torch.zeros(V), weights["output_bias"]])
    theirs.load_state_dict(weights)
    source, target = draw()
    logits, _ = ours.decode(target, ours.start(ours.encode(source, REAL)))
    expected = []
    for row, length in enumerate(LENGTHS):
        joined = torch.cat([source[row, :length], target[row] + (V if apart else 0)])[None]
        expected.append(theirs.decode(joined, theirs.start(1))[0][0, length:, -V:])
    assert_close(logits, torch.stack(expected))
    weight = torch.randn_like(logits)
    (logits * weight).sum().backward()
    (torch.stack(expected) * weight).sum().backward()
    for mine, other in zip(ours.decoder.parameters(), theirs.decoder.parameters(), strict=True):
        assert_close(mine.grad, other.grad)


@pytest.mark.parametrize("window", [None, 3])
def test_a_source_that_is_seen_both_ways_is_masked_so(window: int | None) -> None:
    """Raffel et al. 2020, figure 4: the prefix sees all of itself, the rest sees the past."""
    model = make(source_sees="all", positions="learned", max_positions=24, sliding_window=window)
    source, target = draw()
    logits, _ = model.decode(target, model.start(model.encode(source, REAL)))
    reach = window or S + T
    for row, length in enumerate(LENGTHS):
        places = range(length + T)
        mask = [[abs(q - k) < reach and (k <= q or (q < length and k < length)) for k in places] for q in places]
        words = torch.cat([source[row, :length], target[row]])
        hidden = model.target_embedding(words[None]) + model.positions.weight[: length + T]
        for layer in model.decoder:
            hidden, _ = layer(hidden, LayerState(None, None), torch.tensor(mask))
        assert_close(logits[row], model.project(model.decoder_norm(hidden))[0, length:])


def test_distances_have_two_signs_where_the_source_is_seen_both_ways() -> None:
    source, target = draw()
    for sees in ("past", "all"):
        model = make(source_sees=sees, positions="relative", relative={"buckets": 6, "max_distance": 8})
        model.decode(target, model.start(model.encode(source, REAL)))[0].square().sum().backward()
        used = (model.relations.weight.grad != 0).any(dim=1).tolist()
        # Both ways: 0, up to 2 and more before; nothing stands behind at distance 0; up to 2 and more behind.
        assert used == ([True] * 6 if sees == "past" else [True, True, True, False, True, True])


@every_stack
def test_padding_may_stand_on_either_side(stack: dict[str, Any]) -> None:
    model, (source, target) = make(**stack), draw()
    expected, _ = model.decode(target, model.start(model.encode(source, REAL)))
    turned = [torch.cat([source[row, length:], source[row, :length]]) for row, length in enumerate(LENGTHS)]
    memory = model.encode(torch.stack(turned), REAL.flip(1))
    assert_close(model.decode(target, model.start(memory))[0], expected)


def test_a_step_projects_its_own_token_alone_and_the_source_is_read_once() -> None:
    model, (source, target) = make(), draw()
    lengths: list[int] = []
    for layer in model.decoder:
        layer.self_attention.key.register_forward_hook(lambda _, inputs, __: lengths.append(inputs[0].size(1)))
    memory = model.encode(source, REAL)
    assert lengths == [S, S]
    state: DecoderState = model.start(memory)
    for place in range(T):
        lengths.clear()
        _, state = model.decode(target[:, place : place + 1], state)
        assert lengths == [1, 1]


@pytest.mark.parametrize("window", [1, 3, 4, 31])
def test_a_window_keeps_no_more_than_later_tokens_see(window: int) -> None:
    model, (source, target) = make(sliding_window=window), draw()
    state = model.start(model.encode(source, REAL))
    assert [layer.target.length for layer in state.layers] == [min(S, window - 1)] * 2
    _, state = model.features(target, state)
    assert [layer.target.length for layer in state.layers] == [min(S + T, window - 1)] * 2


def test_source_and_target_have_half_of_the_learned_positions_each() -> None:
    assert [
        (model.max_source_length, model.max_target_length)
        for model in (make(positions="learned", max_positions=13), make(), make(positions="sinusoidal"))
    ] == [(6, 7), (None, None), (None, None)]
    model = make(positions="learned", max_positions=13)
    # One row's source is as long as can be, and so is the target; another's source is short.
    real = torch.arange(6) < torch.tensor([[6], [1]])
    state = model.start(model.encode(torch.randint(V, (2, 6)), real))
    logits, state = model.decode(torch.randint(V, (2, 7)), state)
    assert logits.isfinite().all()
    with pytest.raises(IndexError, match="position 13 is beyond the 13 positions"):
        model.decode(torch.randint(V, (2, 1)), state)


def test_a_matrix_has_one_name_and_there_is_no_attention_to_a_source() -> None:
    for tied, names in (
        ("all", {"target"}),
        ("target", {"source", "target"}),
        ("none", {"source", "target", "output"}),
    ):
        weights = make(tied_embeddings=tied).state_dict()
        assert {name for name in weights if "embedding" in name} == {f"{name}_embedding.weight" for name in names}
        assert not any("cross_attention" in name for name in weights)


def test_recomputing_changes_no_gradient() -> None:
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(3)
        model, (source, target) = make(dropout=0.3).train(), draw()
        model.recompute = recompute
        model.decode(target, model.start(model.encode(source, REAL)))[0].square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
