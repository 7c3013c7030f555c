"""Models of this house with weights drawn at random, and the packed file of each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from attento.decoding.config import SearchConfig
from attento.engines.packed.file import write_packed
from attento.engines.packed.panels import ComputeType
from attento.interop.export.base import TrainedModel
from attento.interop.export.native_tensors import NativeTensors, native_settings
from attento.models.base import EncoderDecoder, LanguageModel
from attento.models.build import build_language_model, build_translation_model
from attento.models.language.config import DecoderOnlyConfig
from attento.models.translation.config import DecoderOnlyTranslationConfig, TransformerConfig
from attento.text.tokenizer import Tokenizer, TokenizerPair

SOURCE_VOCABULARY, TARGET_VOCABULARY = 47, 53
Config = TransformerConfig | DecoderOnlyTranslationConfig | DecoderOnlyConfig


@pytest.fixture
def shape() -> dict[str, int]:
    """The sizes of every model; a folder of tests may have its own."""
    return {"d_model": 19, "num_heads": 6, "d_key": 4, "d_value": 7, "d_ff": 23}


@pytest.fixture
def packed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a model into a file, in numbers of some kind."""

    def write(model: EncoderDecoder | LanguageModel, config: Config, numbers: ComputeType = "fp32") -> Path:
        if isinstance(model, EncoderDecoder):
            task, sizes = "translation", (model.source_vocab_size, model.target_vocab_size)
        else:
            task, sizes = "language_modeling", (model.vocab_size, model.vocab_size)
        pair = TokenizerPair(*(Mock(spec=Tokenizer, vocab_size=size) for size in sizes))
        folder = tmp_path_factory.mktemp("packed")
        run = TrainedModel(folder, task, config, model, pair, None, SearchConfig(), None)
        path = folder / f"{numbers}.attento"
        write_packed(
            path, native_settings(run, config, numbers), NativeTensors(config, model.state_dict(), numbers).made
        )
        return path

    return write


@pytest.fixture
def translation(shape: dict[str, int]) -> Callable[..., tuple[EncoderDecoder, Config]]:
    """Draw a Transformer whose settings are the paper's but for its size and what is given."""

    def make(**changes: Any) -> tuple[EncoderDecoder, Config]:
        settings = shape | {"tied_embeddings": "none", "encoder_layers": 2, "decoder_layers": 3} | changes
        config = TransformerConfig.model_validate(settings)
        source = TARGET_VOCABULARY if config.tied_embeddings == "all" else SOURCE_VOCABULARY
        return _rough(build_translation_model(config, source, TARGET_VOCABULARY)), config

    return make


@pytest.fixture
def one_stack(shape: dict[str, int]) -> Callable[..., tuple[EncoderDecoder, Config]]:
    """Draw a translation model that is a language model."""

    def make(**changes: Any) -> tuple[EncoderDecoder, Config]:
        settings = shape | {"tied_embeddings": "none", "architecture": "decoder_only", "layers": 3} | changes
        config = DecoderOnlyTranslationConfig.model_validate(settings)
        return _rough(build_translation_model(config, SOURCE_VOCABULARY, TARGET_VOCABULARY)), config

    return make


@pytest.fixture
def language(shape: dict[str, int]) -> Callable[..., tuple[LanguageModel, Config]]:
    """Draw a language model."""

    def make(**changes: Any) -> tuple[LanguageModel, Config]:
        settings = shape | {"tied_embeddings": False, "architecture": "decoder_only", "layers": 3} | changes
        config = DecoderOnlyConfig.model_validate(settings)
        return _rough(build_language_model(config, TARGET_VOCABULARY)), config

    return make


def _rough(model: Any) -> Any:
    """Move every weight, gains and biases too; so far that no choice of a search hangs on the last bits of a sum."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=generator)
    return model.eval()
