import pytest

from attento.config import check_settings
from attento.data.labels.config import LabelDataConfig, LabelTokenizerConfig
from attento.errors import ConfigError

PAIRS = {"file": "pairs.tsv", "columns": {"label": "judgment", "text": "A", "second": "B"}}


def test_lines_of_label_and_text_are_the_simple_case() -> None:
    config = check_settings(LabelDataConfig, {"language": "en", "train": [{"file": "a"}]}, origin="recipe")
    assert config.task == "classification"
    assert config.num_sentences == 1
    assert config.validation is None
    assert config.validation_share == 0.1
    assert (config.tokenizer.model, config.tokenizer.vocab_size) == ("word", None)


def test_pairs_are_told_by_their_second_column() -> None:
    tree = {"language": "en", "train": [PAIRS], "validation": PAIRS, "test": PAIRS}
    assert check_settings(LabelDataConfig, tree, origin="recipe").num_sentences == 2


@pytest.mark.parametrize("place", ["validation", "test", "train"])
def test_single_sentences_beside_pairs_are_refused(place: str) -> None:
    tree = {"language": "en", "train": [PAIRS], "validation": PAIRS, "test": PAIRS}
    tree[place] = [PAIRS, {"file": "a"}] if place == "train" else {"file": "a"}
    with pytest.raises(ConfigError, match="all files must hold single sentences or all pairs"):
        check_settings(LabelDataConfig, tree, origin="recipe")


def test_subwords_need_a_size() -> None:
    with pytest.raises(ValueError, match="`bpe` needs a `vocab_size`"):
        LabelTokenizerConfig(model="bpe")
