import pytest

from attento.config import check_settings
from attento.data.pairs.config import CleaningConfig, CorpusConfig, DataConfig, TokenizerConfig
from attento.errors import ConfigError

ALIGNED = {"source": "a.en", "target": "a.fr"}


def check_corpus(**tree: object) -> CorpusConfig:
    return check_settings(CorpusConfig, tree, origin="recipe")


@pytest.mark.parametrize(
    "tree", [{}, {"source": "a"}, {"target": "a"}, {"source": "a", "pairs": "p.tsv"}, {**ALIGNED, "pairs": "p.tsv"}]
)
def test_a_corpus_has_one_form(tree: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="either `source` and `target`"):
        check_corpus(**tree)


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz", ".zst"])
@pytest.mark.parametrize("kind", [".tsv", ".jsonl"])
def test_pairs_are_known_by_their_suffix(kind: str, suffix: str) -> None:
    assert check_corpus(pairs=f"folder.d/name.v2{kind}{suffix}").pairs_format == kind


@pytest.mark.parametrize("name", ["pairs.txt", "pairs", "pairs.tsv.bz2", "pairs.gz"])
def test_other_pairs_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"`pairs` must end in \.tsv or \.jsonl"):
        check_corpus(pairs=name)


@pytest.mark.parametrize("weight", [0, -1, float("inf"), float("nan")])
def test_weights_are_positive_and_finite(weight: float) -> None:
    with pytest.raises(ConfigError, match="weight"):
        check_corpus(**ALIGNED, weight=weight)


def test_names_for_the_report() -> None:
    assert check_corpus(**ALIGNED).name == "a.en | a.fr"
    assert check_corpus(pairs="p.jsonl.xz").name == "p.jsonl.xz"


@pytest.mark.parametrize("setting", ["max_tokens", "max_ratio", "min_script_share"])
def test_a_number_can_be_switched_off(setting: str) -> None:
    assert getattr(check_settings(CleaningConfig, {setting: None}, origin="recipe"), setting) is None


@pytest.mark.parametrize(
    ("setting", "value"),
    [("max_tokens", 0), ("max_ratio", 0.5), ("min_script_share", 0), ("min_script_share", 1.5), ("ratio_slack", -1)],
)
def test_numbers_out_of_reason_are_refused(setting: str, value: float) -> None:
    with pytest.raises(ConfigError, match=setting):
        check_settings(CleaningConfig, {setting: value}, origin="recipe")


@pytest.mark.parametrize(
    ("setting", "value"), [("vocab_size", 4), ("model", "word"), ("character_coverage", 1.1), ("sample_lines", 0)]
)
def test_tokenizer_settings_out_of_reason_are_refused(setting: str, value: object) -> None:
    with pytest.raises(ConfigError, match=setting):
        check_settings(TokenizerConfig, {setting: value}, origin="recipe")


def test_something_must_be_trained_on() -> None:
    with pytest.raises(ConfigError, match="train"):
        check_settings(
            DataConfig,
            {"source_language": "en", "target_language": "fr", "train": [], "validation": ALIGNED},
            origin="recipe",
        )
