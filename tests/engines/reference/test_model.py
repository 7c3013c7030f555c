"""The numpy model gives the numbers of the torch models, for every setting that a packed file can have."""

import numpy as np
import pytest
import torch
from packed_models import POSITIONS, SOURCE, STACKS, TARGET, named, torch_logits
from torch import nn

from attento.errors import InputError
from attento.inspection.probes.tracing import trace_pair
from attento.nn.attention import MultiHeadAttention
from attento.nn.embedding import TokenEmbedding
from attento.nn.state import KeyValues
from attento.text.special import BOS_ID, EOS_ID


def in_steps(engine, source, target, sizes=(1, 1, 3, 1)):
    """Return the logits of a target that is read in parts."""
    s, model = engine.model.settings, engine.model
    reads_source = s.architecture != "language_model"
    state = model.encode(np.array([*source, EOS_ID]))[1] if reads_source else model.start()
    read, found = [BOS_ID, *([] if reads_source else source), *target], []
    for size in (*sizes, len(read)):
        part, read = read[:size], read[size:]
        if part:
            logits, state = model.decode(np.array([part]), state)
            found.append(logits[0])
    return np.concatenate(found)


def check(model, engine):
    ours, memory = torch_logits(model, SOURCE, TARGET)
    assert np.abs(ours).max() > 1
    np.testing.assert_allclose(engine.logits(SOURCE, TARGET), ours, atol=1e-4, rtol=1e-5)
    np.testing.assert_allclose(in_steps(engine, SOURCE, TARGET), ours, atol=1e-4, rtol=1e-5)
    if memory is not None:
        np.testing.assert_allclose(engine.encode_source(SOURCE), memory, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(
    "settings", [*POSITIONS, *STACKS, {"tied_embeddings": "target"}, {"tied_embeddings": "all"}], ids=named
)
def test_an_encoder_decoder_is_the_torch_model(pack, translation, settings):
    model, config = translation(**settings)
    check(model, pack(model, config))


@pytest.mark.parametrize(
    "family, settings",
    [
        ("translation", {"num_kv_heads": 2, "norm": "pre", "positions": "relative"}),
        *(("one_stack", {"source_sees": each, "positions": "rotary"}) for each in ("past", "all")),
    ],
)
def test_where_each_layer_looks_is_where_the_torch_model_looks(pack, request, family, settings):
    model, config = request.getfixturevalue(family)(**settings)
    with torch.inference_mode():
        trace = trace_pair(model, SOURCE, TARGET, "weights")
    kind, found = "cross" if family == "translation" else "decoder self", pack(model, config)
    for layer, weights in enumerate(found.source_attention(SOURCE, TARGET)):
        expected = trace.find(kind, layer).weights[0, :, -len(TARGET) - 1 :, : len(SOURCE) + 1]
        np.testing.assert_allclose(weights, expected, atol=1e-5)
    assert layer == 2


def test_a_language_model_has_no_source_to_look_at(pack, language):
    with pytest.raises(InputError, match="no source to look at"):
        pack(*language()).source_attention(SOURCE, TARGET)


@pytest.mark.parametrize("source_sees", ["past", "all"])
@pytest.mark.parametrize(
    "settings", [*POSITIONS, *STACKS[:2], STACKS[-2], {"tied_embeddings": "target", "output_bias": True}], ids=named
)
def test_a_decoder_only_translator_is_the_torch_model(pack, one_stack, settings, source_sees):
    model, config = one_stack(source_sees=source_sees, **settings)
    check(model, pack(model, config))


@pytest.mark.parametrize(
    "settings", [*POSITIONS, *STACKS[:2], STACKS[-2], {"tied_embeddings": True, "output_bias": True}], ids=named
)
def test_a_language_model_is_the_torch_model(pack, language, settings):
    model, config = language(**settings)
    check(model, pack(model, config))


def coarse(values, numbers):
    """Round rows to what they can be in numbers of some kind."""
    if numbers == "bf16":
        return values.bfloat16().float()
    step = values.abs().amax(dim=-1, keepdim=True) / 127
    return (values / step).round() * step


def make_coarse(model, numbers):
    """Let a torch model compute with rounded weights, inputs of products, and kept keys and values."""
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    with torch.no_grad():
        for module in [*linear, *(m for m in model.modules() if isinstance(m, TokenEmbedding))]:
            module.weight.copy_(coarse(module.weight, numbers))
    for module in linear:
        module.register_forward_pre_hook(lambda _, inputs: (coarse(inputs[0], numbers),))
    project = model.project
    model.project = lambda features: project(coarse(features, numbers))
    for attention in model.decoder.modules():
        if isinstance(attention, MultiHeadAttention):
            attention.keys_values = lambda *inputs, keys_values=attention.keys_values: rounded(keys_values(*inputs))


def rounded(kept):
    return KeyValues(coarse(kept.keys, "bf16"), coarse(kept.values, "bf16"))


@pytest.mark.parametrize("numbers", ["int8", "bf16"])
@pytest.mark.parametrize("settings", [{}, {"norm": "pre", "feed_forward": "swiglu", "positions": "rotary"}], ids=named)
def test_coarse_numbers_are_rounded_where_they_are_to_be(pack, translation, settings, numbers):
    model, config = translation(**settings, encoder_layers=1, decoder_layers=1)
    engine = pack(model, config, numbers)
    sentences = [([4 + number, 11 + 3 * number], [9 + number, 7 * number + 5]) for number in range(7)]
    found = [engine.logits(*sentence) for sentence in sentences]
    stepped = [in_steps(engine, *sentence) for sentence in sentences]
    exact = [torch_logits(model, *sentence)[0] for sentence in sentences]
    make_coarse(model, numbers)
    ours = [torch_logits(model, *sentence)[0] for sentence in sentences]
    # A number that is half way between two may be rounded either way, and then its sentence differs: few do.
    assert np.median(differences(found, ours)) < 1e-5
    assert np.median(differences(stepped, ours)) < 1e-5
    assert differences(found, exact).min() > 5e-3


def differences(some, others):
    return np.array([np.abs(one - other).max() for one, other in zip(some, others, strict=True)])


def test_rows_stand_for_themselves(pack, translation):
    model, config = translation(positions="relative", num_kv_heads=2)
    engine = pack(model, config)
    _, state = engine.model.encode(np.array([*SOURCE, EOS_ID]))
    _, state = engine.model.decode(np.array([[BOS_ID, 9], [BOS_ID, 17], [BOS_ID, 31]]), state)
    logits, _ = engine.model.decode(np.array([[4], [5]]), state.select(np.array([2, 0])))
    np.testing.assert_allclose(logits[0, 0], engine.logits(SOURCE, [31, 4])[-1], atol=1e-4)
    np.testing.assert_allclose(logits[1, 0], engine.logits(SOURCE, [9, 5])[-1], atol=1e-4)


def test_no_place_beyond_the_learned_ones_is_made_up(pack, language):
    engine = pack(*language(positions="learned", max_positions=5))
    assert engine.logits([], TARGET[:4]).shape == (5, 53)
    with pytest.raises(IndexError):
        engine.logits([], TARGET[:5])
