"""Loading an engine from a run folder: the same model comes back, and what does not fit is told whole."""

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from attento.decoding.config import SearchConfig
from attento.engines.torch import TorchEngine
from attento.errors import ConfigError, DataError, RunFolderError
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig
from attento.run_folder import RunFolder
from attento.setting_trees import read_yaml
from attento.text.learning import train_tokenizer
from attento.text.tokenizer import TokenizerPair

MODEL = TransformerConfig(encoder_layers=1, decoder_layers=1, d_model=10, d_ff=7, num_heads=2, tied_embeddings="none")
SOURCES = [[7], [], [11, 13, 17, 5]]


@pytest.fixture(scope="module")
def tokenizers():
    def learn(lines, vocab_size):
        return train_tokenizer(
            lines,
            model="unigram",
            vocab_size=vocab_size,
            byte_fallback=False,
            character_coverage=1.0,
            normalization="identity",
        )

    return TokenizerPair(
        learn(["a dog and a cat ran", "the cat sat"], 19),
        learn(["la lune luit et la nuit tinte", "une tente utile"], 17),
    )


@pytest.fixture
def trained(tokenizers):
    return build_translation_model(MODEL, tokenizers.source.vocab_size, tokenizers.target.vocab_size)


@pytest.fixture
def run(tmp_path, tokenizers, trained):
    folder = RunFolder(tmp_path)
    settings = {"model": MODEL.model_dump(), "training": {"max_steps": 3}}
    folder.config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    tokenizers.save(folder.path)
    save_file(trained.state_dict(), folder.weights)
    return folder


@pytest.mark.parametrize("beam_size", [1, 3])
def test_the_same_model_comes_back(run, trained, beam_size):
    search = SearchConfig(beam_size=beam_size, n_best=beam_size, max_extra_length=5)
    expected = TorchEngine(trained, device="cpu").translate(SOURCES, search)
    assert TorchEngine.load(run.path, "cpu").translate(SOURCES, search) == expected


def test_weights_in_half_precision_are_used_in_float32(run):
    save_file({name: tensor.bfloat16() for name, tensor in load_file(run.weights).items()}, run.weights)
    assert {p.dtype for p in TorchEngine.load(run.path, "cpu").model.parameters()} == {torch.float32}


def test_every_tensor_that_does_not_fit_is_listed(run):
    tensors = load_file(run.weights)
    lost, cut, broken = sorted(tensors)[:3]
    shape = tuple(tensors[cut].shape)
    del tensors[lost]
    tensors[cut] = tensors[cut][1:].clone()
    tensors[broken].view(-1)[0] = torch.nan
    tensors["stranger"] = torch.zeros(3)
    save_file(tensors, run.weights)
    with pytest.raises(RunFolderError) as told:
        TorchEngine.load(run.path, "cpu")
    message = str(told.value)
    assert message.startswith(f"{run.weights}: ")
    assert message.splitlines()[1:] == [
        f"  `{lost}` is missing",
        "  `stranger` is unexpected",
        f"  `{cut}` has shape {(shape[0] - 1, *shape[1:])}, but must have {shape}",
        f"  `{broken}` holds values that are not finite",
    ]


@pytest.mark.parametrize("kept", [0, 5, 101, -1])
def test_a_truncated_file_is_refused(run, kept):
    run.weights.write_bytes(run.weights.read_bytes()[:kept])
    with pytest.raises(RunFolderError, match=r"model\.safetensors: cannot be read"):
        TorchEngine.load(run.path, "cpu")


def test_a_file_with_a_broken_header_is_refused(run):
    content = bytearray(run.weights.read_bytes())
    content[20:30] = b"\xff" * 10
    run.weights.write_bytes(bytes(content))
    with pytest.raises(RunFolderError, match=r"model\.safetensors: cannot be read"):
        TorchEngine.load(run.path, "cpu")


def test_an_unfinished_run_is_refused(run):
    run.weights.unlink()
    with pytest.raises(RunFolderError, match="no finished model"):
        TorchEngine.load(run.path, "cpu")


def test_wrong_model_settings_are_named(run):
    settings = read_yaml(run.config)
    settings["model"]["num_head"] = settings["model"].pop("num_heads")
    run.config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"model\.num_head.*did you mean `num_heads`"):
        TorchEngine.load(run.path, "cpu")


def test_a_missing_tokenizer_is_told(run):
    (run.path / "target.model").unlink()
    with pytest.raises(DataError, match=r"target\.model"):
        TorchEngine.load(run.path, "cpu")


def test_a_run_of_another_task_is_refused(run):
    settings = read_yaml(run.config) | {"data": {"task": "language_modeling"}, "model": {"architecture": "rnn"}}
    run.config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"`model\.architecture: rnn`.*`attento generate`"):
        TorchEngine.load(run.path, "cpu")
