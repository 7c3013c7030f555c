"""The alignment error rate of links whose error is known."""

from fractions import Fraction
from itertools import islice

import pytest
from architectures import TRANSLATION, translation_model

from attento.inspection.probes.alignment import agreement, probe_alignment
from attento.synthetic import sentences
from attento.text.learning import train_tokenizer
from attento.text.tokenizer import TokenizerPair


def test_the_error_rate_of_a_few_links() -> None:
    found = agreement([[(0, 0), (1, 2), (2, 2)], [(0, 1)]], [[(0, 0), (1, 1)], [(0, 1), (1, 1), (2, 0)]])
    assert (found.found, found.known, found.right) == (4, 5, 2)
    assert found.error_rate == pytest.approx(float(1 - Fraction(2 * 2, 4 + 5)))
    assert (found.precision, found.recall) == (0.5, 0.4)


def test_no_links_are_all_wrong() -> None:
    found = agreement([[]], [[(0, 0)]])
    assert (found.error_rate, found.precision, found.recall) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("name", ["transformer", "attention_additive", "prefix"])
def test_every_head_that_looks_at_the_source_is_told(name: str) -> None:
    examples = list(islice(sentences(5), 7))
    lines = [text for each in examples for text in (each.english, each.french)]
    tokenizer = train_tokenizer(
        lines, model="bpe", vocab_size=90, byte_fallback=False, character_coverage=1.0, normalization="identity"
    )
    model = translation_model(TRANSLATION[name], tokenizer.vocab_size, tokenizer.vocab_size)
    found = probe_alignment("untrained", model, TokenizerPair(tokenizer, tokenizer), examples)
    known = sum(len(set(each.alignment)) for each in examples)
    words = sum(len(each.french.split()) for each in examples)
    # A link for each word of a translation, whoever tells it.
    everyone = [found.model, found.diagonal, found.first, *found.parts.values()]
    assert {each.known for each in everyone} == {known} and {each.found for each in everyone} == {words}
    assert 0 < found.diagonal.error_rate < found.first.error_rate < 1
    assert len(found.parts) == {"transformer": 8, "attention_additive": 1, "prefix": 8}[name]
    if name == "attention_additive":
        assert found.parts["cross 0.0"] == found.model
