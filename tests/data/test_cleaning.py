import random

import numpy as np
import pytest

from attento.data.cleaning import Cleaner, Rule, SeenDigests, is_member, pair_digest, sentence_digest
from attento.data.config import CleaningConfig
from attento.data.corpora import Languages

ENGLISH_CHINESE = Languages("en", "zh")
OFF = CleaningConfig(
    drop_empty=False, drop_control_characters=False, min_script_share=None, drop_identical=False, max_tokens=None,
    max_ratio=None, drop_duplicates=False,
)  # fmt: skip


def judge(source: str, target: str, config: CleaningConfig = CleaningConfig()) -> Rule:  # noqa: B008
    return Cleaner(config, ENGLISH_CHINESE).judge_text(source, target)


BAD_TEXTS = [
    ("", "你好", Rule.EMPTY),
    ("hello", " \t\u3000", Rule.EMPTY),
    ("hel\x07lo", "你好", Rule.CONTROL_CHARACTERS),
    ("hello", "你\x9d好", Rule.CONTROL_CHARACTERS),
    ("hello", "你\ufffd好", Rule.CONTROL_CHARACTERS),
    ("привет", "你好", Rule.WRONG_SCRIPT),
    ("hello", "hello there", Rule.WRONG_SCRIPT),
    ("123", " 123 ", Rule.IDENTICAL),
]


@pytest.mark.parametrize(("source", "target", "rule"), BAD_TEXTS)
def test_bad_texts(source: str, target: str, rule: Rule) -> None:
    assert judge(source, target) is rule
    assert judge(source, target, OFF) is Rule.KEPT


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("hello", "你好"),
        ("use tf.keras", "使用 tf.keras 吧 哦"),
        ("a\tb\rc\u2028d\x85e", "换\r行\x85"),
        ("hello\r", "你好\r"),
        ("12", "十二"),
        ("A family: 👨‍👩‍👧", "一家人"),
    ],
)
def test_good_texts(source: str, target: str) -> None:
    assert judge(source, target) is Rule.KEPT


def test_unknown_language_has_no_wrong_script() -> None:
    cleaner = Cleaner(CleaningConfig(), Languages("tlh", "de"))
    assert cleaner.judge_text("привет", "hallo") is Rule.KEPT
    assert cleaner.judge_text("hallo", "привет") is Rule.WRONG_SCRIPT


@pytest.mark.parametrize(
    ("source", "target", "rule"),
    [
        (7, 0, Rule.EMPTY),
        (11, 11, Rule.KEPT),
        (12, 11, Rule.TOO_LONG),
        (11, 12, Rule.TOO_LONG),
        (1, 7, Rule.KEPT),  # 2 * 1 + 5
        (1, 8, Rule.LENGTH_RATIO),
        (8, 1, Rule.LENGTH_RATIO),
        (3, 11, Rule.KEPT),
    ],
)
def test_lengths(source: int, target: int, rule: Rule) -> None:
    config = CleaningConfig(max_tokens=11, max_ratio=2, ratio_slack=5)
    assert Cleaner(config, ENGLISH_CHINESE).judge_lengths(source, target) is rule
    assert Cleaner(OFF, ENGLISH_CHINESE).judge_lengths(source, target) is Rule.KEPT


def test_pair_digest_sees_all_but_white_space() -> None:
    assert pair_digest(("a b", "c")) == pair_digest((" a  b", "c\r"))
    different = [("a b", "c"), ("a", "b c"), ("c", "a b"), ("A b", "c"), ("ab", "c")]
    assert len({pair_digest(pair) for pair in different}) == len(different)


def test_sentence_digest_sees_no_case() -> None:
    assert sentence_digest("Die  Straße") == sentence_digest("die STRASSE ")
    assert sentence_digest("Die Straße") != sentence_digest("Die Strasse 2")


def test_seen_digests_against_a_plain_set(monkeypatch: pytest.MonkeyPatch) -> None:
    # A small limit, so that late digests are merged into the large array many times.
    monkeypatch.setattr(SeenDigests, "_LEAST_MERGE", 17)
    generator = random.Random(3)
    seen, oracle = SeenDigests(), set[int]()
    for _ in range(211):
        digests = [generator.randrange(1999) << 53 for _ in range(generator.randrange(29))]
        expected = []
        for digest in digests:
            expected.append(digest not in oracle)
            oracle.add(digest)
        assert seen.add(np.asarray(digests, np.uint64)).tolist() == expected


def test_is_member_against_numpy() -> None:
    generator = np.random.default_rng(5)
    values = generator.integers(0, 97, 53, dtype=np.uint64)
    ordered = np.sort(generator.integers(0, 97, 31, dtype=np.uint64))
    assert is_member(values, ordered).tolist() == np.isin(values, ordered).tolist()
    assert not is_member(values, ordered[:0]).any()
