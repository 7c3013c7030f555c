"""Small models with weights of no regularity; and some that were taught a little, and write as trained ones do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from attento.decoding.config import SearchConfig
from attento.interop.export.base import TrainedModel
from attento.models.build import build_language_model, build_translation_model
from attento.models.language.config import DecoderOnlyConfig
from attento.models.translation.config import TransformerConfig
from attento.text.learning import train_tokenizer
from attento.text.special import BOS_ID, EOS_ID, PAD_ID
from attento.text.tokenizer import Tokenizer, TokenizerPair

NOUNS, NUMBERS = ("apple", "bridge", "cloud", "Zürich"), range(11)
ENGLISH = [f"the {noun} has {number} legs, hasn't it?" for noun in NOUNS for number in NUMBERS]
FRENCH = [f"« {noun} » a {number} pattes, n'est-ce pas ?" for noun in NOUNS for number in NUMBERS]
ODD = ["of  the   word ", " lead", "x\ty", "☃☃ and 雪", "</ s> <0x41>", "ﬁve ½"]


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    """Dozens of sentences, some with characters, blanks and marks that no vocabulary here was learned from."""
    return [*ENGLISH[::2], *ODD]


@pytest.fixture(scope="session")
def learn_tokenizer() -> Callable[..., Tokenizer]:
    """Learn a vocabulary, of English unless told otherwise."""

    def learn(lines: list[str] = ENGLISH, **changes: Any) -> Tokenizer:
        settings: dict[str, Any] = {
            "model": "bpe",
            "vocab_size": 311,
            "byte_fallback": True,
            "character_coverage": 1.0,
            "normalization": "nmt_nfkc",
        }
        return train_tokenizer(lines, **(settings | changes))

    return learn


@pytest.fixture(scope="session")
def tokenizers(learn_tokenizer: Callable[..., Tokenizer]) -> dict[str, TokenizerPair]:
    """One vocabulary for both sides, and one for each."""
    joint = learn_tokenizer(ENGLISH + FRENCH)
    source, target = learn_tokenizer(), learn_tokenizer(FRENCH, model="unigram", vocab_size=299)
    return {"joint": TokenizerPair(joint, joint), "separate": TokenizerPair(source, target)}


@pytest.fixture
def translation_run(tmp_path: Path, tokenizers: dict[str, TokenizerPair]) -> Callable[..., TrainedModel]:
    """Make a Transformer whose settings are the paper's but for its size and what is given."""

    def make(vocabularies: str | TokenizerPair = "joint", steps: int = 0, **settings: Any) -> TrainedModel:
        shape = {"d_model": 12, "num_heads": 3, "d_ff": 17, "encoder_layers": 1, "decoder_layers": 2}
        config = TransformerConfig.model_validate({"output_bias": True} | shape | settings)
        pair = tokenizers[vocabularies] if isinstance(vocabularies, str) else vocabularies
        model = _rough(build_translation_model(config, pair.source.vocab_size, pair.target.vocab_size).eval())
        sources = [torch.tensor([*ids, EOS_ID]) for ids in pair.source.encode_batch(ENGLISH)]
        source = pad_sequence(sources, batch_first=True)
        _teach(model, pair.target.encode_batch(FRENCH), steps, lambda: model.encode(source, source != PAD_ID))
        return TrainedModel(
            path=tmp_path,
            task="translation",
            config=config,
            model=model,
            tokenizers=pair,
            languages=("en", "fr"),
            search=SearchConfig(beam_size=4, length_penalty=0.0, max_extra_length=7),
            context=None,
        )

    return make


@pytest.fixture
def language_run(tmp_path: Path, learn_tokenizer: Callable[..., Tokenizer]) -> Callable[..., TrainedModel]:
    """Make a language model of LLaMA's shape but for what is given."""

    def make(tokenizer: Tokenizer | None = None, steps: int = 0, **settings: Any) -> TrainedModel:
        tokenizer = tokenizer or learn_tokenizer(normalization="identity", keep_whitespace=True)
        shape = {"d_model": 16, "num_heads": 4, "d_ff": 19, "layers": 2}
        llama = {
            "architecture": "decoder_only",
            "positions": "rotary",
            "normalization": "rms",
            "norm": "pre",
            "feed_forward": "swiglu",
            "bias": False,
            "scale_embeddings": False,
        }
        config = DecoderOnlyConfig.model_validate(shape | llama | settings)
        model = _rough(build_language_model(config, tokenizer.vocab_size).eval())
        _teach(model, tokenizer.encode_batch(ENGLISH), steps, lambda: len(ENGLISH))
        return TrainedModel(
            path=tmp_path,
            task="language_modeling",
            config=config,
            model=model,
            tokenizers=TokenizerPair(tokenizer, tokenizer),
            languages=None,
            search=SearchConfig(),
            context=31,
        )

    return make


def _rough(model: Any) -> Any:
    """Move every weight: gains and biases too."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.2 * torch.randn(weight.shape, generator=generator)
    return model


def _teach(model: Any, targets: list[list[int]], steps: int, read: Callable[[], Any]) -> None:
    """Teach a model to write some texts, of which it has read what `read` returns."""
    rows = [torch.tensor([BOS_ID, *ids, EOS_ID]) for ids in targets]
    target = pad_sequence(rows, batch_first=True, padding_value=PAD_ID)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(steps):
        logits, _ = model.decode(target[:, :-1], model.start(read()))
        loss = F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD_ID)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
