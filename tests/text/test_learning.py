import _thread
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attento.errors import DataError
from attento.text.learning import _run_interruptibly, train_tokenizer
from attento.text.pieces import SentencePieceTokenizer
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID

WORDS = ("animal", "street", "cross", "tired", "wide", "the", "didn't", "because", "was", "too")
LINES = [f"{a} {b} {c}" for a in WORDS for b in WORDS for c in WORDS[:3]]


def learn(lines: list[str] = LINES, **changes: Any) -> SentencePieceTokenizer:
    settings: dict[str, Any] = {
        "model": "bpe", "vocab_size": 311, "byte_fallback": True, "character_coverage": 1.0,
        "normalization": "identity",
    } | changes  # fmt: skip
    return train_tokenizer(lines, **settings)


@pytest.fixture(scope="module")
def tokenizer() -> SentencePieceTokenizer:
    return learn()


def test_vocabulary_has_the_size_asked_for(tokenizer: SentencePieceTokenizer) -> None:
    assert tokenizer.vocab_size == 311


@pytest.mark.parametrize(("model", "vocab_size"), [("bpe", 311), ("unigram", 283)])
def test_same_lines_give_the_same_bytes(model: str, vocab_size: int, tmp_path: Path) -> None:
    for name in ("one", "two"):
        learn(model=model, vocab_size=vocab_size).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_long_lines_are_learned_from_too() -> None:
    # 4192 bytes is sentencepiece's own limit, beyond which a line would be left out without a word.
    tokenizer = learn([*LINES, "ß" * 5003], byte_fallback=False, vocab_size=67)
    assert UNK_ID not in tokenizer.encode("ß")


def test_training_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    learn()
    assert capfd.readouterr() == ("", "")


def test_vocabulary_too_large_names_the_largest_possible() -> None:
    with pytest.raises(DataError, match=r"`data.tokenizer.vocab_size` is 50021, .* at most (\d+) pieces") as caught:
        learn(vocab_size=50021)
    largest = int(str(caught.value).rsplit("to ", 1)[1].split()[0])
    assert learn(vocab_size=largest).vocab_size == largest
    with pytest.raises(DataError):
        learn(vocab_size=largest + 1)


def test_vocabulary_too_small_says_what_the_characters_take() -> None:
    with pytest.raises(DataError, match=r"`data.tokenizer.vocab_size` is 103, but the characters .* take 2\d\d"):
        learn(vocab_size=103)


def test_nothing_to_learn_from() -> None:
    with pytest.raises(DataError, match="no text is left"):
        learn([])


MARKS = ["<mask>", "<extra_id_0>", "<a,b>"]


@pytest.mark.parametrize("settings", [
    {"model": "bpe"}, {"model": "unigram", "vocab_size": 283}, {"model": "char", "vocab_size": None},
    {"model": "word", "vocab_size": None, "byte_fallback": False}, {"model": "bpe", "keep_whitespace": True},
    {"model": "char", "vocab_size": None, "keep_whitespace": True},
])  # fmt: skip
def test_special_pieces_stand_behind_the_four_and_no_text_yields_one(settings: dict[str, Any]) -> None:
    lines = [*LINES, *(f"the{mark} {mark} cross" for mark in MARKS)] * 3
    tokenizer = learn(lines, special_pieces=MARKS, **settings)
    assert tokenizer.pieces(range(8))[:7] == ["<pad>", "<unk>", "<s>", "</s>", *MARKS]
    assert [tokenizer.piece_id(mark) for mark in MARKS] == [4, 5, 6]
    for mark in [*MARKS, "<pad>", "<s>", "</s>"]:
        ids = tokenizer.encode(f"the {mark} cross{mark}")
        assert not {PAD_ID, BOS_ID, EOS_ID, 4, 5, 6} & set(ids)
    ids = tokenizer.encode("the street")
    assert tokenizer.decode([4, *ids, 5, EOS_ID]) == "the street"


def test_special_pieces_count_as_pieces() -> None:
    assert learn(special_pieces=MARKS).vocab_size == 311


def test_special_pieces_leave_unknown_words_apart() -> None:
    tokenizer = learn(["the street"], model="word", vocab_size=None, byte_fallback=False, special_pieces=["<mask>"])
    assert tokenizer.encode("a b the") == [UNK_ID, UNK_ID, tokenizer.piece_id("▁the")]


@pytest.mark.parametrize(
    ("pieces", "message"), [(["<mask>", "<mask>"], "'<mask>' stands twice"), (["<s>"], "'<s>' stands"), ([""], "empty")]
)
def test_special_pieces_that_cannot_be_are_refused(pieces: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learn(special_pieces=pieces)


def test_interrupt_is_answered_while_the_work_goes_on() -> None:
    # A shell's background jobs start with interrupts ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    release = threading.Event()

    def work() -> None:
        _thread.interrupt_main()
        release.wait()

    try:
        with pytest.raises(KeyboardInterrupt):
            _run_interruptibly(work)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not release.is_set()
    release.set()


SPACED = ["ab  c\td\r", "  the\tcat , the", "", "x the theme▁cat", "we — you"] * 7
EXACT: dict[str, dict[str, Any]] = {
    "char": {"vocab_size": None, "byte_fallback": False},
    "char with bytes": {"vocab_size": None},
    "bpe": {"vocab_size": 283},
    "unigram": {"vocab_size": 281},
}
_EXACT_LEARNED: dict[str, SentencePieceTokenizer] = {}


def learn_exact(name: str) -> SentencePieceTokenizer:
    if name not in _EXACT_LEARNED:
        _EXACT_LEARNED[name] = learn(SPACED, model=name.split()[0], keep_whitespace=True, **EXACT[name])
    return _EXACT_LEARNED[name]


@pytest.mark.parametrize("name", ["char with bytes", "bpe", "unigram"])
# The first text waits for the vocabulary to be learned.
@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8")) | st.text("ab the\n\r\t▁⁇▅愛<s>/0x4E", max_size=31))
def test_any_text_at_all_comes_back_when_white_space_is_kept(name: str, text: str) -> None:
    tokenizer = learn_exact(name)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert UNK_ID not in ids
    assert tokenizer.pieces(ids).count("\n") == text.count("\n")


# The first text waits for the vocabulary to be learned.
@settings(deadline=None)
@given(st.text("ab the\n\r\t▁⁇▅愛<s>/0x4E", max_size=31))
def test_characters_are_pieces_and_each_unknown_one_is_an_unk(text: str) -> None:
    tokenizer = learn_exact("char")
    known = set("".join(SPACED)) - {"▁"} | {" ", "\n"}
    assert tokenizer.vocab_size == 4 + len(known)
    ids = tokenizer.encode(text)
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == "".join(char if char in known else "⁇" for char in text)
    assert tokenizer.encode_batch([text, "the"]) == [ids, tokenizer.encode("the")]


def test_unknown_characters_among_kept_pieces_are_unks_of_their_own() -> None:
    tokenizer = learn(SPACED, vocab_size=31, byte_fallback=False, keep_whitespace=True)
    ids = tokenizer.encode("the愛愛▁cat")
    assert ids.count(UNK_ID) == 3
    assert tokenizer.decode(ids) == "the⁇⁇⁇cat"


def test_the_most_frequent_characters_are_kept_when_there_is_no_room_for_all() -> None:
    tokenizer = learn(["aaabbbbcc d"], model="char", vocab_size=8, byte_fallback=False, keep_whitespace=True)
    assert tokenizer.pieces(range(4, tokenizer.vocab_size)) == ["\n", "▁", "b", "a"]
    spelling = learn(["aaabbbbcc d"], model="char", vocab_size=263, keep_whitespace=True)
    assert spelling.decode(spelling.encode("abc  d\n")) == "abc  d\n"
    assert spelling.pieces(spelling.encode("ab d")) == ["<0x61>", "b", "▁", "<0x64>"]


def test_a_saved_tokenizer_still_keeps_white_space(tmp_path: Path) -> None:
    learn_exact("bpe").save(tmp_path / "t.model")
    assert SentencePieceTokenizer.load(tmp_path / "t.model").decode(learn_exact("bpe").encode(" the \n")) == " the \n"


def test_words_are_pieces_and_each_unknown_one_is_an_unk() -> None:
    lines = ["the Animal crossed", "the street the"]
    tokenizer = learn(lines, model="word", vocab_size=None, byte_fallback=False, normalization="nmt_nfkc_cf")
    assert tokenizer.pieces(range(4, tokenizer.vocab_size)) == ["▁the", "▁animal", "▁crossed", "▁street"]
    ids = tokenizer.encode(" The cat sat  crossed ▁ off")
    assert ids == [4, UNK_ID, UNK_ID, 6, UNK_ID]
    assert tokenizer.decode(ids).split() == ["the", "⁇", "⁇", "crossed", "⁇"]


@pytest.mark.parametrize(("vocab_size", "expected"), [(6, 6), (997, 8)])
def test_the_size_of_a_vocabulary_of_words_is_the_greatest_it_may_have(vocab_size: int, expected: int) -> None:
    lines = ["the animal crossed", "the street the"]
    assert learn(lines, model="word", vocab_size=vocab_size, byte_fallback=False).vocab_size == expected


@pytest.mark.parametrize("model", ["bpe", "char"])
def test_nothing_to_learn_exactly_from(model: str) -> None:
    with pytest.raises(DataError, match="no text is left"):
        learn([], model=model, keep_whitespace=True)


def test_settings_that_cannot_be_honoured_are_refused() -> None:
    with pytest.raises(ValueError, match="words cannot keep white space"):
        learn(model="word", keep_whitespace=True)
    with pytest.raises(ValueError, match="'unigram' needs a `vocab_size`"):
        learn(model="unigram", vocab_size=None)
