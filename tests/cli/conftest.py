"""A run folder with a model that has learned nothing: what the verbs do with it is what they do with any."""

from pathlib import Path

import pytest
import torch

from attento.config import dump_settings
from attento.data.config import CorpusConfig, DataConfig
from attento.decoding.config import SearchConfig
from attento.models.build import build_model
from attento.models.config import TransformerConfig
from attento.run_folder import RunFolder
from attento.text.tokenizer import TokenizerPair, train_tokenizer
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
    save_weights(dict(build_model(settings.model, VOCAB_SIZE, VOCAB_SIZE).state_dict()), folder.weights)
    return folder.path
