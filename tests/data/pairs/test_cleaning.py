import random

import numpy as np
import pytest

from attento.data.pairs.cleaning import Cleaner, Rule, SeenDigests, is_member, pair_digest, sentence_digest
from attento.data.pairs.config import CleaningConfig
from attento.data.pairs.corpora import Languages

ENGLISH_CHINESE = Languages("en", "zh")
OFF = CleaningConfig(
    drop_empty=False, drop_control_characters=False, min_script_share=None, drop_identical=False, max_tokens=None,
    max_ratio=None, drop_duplicates=False,
)  # fmt: skip


def judge(source: str, target: str, config: CleaningConfig = CleaningConfig()) -> Rule:  # noqa: B008
    rules = Cleaner(config, ENGLISH_CHINESE).judge_texts([source.strip()], [target.strip()])
    assert rules.shape == (1,)
    return Rule(rules[0])


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
    rules = cleaner.judge_texts(["привет", "hallo"], ["hallo", "привет"])
    assert rules.tolist() == [Rule.KEPT, Rule.WRONG_SCRIPT]


def test_many_texts_are_judged_as_each_alone() -> None:
    generator = random.Random(7)
    texts = [(source, target) for source, target, _ in BAD_TEXTS]
    texts += [("hello", "你好"), ("naïve 12", "天真"), ("", ""), ("x", "y\x9d"), ("é", "é")]
    pairs = [(source.strip(), target.strip()) for source, target in generator.choices(texts, k=211)]
    judged = Cleaner(CleaningConfig(), ENGLISH_CHINESE).judge_texts(*map(list, zip(*pairs, strict=True)))
    assert judged.tolist() == [judge(*pair) for pair in pairs]
    assert len(set(judged.tolist())) == 5


def test_no_text_at_all() -> None:
    assert Cleaner(CleaningConfig(), ENGLISH_CHINESE).judge_texts([], []).tolist() == []


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
    lengths = np.array([[7, source], [7, target]], np.int32)
    assert Cleaner(config, ENGLISH_CHINESE).judge_lengths(*lengths).tolist() == [Rule.KEPT, rule]
    assert Cleaner(OFF, ENGLISH_CHINESE).judge_lengths(*lengths).tolist() == [Rule.KEPT, Rule.KEPT]


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
