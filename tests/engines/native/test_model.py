"""The native model gives the numbers of the torch models and of numpy, for every setting and every set of kernels."""

import numpy as np
import pytest
import torch
from packed_models import POSITIONS, SOURCE, STACKS, TARGET, named, torch_logits

from attento.engines.native import NativeEngine
from attento.engines.reference.engine import ReferenceEngine
from attento.errors import InputError
from attento.inspection.record import record
from attento.models.base import EncoderDecoder
from attento.text.special import BOS_ID, EOS_ID

attento_native = pytest.importorskip("attento_native", reason="the native engine is not installed: `make native`")
KERNELS = attento_native.available_kernels()
TIED = [{"tied_embeddings": "target", "output_bias": True}, {"tied_embeddings": "all"}]


def engines(path):
    return [NativeEngine.load(path, threads=1, kernels=kernels) for kernels in KERNELS]


def check(packed, model, config):
    ours, _ = torch_logits(model, SOURCE, TARGET)
    prompted = not isinstance(model, EncoderDecoder)
    for engine in engines(packed(model, config)):
        found = engine.logits(SOURCE, TARGET)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, ours, atol=1e-4, rtol=1e-4, err_msg=engine.kernels)
    for numbers in ("bf16", "int8"):
        path = packed(model, config, numbers)
        coarse = ReferenceEngine.load(path).logits(SOURCE, TARGET)
        assert coarse.shape == (len(TARGET) + 1 + prompted * len(SOURCE), 53)
        for engine in engines(path):
            alike = cosines(engine.logits(SOURCE, TARGET), coarse)
            # A number half way between two may be rounded either way, and goes on from there.
            assert np.median(alike) > 0.9995, (numbers, engine.kernels)
            assert alike.min() > 0.99, (numbers, engine.kernels)


def cosines(some, others):
    return (some * others).sum(-1) / np.linalg.norm(some, axis=-1) / np.linalg.norm(others, axis=-1)


@pytest.mark.parametrize("settings", [*POSITIONS, *STACKS, *TIED], ids=named)
def test_an_encoder_decoder_is_the_torch_model(packed, translation, settings):
    check(packed, *translation(**settings))


@pytest.mark.parametrize("source_sees", ["past", "all"])
@pytest.mark.parametrize("settings", [*POSITIONS, *STACKS[:2], STACKS[-2], TIED[0]], ids=named)
def test_a_decoder_only_translator_is_the_torch_model(packed, one_stack, settings, source_sees):
    check(packed, *one_stack(source_sees=source_sees, **settings))


@pytest.mark.parametrize(
    "settings", [*POSITIONS, STACKS[-2], {"tied_embeddings": True, "output_bias": True}], ids=named
)
def test_a_language_model_is_the_torch_model(packed, language, settings):
    check(packed, *language(**settings))


# Panels of 32 outputs, groups of 2 or 4 inputs, blocks of 256 rows: sizes around their edges.
@pytest.mark.parametrize("d_model, d_ff, d_value", [(1, 1, 8), (32, 64, 8), (33, 31, 40), (63, 257, 72)])
def test_sizes_fit_panels_or_not(packed, translation, d_model, d_ff, d_value):
    check(packed, *translation(d_model=d_model, d_ff=d_ff, d_value=d_value, norm="pre"))


@pytest.mark.parametrize(
    "family, settings", [("translation", {}), *(("one_stack", {"source_sees": each}) for each in ("past", "all"))]
)
def test_a_source_may_be_longer_than_a_block(load, request, family, settings):
    model, config = request.getfixturevalue(family)(**settings)
    source = [4 + place * place % 43 for place in range(307)]
    ours, _ = torch_logits(model, source, TARGET)
    np.testing.assert_allclose(load(model, config).logits(source, TARGET), ours, atol=1e-4, rtol=1e-4)


# What one stack reads at once has blocks of 256 tokens.
@pytest.mark.parametrize("source", [[], SOURCE, [4 + place * place % 43 for place in range(307)]], ids=len)
@pytest.mark.parametrize(
    "family, settings",
    [
        ("translation", {}),
        ("translation", {"num_kv_heads": 2, "norm": "pre", "positions": "relative"}),
        ("one_stack", {"source_sees": "past", "num_kv_heads": 2}),
        ("one_stack", {"source_sees": "all", "positions": "alibi"}),
    ],
)
def test_where_each_layer_looks_is_where_the_torch_model_looks(packed, request, family, settings, source):
    model, config = request.getfixturevalue(family)(**settings)
    ids = torch.tensor([[*source, EOS_ID]])
    with torch.inference_mode(), record(model) as trace:
        model.decode(
            torch.tensor([[BOS_ID, *TARGET]]), model.start(model.encode(ids, torch.ones_like(ids, dtype=torch.bool)))
        )
    kind = "cross" if family == "translation" else "decoder self"
    expected = [trace.find(kind, layer).weights[0, :, -len(TARGET) - 1 :, : len(source) + 1] for layer in range(3)]
    path = packed(model, config)
    for engine in (*engines(path), ReferenceEngine.load(path)):
        found = engine.source_attention(source, TARGET)
        assert [each.shape for each in found] == [(6, len(TARGET) + 1, len(source) + 1)] * 3
        np.testing.assert_allclose(np.stack(found), np.stack(expected), atol=1e-5)


def test_a_language_model_has_no_source_to_look_at(packed, language):
    path = packed(*language())
    for engine in (*engines(path), ReferenceEngine.load(path)):
        with pytest.raises(InputError, match="no source to look at"):
            engine.source_attention(SOURCE, TARGET)


def test_no_place_beyond_the_learned_ones_is_made_up(load, translation, language):
    engine = load(*language(positions="learned", max_positions=7))
    assert engine.logits([5, 6], TARGET[:4]).shape == (7, 53)
    with pytest.raises(InputError, match="longer than the model's limit"):
        engine.logits([5, 6], TARGET[:5])
    engine = load(*translation(positions="learned", max_positions=7))
    assert engine.logits(SOURCE[:6], TARGET[:6]).shape == (7, 53)
    with pytest.raises(InputError, match="source is longer"):
        engine.logits(SOURCE[:7], TARGET[:6])
    with pytest.raises(InputError, match="target is longer"):
        engine.logits(SOURCE[:6], TARGET[:7])


@pytest.mark.parametrize("source, target", [([47], []), ([-1], []), ([5], [53]), ([5], [-7])])
def test_ids_outside_the_vocabulary_are_refused(load, translation, source, target):
    engine = load(*translation())
    with pytest.raises(InputError, match="outside the vocabulary"):
        engine.logits(source, target)
    with pytest.raises(InputError, match="outside the vocabulary"):
        engine.source_attention(source, target)
