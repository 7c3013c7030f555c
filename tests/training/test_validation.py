"""Validation measures what a user would: the mean loss of a token, and BLEU of raw text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sacrebleu.metrics.bleu import BLEU

from attento.data.pairs.batching import make_batch
from attento.data.pairs.prepare import prepare
from attento.data.pairs.prepared import PreparedCorpus
from attento.errors import InputError
from attento.models.base import EncoderDecoder
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig
from attento.training.config import ValidationConfig
from attento.training.run import load_recipe
from attento.training.tasks.translation import TranslationValidator, ValidationText, mean_loss
from attento.training.validation import ValidationResult
from attento.translator import Translation, Translator

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, write_recipe: Callable[..., Path]) -> PreparedCorpus:
    folder = tmp_path_factory.mktemp("corpus")
    recipe = load_recipe(write_recipe(folder), folder)
    return prepare(recipe.config.data, folder, folder / "prepared")


@pytest.fixture
def text(corpus: PreparedCorpus) -> ValidationText:
    return ValidationText(*corpus.validation_texts(), corpus.validation.take(range(len(corpus.validation))))


@pytest.fixture
def model(corpus: PreparedCorpus) -> EncoderDecoder:
    size = corpus.tokenizers.source.vocab_size
    config = TransformerConfig(encoder_layers=1, decoder_layers=1, d_model=16, d_ff=19, num_heads=2, dropout=0.5)
    return build_translation_model(config, size, size)


def make(corpus: PreparedCorpus, text: ValidationText, **settings: Any) -> TranslationValidator:
    return TranslationValidator(ValidationConfig.model_validate(settings), text, corpus.tokenizers, "fr")


def test_loss_is_the_mean_over_tokens(model: EncoderDecoder, text: ValidationText) -> None:
    model.eval()
    losses = []
    for pair in text.pairs:
        batch = make_batch([pair])
        with torch.no_grad():
            logits, _ = model.decode(batch.target_input, model.start(model.encode(batch.source, batch.source_mask)))
        log_probabilities = logits[0].double().log_softmax(dim=-1)
        assert batch.target_output[0, -1] == 3
        losses += [-row[token].item() for row, token in zip(log_probabilities, batch.target_output[0], strict=True)]
    assert mean_loss(model, text.pairs, CPU) == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_model_is_judged_without_dropout_and_goes_on_training(
    corpus: PreparedCorpus, model: EncoderDecoder, text: ValidationText
) -> None:
    validator = make(corpus, text, metric="bleu")
    random_state = torch.get_rng_state()
    first = validator.validate(model.train(), CPU)
    assert model.training
    assert validator.validate(model, CPU) == first
    assert torch.equal(torch.get_rng_state(), random_state)
    validator.validate(model.eval(), CPU)
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_bleu_is_sacrebleus_of_the_raw_text(
    corpus: PreparedCorpus, model: EncoderDecoder, text: ValidationText, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Letters are words here: half of the sentences right, half of them in capitals.
    found = [line if row % 2 else line.upper() for row, line in enumerate(text.references)]
    written = [Translation(source, out, 0.0) for source, out in zip(text.sources, found, strict=True)]
    monkeypatch.setattr(Translator, "translate", lambda *arguments, **settings: written)
    cased = make(corpus, text, metric="bleu", tokenize="none").validate(model, CPU)
    lowered = make(corpus, text, metric="bleu", lowercase=True).validate(model, CPU)
    expected = BLEU(tokenize="none", force=True).corpus_score(found, [list(text.references)]).score
    assert cased.metrics["bleu"] == pytest.approx(expected)
    assert lowered.metrics["bleu"] == pytest.approx(100.0)
    assert cased.loss == lowered.loss


def test_loss_alone_where_the_run_goes_by_it(
    corpus: PreparedCorpus, model: EncoderDecoder, text: ValidationText
) -> None:
    result = make(corpus, text, metric="loss").validate(model, CPU)
    assert not result.metrics
    assert result.loss == mean_loss(model.eval(), text.pairs, CPU)


def test_the_first_sentences_only(corpus: PreparedCorpus, model: EncoderDecoder, text: ValidationText) -> None:
    result = make(corpus, text, metric="loss", max_sentences=3).validate(model, CPU)
    assert result.loss == mean_loss(model.eval(), text.pairs[:3], CPU)


def test_a_better_result_has_the_higher_score() -> None:
    assert ValidationResult(2.0).score() > ValidationResult(2.5).score()
    assert ValidationResult(2.5, {"bleu": 31.0}, "bleu").score() > ValidationResult(2.0, {"bleu": 30.0}, "bleu").score()


def test_what_cannot_be_scored_shows_before_training(corpus: PreparedCorpus, text: ValidationText) -> None:
    with pytest.raises(InputError, match=r"no tokenizer `13b`.*did you mean `13a`"):
        make(corpus, text, metric="bleu", tokenize="13b")
    in_subwords = ValidationText(text.sources, [f"{line}@@ x" for line in text.references], text.pairs)
    with pytest.raises(InputError, match="references are still in subwords"):
        make(corpus, in_subwords, metric="bleu")
    make(corpus, in_subwords, metric="loss")
