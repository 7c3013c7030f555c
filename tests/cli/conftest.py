"""A run folder with a model that has learned nothing: what the verbs do with it is what they do with any."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from attento.config import dump_settings
from attento.data.denoising.config import DenoisingDataConfig
from attento.data.labels.config import LabelColumns, LabelDataConfig, LabelledCorpusConfig
from attento.data.masked.config import MaskedDataConfig
from attento.data.pairs.config import CorpusConfig, DataConfig
from attento.data.stream.config import StreamDataConfig, TextCorpusConfig, TextDataConfig
from attento.decoding.config import SearchConfig
from attento.interop.export.native import NativeExporter
from attento.interop.exporting import load_trained
from attento.models.build import build_classifier, build_language_model, build_masked_model, build_translation_model
from attento.models.classification.config import DecomposableAttentionConfig
from attento.models.config import LanguageModelConfig
from attento.models.language.config import DecoderOnlyConfig, NGramConfig, RecurrentLanguageConfig
from attento.models.language.ngram import NGramModel
from attento.models.masked.config import MaskedEncoderConfig
from attento.models.translation.config import TransformerConfig
from attento.run_folder import RunFolder
from attento.text.learning import train_tokenizer
from attento.text.special import BOS_ID
from attento.text.tokenizer import Tokenizer, TokenizerPair
from attento.training.config import RecipeConfig
from attento.training.records.averaging import save_weights

VOCAB_SIZE = 307


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a tiny, untrained Transformer."""
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    lines = [f"{word} {number} and the {word}" for word in ("apple", "bridge", "cloud") for number in range(13)]
    tokenizer = train_tokenizer(
        lines, model="bpe", vocab_size=VOCAB_SIZE, byte_fallback=True, character_coverage=1.0, normalization="identity"
    )
    TokenizerPair(tokenizer, tokenizer).save(folder.path)
    corpus = CorpusConfig(source="train.en", target="train.fr")
    settings = RecipeConfig(
        data=DataConfig(source_language="en", target_language="fr", train=(corpus,), validation=corpus),
        model=TransformerConfig(encoder_layers=2, decoder_layers=1, d_model=12, num_heads=3, d_ff=17),
        search=SearchConfig(beam_size=3, max_extra_length=5),
    )
    folder.config.write_text(dump_settings(settings))
    torch.manual_seed(0)
    save_weights(dict(build_translation_model(settings.model, VOCAB_SIZE, VOCAB_SIZE).state_dict()), folder.weights)
    return folder.path


TEXT = "".join(f"a {word} and {number} more\n" for word in ("apple", "bridge", "cloud") for number in range(13))


def _learn_characters(special_pieces: Sequence[str] = ()) -> Tokenizer:
    return train_tokenizer(
        TEXT.split("\n"),
        model="char",
        vocab_size=None,
        byte_fallback=False,
        character_coverage=1.0,
        normalization="identity",
        keep_whitespace=True,
        special_pieces=special_pieces,
    )


def _save_language_run(path: Path, model: LanguageModelConfig) -> Path:
    folder, tokenizer = RunFolder(path), _learn_characters()
    corpus = TextCorpusConfig(text="text", stop=0.9)
    data = TextDataConfig(
        language="en", train=(corpus,), validation=TextCorpusConfig(text="text", start=0.9), context=7
    )
    settings = RecipeConfig.model_validate({"data": data.model_dump(), "model": model.model_dump()})
    folder.config.write_text(dump_settings(settings))
    tokenizer.save(path / "tokenizer.model")
    torch.manual_seed(0)
    built = build_language_model(model, tokenizer.vocab_size)
    if isinstance(built, NGramModel):
        built.fit(np.array([BOS_ID, *tokenizer.encode(TEXT)]))
    save_weights(dict(built.state_dict()), folder.weights)
    return path


@pytest.fixture(scope="session")
def language_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a tiny, untrained GRU over characters."""
    model = RecurrentLanguageConfig(architecture="rnn", cell="gru", layers=1, d_model=11)
    return _save_language_run(tmp_path_factory.mktemp("language"), model)


@pytest.fixture(scope="session")
def ngram_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of trigrams of characters."""
    return _save_language_run(tmp_path_factory.mktemp("ngram"), NGramConfig(architecture="ngram", order=3))


@pytest.fixture(scope="session")
def packed_language_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a tiny, untrained decoder over characters, with its packed model."""
    model = DecoderOnlyConfig(
        architecture="decoder_only", layers=1, d_model=16, num_heads=2, d_ff=17, max_positions=31, norm="pre"
    )
    path = _save_language_run(tmp_path_factory.mktemp("packed_language"), model)
    NativeExporter("fp32").write(load_trained(path, "language_modeling"), path)
    return path


def _save_gaps_run(path: Path, data: StreamDataConfig, model: MaskedEncoderConfig | TransformerConfig) -> Path:
    folder, tokenizer = RunFolder(path), _learn_characters(data.special_pieces)
    settings = RecipeConfig.model_validate({"data": data.model_dump(), "model": model.model_dump()})
    folder.config.write_text(dump_settings(settings))
    tokenizer.save(path / "tokenizer.model")
    torch.manual_seed(0)
    if isinstance(model, MaskedEncoderConfig):
        weights = build_masked_model(model, tokenizer.vocab_size).state_dict()
    else:
        weights = build_translation_model(model, tokenizer.vocab_size, tokenizer.vocab_size).state_dict()
    save_weights(dict(weights), folder.weights)
    return path


@pytest.fixture(scope="session")
def masked_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a tiny, untrained model that tells hidden characters."""
    corpus = TextCorpusConfig(text="text")
    data = MaskedDataConfig(language="en", train=(corpus,), validation=corpus, context=7)
    model = MaskedEncoderConfig(architecture="encoder_only", layers=1, d_model=12, num_heads=3, d_ff=17)
    return _save_gaps_run(tmp_path_factory.mktemp("masked"), data, model)


@pytest.fixture(scope="session")
def denoising_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a tiny, untrained Transformer that writes what is cut out of a text."""
    corpus = TextCorpusConfig(text="text")
    data = DenoisingDataConfig(language="en", train=(corpus,), validation=corpus, context=7)
    model = TransformerConfig(encoder_layers=2, decoder_layers=1, d_model=12, num_heads=3, d_ff=17)
    return _save_gaps_run(tmp_path_factory.mktemp("denoising"), data, model)


@pytest.fixture(scope="session")
def label_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a tiny, untrained model that labels pairs of sentences."""
    folder = RunFolder(tmp_path_factory.mktemp("labels"))
    tokenizer = train_tokenizer(
        TEXT.split("\n")[:-1],
        model="word",
        vocab_size=None,
        byte_fallback=False,
        character_coverage=1.0,
        normalization="nmt_nfkc_cf",
    )
    columns = LabelColumns(label="verdict", text="one", second="two")
    data = LabelDataConfig(language="en", train=(LabelledCorpusConfig(file="train.tsv", columns=columns),))
    model = DecomposableAttentionConfig(architecture="decomposable_attention", d_model=12)
    settings = RecipeConfig.model_validate({"data": data.model_dump(), "model": model.model_dump()})
    folder.config.write_text(dump_settings(settings))
    tokenizer.save(folder.path / "tokenizer.model")
    labels = ["no", "perhaps", "yes"]
    folder.labels.write_text(json.dumps(labels))
    torch.manual_seed(0)
    save_weights(dict(build_classifier(model, tokenizer.vocab_size, len(labels)).state_dict()), folder.weights)
    return folder.path
