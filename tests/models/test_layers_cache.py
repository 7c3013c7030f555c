"""What decoders keep from step to step: as many heads as share keys and values, as many positions as a window sees."""

from typing import Any

import pytest
import torch
from torch import nn

from attento.models.base import Memory
from attento.models.language.config import DecoderOnlyConfig
from attento.models.language.decoder_only import DecoderOnly
from attento.models.translation.config import TransformerConfig
from attento.models.translation.transformer import Transformer
from attento.nn.state import bytes_of

# Rows, layers, heads, width, width inside the network, vocabulary, source and target length.
N, LAYERS, H, D, INNER, V, S, T = 3, 2, 6, 36, 13, 17, 5, 11

every_position = pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary", "alibi", "relative", "none"])
every_window = pytest.mark.parametrize("window", [1, 2, 3, 5, 13])


def make_language_model(**changes: Any) -> DecoderOnly:
    sizes = {"layers": LAYERS, "d_model": D, "num_heads": H, "d_ff": INNER, "max_positions": 23}
    return draw(DecoderOnly(DecoderOnlyConfig(architecture="decoder_only", **sizes | changes), V))


def make_translator(**changes: Any) -> Transformer:
    sizes = {"encoder_layers": 1, "decoder_layers": LAYERS, "d_model": D, "num_heads": H, "d_ff": INNER}
    return draw(Transformer(TransformerConfig(tied_embeddings="none", **sizes | changes), V, V))


def draw(model: Any) -> Any:
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.double().eval()


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_a_cache_is_as_many_parts_of_a_whole_one_as_heads_have_keys(groups: int) -> None:
    """G of H (Ainslie et al. 2023, section 2.2): keys and values of every layer and token, 8 bytes a number.

    The mask of a source is one more byte a token.
    """
    model = make_language_model(num_kv_heads=groups)
    _, state = model.decode(torch.randint(V, (N, T)), model.start(N))
    assert bytes_of(state) == N * T * LAYERS * 2 * groups * (D // H) * 8
    translator = make_translator(num_kv_heads=groups)
    memory = Memory(torch.randn(N, S, D).double(), torch.ones(N, S, dtype=torch.bool))
    _, after = translator.decode(torch.randint(V, (N, T)), translator.start(memory))
    assert bytes_of(after) == N * (S + T) * LAYERS * 2 * groups * (D // H) * 8 + N * S


@every_window
@every_position
@torch.no_grad()
def test_step_by_step_in_a_window_is_all_at_once_and_keeps_no_more_than_it_will_see(
    positions: str, window: int
) -> None:
    model = make_language_model(positions=positions, sliding_window=window, num_kv_heads=2)
    text = torch.randint(V, (N, T))
    expected, _ = model.decode(text, model.start(N))
    state, read = model.start(N), 0
    for chunk in (4, 1, 1, 3, 2):
        logits, state = model.decode(text[:, read : read + chunk], state)
        torch.testing.assert_close(logits, expected[:, read : read + chunk], rtol=1e-9, atol=1e-9)
        read += chunk
        assert state.length == read
        assert {layer.target.length for layer in state.layers} == {min(window - 1, read)}
        state = state.select(torch.arange(N))


@every_window
@torch.no_grad()
def test_a_token_reaches_as_far_as_the_windows_of_all_layers(window: int) -> None:
    """Each layer carries it `window - 1` places on (Beltagy et al. 2020, section 3.1)."""
    model = make_language_model(sliding_window=window)
    text = torch.randint(V, (N, T))
    changed = text.clone()
    changed[1, 2] = (text[1, 2] + 1) % V
    before, after = (model.decode(each, model.start(N))[0] for each in (text, changed))
    moved = (before != after).any(-1)
    reach = LAYERS * (window - 1)
    assert moved[1].tolist() == [2 <= place <= 2 + reach for place in range(T)]
    assert not moved[[0, 2]].any()


@every_position
@torch.no_grad()
def test_a_translators_target_has_the_window_too_and_its_source_stays_whole(positions: str) -> None:
    model = make_translator(positions=positions, sliding_window=3)
    source, real = torch.randint(V, (N, S)), torch.ones(N, S, dtype=torch.bool)
    target, memory = torch.randint(V, (N, T)), model.encode(source, real)
    expected, _ = model.decode(target, model.start(memory))
    state = model.start(memory)
    for place in range(T):
        logits, state = model.decode(target[:, place : place + 1], state)
        torch.testing.assert_close(logits[:, 0], expected[:, place], rtol=1e-9, atol=1e-9)
        assert {layer.target.length for layer in state.layers} == {min(2, place + 1)}
        assert {layer.source.length for layer in state.layers} == {S}
