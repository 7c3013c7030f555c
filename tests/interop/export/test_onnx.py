"""A run as ONNX: the same logits and greedy outputs in onnxruntime, whatever the settings, with padding and cache."""

import dataclasses
import json
import re

import numpy as np
import onnxruntime
import pytest
import torch

from attento.interop.export.onnx import OnnxExporter
from attento.models.base import Memory
from attento.models.language.config import RecurrentLanguageConfig
from attento.models.translation.config import RecurrentConfig
from attento.text.special import BOS_ID, EOS_ID

LLAMA = {
    "positions": "rotary",
    "position_layout": "halves",
    "normalization": "rms",
    "norm": "pre",
    "feed_forward": "swiglu",
    "bias": False,
    "num_heads": 6,
    "num_kv_heads": 2,
}
T5 = {
    "positions": "relative",
    "normalization": "rms",
    "norm": "pre",
    "norm_epsilon": 1e-6,
    "scores": "unscaled",
    "bias": False,
    "scale_embeddings": False,
}
FAMILIES = {
    "the paper's": ("joint", {}),
    "pre-norm, learned, gelu": (
        "separate",
        {"norm": "pre", "positions": "learned", "feed_forward": "gelu", "tied_embeddings": "none"},
    ),
    "LLaMA's parts": ("joint", LLAMA),
    "T5's parts": ("separate", T5 | {"tied_embeddings": "target", "d_key": 6, "d_value": 5}),
}
LINEAR = {"base": 50.0, "scaling": {"kind": "linear", "factor": 3.0}}
LLAMA3 = {
    "base": 500.0,
    "scaling": {"kind": "llama3", "factor": 8.0, "low": 1.0, "high": 3.0, "original_length": 32},
}
VARIANTS = {
    "no output bias": {"output_bias": False},
    "sines before cosines": {"position_layout": "halves", "d_model": 15},
    "odd width": {"d_model": 13, "num_heads": 1},
    "odd width, sines before cosines": {"d_model": 13, "num_heads": 1, "position_layout": "halves"},
    "no positions": {"positions": "none"},
    "interleaved rotary": {"positions": "rotary", "rotary": {"base": 50.0}},
    "slowed rotary": {"positions": "rotary", "rotary": LINEAR},
    "slowed rotary of LLaMA 3": LLAMA | {"rotary": LLAMA3},
    "few distances, shared keys": {
        "positions": "relative",
        "relative": {"buckets": 8, "max_distance": 7},
        "num_heads": 6,
        "num_kv_heads": 2,
    },
    "linear biases": {"positions": "alibi"},
    "linear biases in a window": {"positions": "alibi", "sliding_window": 3},
    "a window": {"sliding_window": 4},
    "one key for all": {"num_kv_heads": 1, "d_key": 10, "d_value": 7},
    "normalized embeddings, post-norm rms": {"embedding_norm": True, "normalization": "rms", "norm_epsilon": 1e-2},
    "batch normalization": {"normalization": "batch"},
    "no residual": {"residual": False},
    "plain means": {"scores": "uniform"},
    "no projections": {"projections": False},
    "plain means, no projections": {"projections": False, "scores": "uniform"},
    "rotary, no projections": {"projections": False, "positions": "rotary"},
    "more layers that read": {"encoder_layers": 3, "decoder_layers": 1},
    **{
        name: {"feed_forward": name}
        for name in ("gelu_tanh", "silu", "glu", "reglu", "geglu", "geglu_tanh", "bilinear", "none")
    },
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
    "linear biases in a window": {"positions": "alibi", "num_heads": 3, "d_model": 15, "sliding_window": 5},
    "distances": {"positions": "relative", "tied_embeddings": False},
}


@pytest.fixture
def exporter():
    return OnnxExporter()


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "exported"
    made.mkdir()
    return made


def _same(exporter, run, folder, sentences, most):
    """Greedy outputs are equal, and so are all logits that can be taken, along them."""
    assert exporter.problems(run) == []
    exporter.write(run, folder)
    exported = exporter.reread(folder)
    for sentence in sentences:
        assert exported.encode(sentence) == run.encode(sentence)
        ids = run.encode(sentence)[:most]
        written = run.greedy(ids, most)
        assert exported.greedy(ids, most) == written
        found, expected = exported.logits(ids, written), run.logits(ids, written)
        assert found.shape == expected.shape
        torch.testing.assert_close(found[:, EOS_ID:], expected[:, EOS_ID:], atol=1e-4, rtol=0)


def _feed(session, given):
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, given), strict=True))


def _nothing(session, rows):
    return {
        port.name: np.zeros((rows, port.shape[1], 0, port.shape[3]), np.float32)
        for port in session.get_inputs()
        if port.name.startswith("past_")
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_onnxruntime_gives_the_same_ids_and_logits(family, exporter, translation_run, folder, sentences):
    vocabularies, settings = FAMILIES[family]
    _same(exporter, translation_run(vocabularies, **settings), folder, sentences[::3], 13)


@pytest.mark.parametrize("shape", LANGUAGE)
def test_a_language_model_goes_over(shape, exporter, language_run, folder, sentences):
    _same(exporter, language_run(**LANGUAGE[shape]), folder, sentences[::7], 11)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_setting_goes_over_with_padding_and_in_pieces(variant, exporter, translation_run, folder):
    """Three padded rows at once, their targets read five, one and seven tokens at a time."""
    run = translation_run(**VARIANTS[variant])
    for name, buffer in run.model.named_buffers():
        if "running" in name:
            buffer.uniform_(3, 7)
    exporter.write(run, folder)
    encoder, decoder = (onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("encoder", "decoder"))
    source, target = torch.randint(4, 307, (3, 11)), torch.randint(4, 307, (3, 13))
    mask = torch.arange(11) < torch.tensor([[11], [3], [7]])
    with torch.inference_mode():
        memory = run.model.encode(source, mask)
        expected, _ = run.model.decode(target, run.model.start(memory))
    read = _feed(encoder, {"source_ids": source.numpy(), "source_mask": mask.numpy()})
    hidden = torch.from_numpy(read.pop("memory"))
    torch.testing.assert_close(hidden[mask], memory.hidden[mask], atol=1e-4, rtol=1e-5)
    past = _nothing(decoder, rows=3)
    for first, last in ((0, 5), (5, 6), (6, 13)):
        given = {"target_ids": target[:, first:last].numpy(), "source_mask": mask.numpy(), **read, **past}
        present = _feed(decoder, given)
        logits = torch.from_numpy(present.pop("logits"))
        torch.testing.assert_close(logits[..., EOS_ID:], expected[:, first:last, EOS_ID:], atol=1e-4, rtol=1e-5)
        past = {f"past_{name}": values for name, values in present.items()}


def test_positions_beyond_every_table_are_computed(exporter, translation_run, folder):
    run = translation_run(encoder_layers=1, decoder_layers=1)
    exporter.write(run, folder)
    source = torch.randint(4, 307, (1, 701))
    mask = torch.ones_like(source, dtype=torch.bool)
    encoder = onnxruntime.InferenceSession(folder / "encoder.onnx")
    found = _feed(encoder, {"source_ids": source.numpy(), "source_mask": mask.numpy()})["memory"]
    with torch.inference_mode():
        memory = run.model.encode(source, mask)
    assert isinstance(memory, Memory)
    torch.testing.assert_close(torch.from_numpy(found), memory.hidden, atol=1e-4, rtol=0)


def test_shared_keys_make_a_smaller_cache(exporter, translation_run, folder):
    exporter.write(translation_run(num_heads=6, num_kv_heads=2), folder)
    inputs = json.loads((folder / "config.json").read_text())["decoder"]["inputs"]
    assert inputs["past_key_0"] == ["batch", 2, "past", 2]
    assert inputs["cross_value_1"] == ["batch", 2, "source", 2]


def test_the_config_tells_what_goes_in_and_out(exporter, translation_run, folder):
    run = translation_run("separate", tied_embeddings="none", positions="learned", max_positions=31)
    exporter.write(run, folder)
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "decoder.onnx",
        "encoder.onnx",
        "source.model",
        "target.model",
    }
    config = json.loads((folder / "config.json").read_text())
    for name in ("encoder", "decoder"):
        session = onnxruntime.InferenceSession(folder / f"{name}.onnx")
        assert config[name]["inputs"] == {port.name: port.shape for port in session.get_inputs()}
        assert config[name]["outputs"] == {port.name: port.shape for port in session.get_outputs()}
    assert config["decoder"]["outputs"]["logits"] == ["batch", "target", run.tokenizers.target.vocab_size]
    assert config["special_ids"] == {"pad": 0, "unk": 1, "bos": BOS_ID, "eos": EOS_ID}
    assert (config["max_source_length"], config["max_target_length"]) == (31, 31)
    assert (config["task"], config["never_written"]) == ("translation", [0, 1, 2])


@pytest.mark.parametrize("kind", ["joint", "separate", "language"])
def test_the_readme_runs(kind, exporter, translation_run, language_run, folder, monkeypatch, capsys):
    run = language_run() if kind == "language" else translation_run(kind, tied_embeddings="none")
    exporter.write(run, folder)
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(folder)
    # Searched not so far.
    code = code.replace("max_extra_length=50", "max_extra_length=3").replace("tokens=50", "tokens=17")
    exec(compile(code, "README.md", "exec"), {})
    ids = run.encode("How it begins" if kind == "language" else "One sentence.")
    expected = run.greedy(ids, 17 if kind == "language" else len(ids) + 3)
    assert capsys.readouterr().out == run.tokenizers.target.decode(expected) + "\n"


@pytest.mark.parametrize(
    "config", [RecurrentConfig(architecture="rnn_encoder_decoder"), RecurrentLanguageConfig(architecture="rnn")]
)
def test_another_architecture_is_refused(config, exporter, translation_run):
    run = dataclasses.replace(translation_run(), config=config)
    assert exporter.problems(run) == [
        f"`model.architecture: {config.architecture}`: only translation by `transformer` and language modelling by "
        "`decoder_only` can be written"
    ]


def test_a_model_too_large_for_one_file_is_refused(exporter, translation_run, monkeypatch):
    run = translation_run()
    size = sum(4 * weight.numel() for weight in run.model.state_dict().values())
    monkeypatch.setattr("attento.interop.export.onnx._MAX_BYTES", size)
    assert exporter.problems(run) == []
    monkeypatch.setattr("attento.interop.export.onnx._MAX_BYTES", size - 1)
    (problem,) = exporter.problems(run)
    assert problem == "the model has 0.0 GiB of weights, but an ONNX file holds less than 2 GiB"
