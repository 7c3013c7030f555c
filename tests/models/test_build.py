from typing import Any, get_args

import architectures
import pytest

from attento.errors import ConfigError
from attento.models.base import Classifier, EncoderDecoder, LanguageModel, NeuralLanguageModel
from attento.models.build import build_translation_model
from attento.models.config import ClassifierModelConfig, LanguageModelConfig, TranslationModelConfig
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


@pytest.mark.parametrize("settings", architectures.TRANSLATION.values(), ids=architectures.TRANSLATION)
def test_every_translation_model_has_its_sizes(settings: dict[str, Any]) -> None:
    model = architectures.translation_model(settings | {"tied_embeddings": "target"}, 17, 19)
    assert isinstance(model, EncoderDecoder)
    assert (model.source_vocab_size, model.target_vocab_size) == (17, 19)
    assert model.output_layer()[0].shape == (19, model.d_model)


@pytest.mark.parametrize("settings", architectures.LANGUAGE.values(), ids=architectures.LANGUAGE)
def test_every_language_model_has_its_sizes(settings: dict[str, Any]) -> None:
    model = architectures.language_model(settings, 19)
    assert isinstance(model, NeuralLanguageModel)
    assert (model.vocab_size, model.output_layer()[0].shape) == (19, (19, model.d_model))


@pytest.mark.parametrize("settings", architectures.COUNTED.values(), ids=architectures.COUNTED)
def test_what_is_counted_has_no_weights(settings: dict[str, Any]) -> None:
    model = architectures.language_model(settings, 19)
    assert isinstance(model, LanguageModel) and not isinstance(model, NeuralLanguageModel)
    assert (model.vocab_size, list(model.parameters())) == (19, [])


@pytest.mark.parametrize("settings", architectures.CLASSIFICATION.values(), ids=architectures.CLASSIFICATION)
def test_every_classifier_has_its_sizes(settings: dict[str, Any]) -> None:
    model = architectures.classifier(settings, 17, 5)
    assert isinstance(model, Classifier)
    assert (model.vocab_size, model.num_classes) == (17, 5)
    assert model.num_sentences == (
        2 if "decomposable" in settings["architecture"] else settings.get("num_sentences", 1)
    )


@pytest.mark.parametrize(
    ("kinds", "tested"),
    [
        (TranslationModelConfig, architectures.TRANSLATION),
        (LanguageModelConfig, architectures.LANGUAGE | architectures.COUNTED),
        (ClassifierModelConfig, architectures.CLASSIFICATION),
    ],
    ids=["translation", "language", "classification"],
)
def test_the_lists_of_the_tests_leave_no_architecture_out(kinds: Any, tested: dict[str, dict[str, Any]]) -> None:
    able = {get_args(kind.model_fields["architecture"].annotation)[0] for kind in get_args(kinds)}
    assert {settings["architecture"] for settings in tested.values()} == able


def test_a_dropout_that_keeps_nothing_is_refused_in_every_task() -> None:
    for build in (
        lambda: architectures.language_model(architectures.LANGUAGE["lstm"] | {"dropout": 0.999999}, 17),
        lambda: architectures.classifier(architectures.CLASSIFICATION["decomposable"] | {"dropout": 0.999999}, 17, 3),
    ):
        with pytest.raises(ConfigError, match=r"`dropout` must be .* but got dropout=0\.999999"):
            build()
