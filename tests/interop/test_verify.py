"""The comparison of two models: what it counts, what it forgives, and what it does not."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from attento.decoding.config import SearchConfig
from attento.errors import InputError
from attento.interop.export.base import EXACT, Criterion, TrainedModel
from attento.interop.verify import TIE, verify
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig
from attento.text.learning import train_tokenizer
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from attento.text.tokenizer import TokenizerPair

SENTENCES = ["a cat sat", "the dog ran", "a dog sat on a cat"]


@pytest.fixture(scope="module")
def run():
    tokenizer = train_tokenizer(
        SENTENCES, model="char", vocab_size=None, byte_fallback=False, character_coverage=1.0, normalization="nmt_nfkc"
    )
    config = TransformerConfig(d_model=6, num_heads=2, d_ff=5, encoder_layers=1, decoder_layers=1, output_bias=True)
    torch.manual_seed(3)
    model = build_translation_model(config, tokenizer.vocab_size, tokenizer.vocab_size).eval()
    with torch.no_grad():
        model.output_bias[5] += 9
    pair = TokenizerPair(tokenizer, tokenizer)
    return TrainedModel(
        Path(), "translation", config, model, pair, ("en", "fr"), SearchConfig(max_extra_length=2), None
    )


class Twin:
    """The run itself, read again, but for what a test changes."""

    def __init__(self, run, shift=0.0, ids=None, cut=None):
        self.run, self.shift, self.ids, self.cut = run, shift, ids, cut

    def encode(self, text):
        return self.cut or self.run.encode(text)

    def logits(self, source, target):
        logits = self.run.logits(source, target).clone()
        logits[-1, -1] += self.shift
        return logits

    def greedy(self, source, max_length):
        return self.run.greedy(source, max_length) if self.ids is None else self.ids


def compare(run, twin):
    done = []
    found = verify(run, twin, SENTENCES, done.append)
    assert done == [1, 2, 3]
    return found


def test_the_same_model_passes(run):
    found = compare(run, Twin(run))
    assert found.problems == []
    assert (found.sentences, found.agreeing, found.ties, found.largest_difference) == (3, 3, 0, 0.0)
    assert found.text == "3 sentences: largest logit difference 0, greedy ids agree in 3"


@pytest.mark.parametrize(
    ("shift", "passes"), [(0.5 * EXACT.difference, True), (2 * EXACT.difference, False), (math.nan, False)]
)
def test_one_logit_of_one_token_decides(run, shift, passes):
    found = compare(run, Twin(run, shift=shift))
    assert (found.problems == []) is passes
    expected = math.inf if math.isnan(shift) else pytest.approx(abs(shift), rel=1e-2)
    assert found.largest_difference == expected


def test_logits_of_what_is_never_written_say_nothing(run):
    class Silent(Twin):
        def logits(self, source, target):
            logits = self.run.logits(source, target).clone()
            logits[:, [PAD_ID, UNK_ID, BOS_ID]] = -math.inf
            return logits

    assert compare(run, Silent(run)).largest_difference == 0.0


def test_sentences_without_any_token_are_left_out(run):
    assert run.encode("\u200b") == []
    done = []
    assert verify(run, Twin(run), ["\u200b", *SENTENCES], done.append).sentences == 3
    assert done == [1, 2, 3]
    with pytest.raises(InputError, match="the tokenizer finds nothing in any"):
        verify(run, Twin(run), ["\u200b"], done.append)


def test_another_output_is_told_with_its_sentence(run):
    found = compare(run, Twin(run, ids=[7]))
    assert found.problems == ["greedy outputs differ in 3 of 3 sentences", f"the first such sentence: {SENTENCES[0]}"]


def test_an_output_that_ends_early_is_another(run):
    ours = run.greedy(run.encode(SENTENCES[0]), 30)
    assert ours[0] == 5
    found = compare(run, Twin(run, ids=[5]))
    assert found.agreeing == 0


def test_a_tie_is_forgiven_and_counted(run):
    """Two tokens of equal logits everywhere: which is taken says nothing; a third one does."""
    model = run.model
    saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        with torch.no_grad():
            model.target_embedding.weight[6] = model.target_embedding.weight[5]
            model.output_bias[6] = model.output_bias[5] - TIE / 2
        length = len(run.greedy(run.encode(SENTENCES[0]), 11))
        assert length == 11
        found = compare(run, Twin(run, ids=[6] * 11))
        assert (found.agreeing, found.ties, found.problems) == (3, 3, [])
        assert found.text.endswith("greedy ids agree in 3, 3 of them up to a tie")
        assert compare(run, Twin(run, ids=[EOS_ID + 1])).agreeing == 0
    finally:
        model.load_state_dict(saved)


def test_a_tokenizer_that_cuts_otherwise_is_told(run):
    found = compare(run, Twin(run, cut=[4, 4]))
    assert found.problems == [
        "the tokenizer gives other ids in 3 of 3 sentences",
        f"the first such sentence: {SENTENCES[0]}",
    ]


@pytest.mark.parametrize(("cosine", "passes"), [(0.999, True), (0.99999, False)])
def test_rounded_weights_are_judged_by_the_cosine_alone(run, cosine, passes):
    """One logit is moved, and another sentence is written: what counts is how alike all logits are."""
    done = []
    twin = Twin(run, shift=0.5, ids=[7])
    found = verify(run, twin, SENTENCES, done.append, Criterion(difference=None, cosine=cosine))
    means = []
    for sentence in SENTENCES:
        ids = run.encode(sentence)
        written = run.greedy(ids, len(ids) + 2)
        rows = [logits[:, EOS_ID:].double().numpy() for logits in (run.logits(ids, written), twin.logits(ids, written))]
        means.append(np.mean([np.corrcoef(ours, theirs)[0, 1] for ours, theirs in zip(*rows, strict=True)]))
    assert found.mean_cosine == pytest.approx(np.mean(means), abs=1e-9)
    assert found.least_cosine == pytest.approx(min(means), abs=1e-9)
    assert 0.999 < found.mean_cosine < 0.99999
    assert found.agreeing == 0
    assert (found.problems == []) is passes
    if not passes:
        words = f"the cosine of logits is {found.mean_cosine:.6f}, but must be at least {cosine:g}"
        assert found.problems == [f"{words}; choose a finer compute type"]
    assert f"cosine of logits {found.mean_cosine:.6f}, in one sentence {found.least_cosine:.6f}, greedy" in found.text


def test_what_is_no_number_is_like_nothing(run):
    found = verify(run, Twin(run, shift=math.nan), SENTENCES, lambda done: None, Criterion(None, 0.5))
    assert found.mean_cosine == -1
    assert found.problems == [
        "the cosine of logits is -1.000000, but must be at least 0.5; choose a finer compute type"
    ]


def test_a_number_added_to_all_logits_changes_no_cosine(run):
    class Raised(Twin):
        def logits(self, source, target):
            return self.run.logits(source, target) + 100

    found = verify(run, Raised(run), SENTENCES, lambda done: None, Criterion(None, 0.999999))
    assert found.problems == []
