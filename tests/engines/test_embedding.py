"""The sentence encoder: order, batches and limits with a stand-in model, loading with a real one."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

from attento.engines.embedding import SentenceEncoder
from attento.errors import ConfigError, InputError, RunFolderError
from attento.models.base import MaskedLanguageModel, Sentences
from attento.models.build import build_masked_model
from attento.models.masked.config import MaskedEncoderConfig
from attento.run_folder import RunFolder
from attento.text.learning import train_tokenizer
from attento.text.special import BOS_ID, EOS_ID
from attento.text.tokenizer import Tokenizer, save_joint

WORDS = ["who", "is", "here", "what", "was", "that", "how", "many", "are", "there"]
TEXTS = ["who is here", "what", "how many are there was that what", "", "is", "how many", "that that that"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(
        [" ".join(WORDS)],
        model="word",
        vocab_size=None,
        byte_fallback=False,
        character_coverage=1.0,
        normalization="nmt_nfkc_cf",
    )


class AddingModel(MaskedLanguageModel):
    """Adds up a vector for each token; notes what it was given."""

    def __init__(self, vocab_size: int, max_length: int | None = None) -> None:
        super().__init__()
        self.d_model, self.vocab_size, self.max_length = 3, vocab_size, max_length
        self.weight = nn.Parameter(torch.randn(vocab_size, 3, generator=torch.Generator().manual_seed(5)))
        self.given: list[list[list[int]]] = []
        self.modes: list[bool] = []

    def features(self, sentences: Sentences) -> Tensor:
        raise NotImplementedError

    def output_layer(self) -> tuple[Tensor, Tensor | None]:
        raise NotImplementedError

    def embed(self, sentences: Sentences) -> Tensor:
        self.modes.append(self.training)
        self.given.append([row[real].tolist() for row, real in zip(sentences.ids, sentences.mask, strict=True)])
        return (self.weight[sentences.ids] * sentences.mask[..., None]).sum(1)


def plain_sums(model: AddingModel, tokenizer: Tokenizer) -> np.ndarray:
    weight = model.weight.detach().double()
    return torch.stack([weight[[BOS_ID, *tokenizer.encode(text), EOS_ID]].sum(0) for text in TEXTS]).numpy()


@pytest.mark.parametrize("max_batch_tokens", [1, 11, 4096])
def test_vectors_are_those_of_a_plain_sum_and_keep_the_order(tokenizer: Tokenizer, max_batch_tokens: int) -> None:
    model = AddingModel(tokenizer.vocab_size)
    encoder = SentenceEncoder(model, tokenizer, device="cpu", max_batch_tokens=max_batch_tokens)
    found = encoder.embed(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain_sums(model, tokenizer), rtol=1e-5, atol=1e-6)
    given = [row for batch in model.given for row in batch]
    assert sorted(given) == sorted([BOS_ID, *tokenizer.encode(text), EOS_ID] for text in TEXTS)
    assert len(model.given) == {1: len(TEXTS), 11: 4, 4096: 1}[max_batch_tokens]
    assert not any(model.modes)
    assert model.training


def test_unit_vectors(tokenizer: Tokenizer) -> None:
    model = AddingModel(tokenizer.vocab_size)
    sums = plain_sums(model, tokenizer)
    found = SentenceEncoder(model, tokenizer, device="cpu").embed(TEXTS, unit=True)
    np.testing.assert_allclose(found, sums / np.linalg.norm(sums, axis=1, keepdims=True), rtol=1e-5, atol=1e-6)


def test_no_texts_are_no_vectors(tokenizer: Tokenizer) -> None:
    found = SentenceEncoder(AddingModel(tokenizer.vocab_size), tokenizer, device="cpu").embed([])
    assert found.shape == (0, 3)


def test_the_longest_text_that_is_read(tokenizer: Tokenizer) -> None:
    encoder = SentenceEncoder(AddingModel(tokenizer.vocab_size, max_length=5), tokenizer, device="cpu")
    assert encoder.embed(["who is here"]).shape == (1, 3)
    with pytest.raises(InputError, match=r"text 1 \(counted from 0\) has 6 tokens.*at most 5"):
        encoder.embed(["who", "who is here there"])


def test_wrong_input_is_refused(tokenizer: Tokenizer) -> None:
    model = AddingModel(tokenizer.vocab_size)
    encoder = SentenceEncoder(model, tokenizer, device="cpu")
    with pytest.raises(InputError, match=r"takes a list of texts"):
        encoder.embed("who is here")
    with pytest.raises(InputError, match="surrogate"):
        encoder.embed(["who", "\ud800"])
    with pytest.raises(ConfigError, match="`max_batch_tokens` must be at least 1, but got 0"):
        SentenceEncoder(model, tokenizer, max_batch_tokens=0)
    with torch.no_grad():
        model.weight.fill_(torch.nan)
    with pytest.raises(RunFolderError, match="not numbers"):
        encoder.embed(["who"])


@pytest.fixture
def run(tokenizer: Tokenizer, tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    settings = {"architecture": "encoder_only", "layers": 1, "d_model": 6, "d_ff": 7, "num_heads": 2}
    folder.config.write_text(yaml.safe_dump({"data": {"task": "masked_language_modeling"}, "model": settings}))
    save_joint(tokenizer, folder.path)
    torch.manual_seed(3)
    model = build_masked_model(MaskedEncoderConfig.model_validate(settings), tokenizer.vocab_size)
    save_file(model.state_dict(), folder.weights)
    return folder


def test_a_loaded_run_is_its_model(run: RunFolder, tokenizer: Tokenizer) -> None:
    encoder = SentenceEncoder.load(run.path, "cpu")
    encoder.model.eval()
    found = encoder.embed(TEXTS)
    for text, vector in zip(TEXTS, found, strict=True):
        ids = torch.tensor([[BOS_ID, *tokenizer.encode(text), EOS_ID]])
        with torch.no_grad():
            expected = encoder.model.embed(Sentences(ids, torch.ones_like(ids, dtype=torch.bool)))[0]
        np.testing.assert_allclose(vector, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_a_run_for_another_task_is_refused(run: RunFolder) -> None:
    run.config.write_text(run.config.read_text().replace("masked_language_modeling", "language_modeling"))
    with pytest.raises(RunFolderError, match="a masked language model is needed here"):
        SentenceEncoder.load(run.path)
