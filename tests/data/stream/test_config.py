from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attento.config import check_settings
from attento.data.stream.config import StreamTokenizerConfig, TextCorpusConfig, TextDataConfig
from attento.errors import ConfigError

TREE = {"language": "en", "train": [{"text": "a.txt", "stop": 0.9}], "validation": {"text": "a.txt", "start": 0.9}}
PARTS = st.lists(st.integers(0, 23), min_size=2, max_size=2, unique=True).map(
    lambda ends: TextCorpusConfig(text="a", start=min(ends) / 23, stop=max(ends) / 23)
)


def test_a_text_is_taken_whole_unless_said_otherwise() -> None:
    config = check_settings(TextDataConfig, TREE, origin="recipe")
    assert config.task == "language_modeling"
    assert (config.train[0].start, config.train[0].stop) == (0, 0.9)
    assert (config.validation.start, config.validation.stop) == (0.9, 1)
    assert config.tokenizer.model == "char"
    assert config.context == 256


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.7, 0.3), (-0.1, 1.0), (0.0, 1.1)])
def test_shares_that_name_nothing_are_refused(shares: tuple[float, float]) -> None:
    tree = TREE | {"validation": {"text": "a.txt", "start": shares[0], "stop": shares[1]}}
    with pytest.raises(ConfigError, match="`validation"):
        check_settings(TextDataConfig, tree, origin="recipe")


def test_subwords_need_a_size_and_characters_do_not() -> None:
    with pytest.raises(ValueError, match="`bpe` needs a `vocab_size`"):
        StreamTokenizerConfig(model="bpe")
    assert StreamTokenizerConfig(model="unigram", vocab_size=300).vocab_size == 300
    assert StreamTokenizerConfig(model="char").vocab_size is None


@given(PARTS, PARTS)
def test_parts_overlap_when_some_point_lies_within_both(one: TextCorpusConfig, other: TextCorpusConfig) -> None:
    # All shares are multiples of 1/23: the points halfway between tell every case.
    points = [Fraction(2 * n + 1, 46) for n in range(23)]
    expected = any(all(part.start < point < part.stop for part in (one, other)) for point in points)
    assert one.overlaps(other) == other.overlaps(one) == expected
    assert not one.overlaps(other.model_copy(update={"text": "b"}))
