"""A run as a model file: every setting goes over, the weights are there, and a reason for all that cannot be."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from attento.engines.packed.file import read_packed
from attento.errors import ConfigError
from attento.interop.export.base import EXACT, ROUNDED, TrainedModel
from attento.interop.export.native import NativeExporter
from attento.interop.verify import verify
from attento.models.build import build_translation_model
from attento.models.language.config import RecurrentLanguageConfig
from attento.models.translation.config import DecoderOnlyTranslationConfig, RecurrentConfig
from attento.text.tokenizer import TokenizerPair

# Heads of 8 features, which is the least that the engine knows.
WIDE = {"d_model": 24, "num_heads": 3}
FEED_FORWARDS = ("gelu", "gelu_tanh", "silu", "glu", "reglu", "geglu", "geglu_tanh", "swiglu", "bilinear")
LINEAR = {"base": 50.0, "scaling": {"kind": "linear", "factor": 3.0}}
LLAMA3 = {
    "base": 500.0,
    "scaling": {"kind": "llama3", "factor": 8.0, "low": 1.0, "high": 3.0, "original_length": 32},
}
VARIANTS = {
    "the paper's": {},
    "no output bias": {"output_bias": False},
    "pre-norm, learned positions": {"norm": "pre", "positions": "learned", "max_positions": 61},
    "no biases, rms, unscaled": {"bias": False, "normalization": "rms", "norm_epsilon": 1e-2, "scores": "unscaled"},
    "sines before cosines": {"position_layout": "halves"},
    "odd width": {"d_model": 23, "d_key": 8, "d_value": 16},
    "no positions": {"positions": "none"},
    "interleaved rotary": {"positions": "rotary", "rotary": {"base": 50.0}},
    "slowed rotary, halves": {"positions": "rotary", "rotary": LINEAR, "position_layout": "halves"},
    "slowed rotary of LLaMA 3": {"positions": "rotary", "rotary": LLAMA3, "d_key": 24},
    "linear biases": {"positions": "alibi"},
    "few distances": {"positions": "relative", "relative": {"buckets": 8, "max_distance": 7}},
    "one key for all": {"num_kv_heads": 1},
    "normalized embeddings, not scaled": {"embedding_norm": True, "scale_embeddings": False},
    "three layers that read": {"encoder_layers": 3, "decoder_layers": 1},
    **{name: {"feed_forward": name} for name in FEED_FORWARDS},
}
ONE_STACK = {
    "rotary": {},
    "all of the source": {"source_sees": "all", "norm": "post", "output_bias": True},
    "learned": {"positions": "learned", "max_positions": 101, "embedding_norm": True},
    "relative, both ways": {
        "positions": "relative",
        "source_sees": "all",
        "relative": {"buckets": 6, "max_distance": 5},
    },
    "linear biases": {"positions": "alibi", "num_kv_heads": 1, "feed_forward": "swiglu"},
}
LANGUAGE = {
    "LLaMA's": {"num_kv_heads": 2, "position_layout": "halves"},
    "GPT-2's": {
        "positions": "learned",
        "normalization": "layer",
        "feed_forward": "gelu_tanh",
        "bias": True,
        "max_positions": 67,
        "output_bias": True,
    },
    "two matrices": {"tied_embeddings": False, "output_bias": True, "positions": "alibi"},
}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "exported"
    made.mkdir()
    return made


def _configured(run: TrainedModel) -> TrainedModel:
    (run.path / "config.yaml").write_text("model: {}\n")
    return run


@pytest.fixture
def translation(translation_run):
    """Make a Transformer that the engine knows but for what is given."""
    return lambda vocabularies="joint", **settings: _configured(translation_run(vocabularies, **(WIDE | settings)))


@pytest.fixture
def language(language_run):
    """Make a language model that the engine knows but for what is given."""
    shape = {"d_model": 32, "num_heads": 4}
    return lambda **settings: _configured(language_run(**(shape | settings)))


@pytest.fixture
def one_stack(translation):
    """Make a decoder-only translation model that the engine knows but for what is given."""

    def make(vocabularies="joint", **settings):
        run = translation(vocabularies, tied_embeddings="target")
        config = DecoderOnlyTranslationConfig.model_validate(
            {"architecture": "decoder_only", "layers": 2, "d_ff": 17, **WIDE, **settings}
        )
        sides = run.tokenizers.source.vocab_size, run.tokenizers.target.vocab_size
        model = build_translation_model(config, *sides).eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.2 * torch.randn(weight.shape)
        return replace(run, config=config, model=model)

    return make


def _verify(run, folder, sentences, compute_type="fp32"):
    exporter = NativeExporter(compute_type)
    assert exporter.problems(run) == []
    exporter.write(run, folder)
    return verify(run, exporter.reread(folder), sentences, lambda done: None, exporter.criterion)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_setting_goes_over(variant, translation, folder, sentences):
    found = _verify(translation(**VARIANTS[variant]), folder, sentences[::17])
    assert found.problems == []
    assert found.largest_difference < 1e-4


@pytest.mark.parametrize("tied", ["target", "none"])
def test_each_matrix_goes_over(tied, translation, folder, sentences):
    found = _verify(translation("separate", tied_embeddings=tied), folder, sentences[::17])
    assert (found.problems, found.agreeing) == ([], found.sentences)


@pytest.mark.parametrize("variant", ONE_STACK)
def test_a_model_of_one_stack_goes_over(variant, one_stack, folder, sentences):
    vocabularies = "separate" if variant == "learned" else "joint"
    tied = {"tied_embeddings": "none"} if variant == "learned" else {}
    assert _verify(one_stack(vocabularies, **(ONE_STACK[variant] | tied)), folder, sentences[::17]).problems == []


@pytest.mark.parametrize("variant", LANGUAGE)
def test_a_language_model_goes_over(variant, language, folder, sentences):
    assert _verify(language(**LANGUAGE[variant]), folder, sentences[::11]).problems == []


@pytest.mark.parametrize(("compute_type", "least"), [("int8", 0.9995), ("bf16", 0.99995)])
def test_rounded_weights_are_almost_the_same_model(compute_type, least, translation_run, folder, sentences):
    """One that was taught: among noise, any step is as good as another."""
    run = _configured(translation_run(steps=40, **(WIDE | {"d_model": 64, "num_heads": 4})))
    found = _verify(run, folder, sentences[:12:2], compute_type)
    assert found.problems == []
    assert least < found.mean_cosine < 1
    assert found.least_cosine <= found.mean_cosine
    assert found.agreeing == found.sentences


def test_criteria_and_sizes(translation, folder, tmp_path):
    run, sizes = translation(), {}
    for compute_type, criterion in (("int8", ROUNDED), ("bf16", ROUNDED), ("fp32", EXACT)):
        exporter = NativeExporter(compute_type)
        assert exporter.criterion == criterion
        place = tmp_path / compute_type
        place.mkdir()
        exporter.write(run, place)
        assert [path.name for path in place.iterdir()] == ["model.attento"]
        sizes[compute_type] = (place / "model.attento").stat().st_size
    assert NativeExporter().compute_type == "int8"
    assert sizes["int8"] < sizes["bf16"] < sizes["fp32"]


def test_the_settings_of_the_file(translation, folder):
    run = translation("separate", tied_embeddings="none", d_key=16, norm="pre", positions="learned", max_positions=59)
    NativeExporter("bf16").write(run, folder)
    found = read_packed(folder / "model.attento").settings
    assert found == {
        "architecture": 0,
        "compute_type": 2,
        "d_model": 24,
        "d_ff": 17,
        "num_heads": 3,
        "num_kv_heads": 3,
        "d_key": 16,
        "d_value": 8,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "source_vocab_size": 311,
        "target_vocab_size": 299,
        "feed_forward": 0,
        "normalization": 0,
        "norm_epsilon": 1e-5,
        "norm": 1,
        "positions": 2,
        "position_layout": 0,
        "attention_scale": 1 / 4,
        "embedding_scale": math.sqrt(24),
        "embedding_norm": 0,
        "source_sees_all": 0,
        "relative_buckets": 0,
        "relative_max_distance": 0,
        "max_source_length": 59,
        "max_target_length": 59,
        "bos_id": 2,
        "eos_id": 3,
        "pad_id": 0,
        "unk_id": 1,
    }


def test_the_settings_of_other_architectures(one_stack, language, folder):
    run = one_stack(source_sees="all", positions="relative", relative={"buckets": 6, "max_distance": 5})
    NativeExporter().write(run, folder)
    found = read_packed(folder / "model.attento").settings
    assert (found["architecture"], found["compute_type"], found["source_sees_all"]) == (1, 1, 1)
    assert (found["encoder_layers"], found["decoder_layers"]) == (0, 2)
    assert (found["relative_buckets"], found["relative_max_distance"]) == (6, 5)
    assert (found["max_source_length"], found["max_target_length"]) == (0, 0)
    NativeExporter("fp32").write(language(positions="learned", max_positions=67, scores="unscaled"), folder)
    found = read_packed(folder / "model.attento").settings
    assert (found["architecture"], found["compute_type"], found["attention_scale"]) == (2, 0, 1)
    assert found["source_vocab_size"] == found["target_vocab_size"] == 311
    assert (found["max_source_length"], found["max_target_length"], found["embedding_scale"]) == (0, 67, 1)


def test_every_weight_is_in_the_file_once(translation, folder):
    """Queries, keys and values one behind the other, the gate before what it gates."""
    run = translation("separate", tied_embeddings="none", feed_forward="swiglu", norm="pre", embedding_norm=True)
    NativeExporter("fp32").write(run, folder)
    found, weights = read_packed(folder / "model.attento"), run.model.state_dict()

    def joined(layer, *parts):
        return [torch.cat([weights[f"{layer}.{part}.{kind}"] for part in parts]) for kind in ("weight", "bias")]

    layer = "decoder.1"
    for name, parts in {
        "self_attention.qkv": [f"self_attention.{part}" for part in ("query", "key", "value")],
        "self_attention.output": ["self_attention.output"],
        "cross_attention.query": ["cross_attention.query"],
        "cross_attention.keys_values": ["cross_attention.key", "cross_attention.value"],
        "cross_attention.output": ["cross_attention.output"],
        "inner": ["feed_forward.gate", "feed_forward.inner"],
        "outer": ["feed_forward.outer"],
    }.items():
        weight, bias = joined(layer, *parts)
        matrix = found.matrix(f"{layer}.{name}", *weight.shape)
        np.testing.assert_array_equal(matrix.dense(), weight)
        np.testing.assert_array_equal(matrix.bias, bias)
    for name in ("self_attention", "cross_attention", "feed_forward"):
        np.testing.assert_array_equal(
            found.floats(f"{layer}.{name}_norm.gain"), weights[f"{layer}.{name}_residual.norm.weight"]
        )
        np.testing.assert_array_equal(
            found.floats(f"{layer}.{name}_norm.bias"), weights[f"{layer}.{name}_residual.norm.bias"]
        )
    np.testing.assert_array_equal(found.matrix("output").bias, weights["output_bias"])
    assert found.matrix("target_embedding").bias is None
    numbers = sum(np.prod(tensor.shape) for name, tensor in found.tensors.items() if not name.startswith("file:"))
    padding = sum(
        -tensor.shape[0] % 32
        for name, tensor in found.tensors.items()
        if name.endswith(".weight")
        if found.has(name.replace(".weight", ".bias"))
    )
    assert numbers - padding == sum(weight.numel() for weight in weights.values())


def test_the_files_of_the_run_are_inside(translation, folder, tmp_path):
    run = translation("separate", tied_embeddings="none")
    NativeExporter().write(run, folder)
    found = read_packed(folder / "model.attento")
    assert found.files == ["config.yaml", "source.model", "target.model"]
    assert found.file("config.yaml") == b'{"model": {}}'
    place = tmp_path / "tokenizers"
    place.mkdir()
    for name in found.files:
        (place / name).write_bytes(found.file(name))
    assert TokenizerPair.load(place) == run.tokenizers


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scores": "uniform"}, "`model.scores: uniform` cannot be said in the native format; only scaled or unscaled"),
        ({"projections": False}, "`model.projections: false` cannot be said in the native format; only true"),
        ({"sliding_window": 5}, "`model.sliding_window: 5` cannot be said in the native format; only null"),
        ({"residual": False}, "`model.residual: false` cannot be said in the native format; only true"),
        ({"normalization": "batch"}, "`model.normalization: batch` cannot be said in the native format; only layer or"),
        ({"feed_forward": "none"}, "`model.feed_forward: none` cannot be said in the native format; only relu or gelu"),
        ({"d_key": 4}, "`model.d_key`: one head is 4 wide, but must be a multiple of 8 wide in the native format"),
        (
            {"d_value": 12},
            "`model.d_value`: one head is 12 wide, but must be a multiple of 8 wide in the native format",
        ),
    ],
)
def test_what_the_engine_lacks_is_named(settings, words, translation):
    (told,) = NativeExporter().problems(translation(**settings))
    assert told.startswith(words)


def test_all_that_is_lacking_is_named_at_once(translation):
    told = NativeExporter().problems(translation(d_model=12, residual=False, normalization="batch"))
    assert ["residual", "normalization", "d_key", "d_value"] == [
        name for line in told for name in ("residual", "normalization", "d_key", "d_value") if f"`model.{name}" in line
    ]


def test_other_architectures_are_refused(translation, language):
    recurrent = RecurrentConfig(architecture="rnn_encoder_decoder")
    (told,) = NativeExporter().problems(replace(translation(), config=recurrent))
    assert told.startswith("`model.architecture: rnn_encoder_decoder`: only translation by `transformer` or `decoder_")
    (told,) = NativeExporter().problems(replace(language(), config=RecurrentLanguageConfig(architecture="rnn")))
    assert told.startswith("`model.architecture: rnn`: only")


def test_a_run_without_its_settings_leaves_nothing(translation, folder):
    run = replace(translation(), path=Path(folder / "no run"))
    with pytest.raises(ConfigError, match="no such file"):
        NativeExporter().write(run, folder)
    assert list(folder.iterdir()) == []
