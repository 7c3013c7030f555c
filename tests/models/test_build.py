import pytest

from attento.errors import ConfigError
from attento.models.base import EncoderDecoder
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig
from attento.models.translation.transformer import Transformer

SMALL = {"d_model": 33, "num_heads": 3, "d_ff": 13, "encoder_layers": 1, "decoder_layers": 2}


def test_builds_what_is_asked_for() -> None:
    model = build_translation_model(TransformerConfig(**SMALL, tied_embeddings="target"), 17, 19)
    assert isinstance(model, Transformer)
    assert isinstance(model, EncoderDecoder)
    assert (model.source_vocab_size, model.target_vocab_size, model.d_model) == (17, 19, 33)
    assert (len(model.encoder), len(model.decoder)) == (1, 2)


def test_one_matrix_for_two_vocabularies_is_refused_with_the_mend() -> None:
    with pytest.raises(ConfigError) as caught:
        build_translation_model(TransformerConfig(**SMALL), 17, 19)
    message = str(caught.value)
    for part in ("`model.tied_embeddings: all`", "17", "19", "`target`", "`none`", "`data.tokenizer.joint: true`"):
        assert part in message


def test_a_dropout_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`dropout` must be .* but got dropout=0\.999999"):
        build_translation_model(TransformerConfig(**SMALL, dropout=0.999999), 17, 17)
