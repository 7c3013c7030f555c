import _thread
import io
import pickle
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from attento.errors import DataError, InputError
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from attento.text.tokenizer import Tokenizer, TokenizerPair, _run_interruptibly, train_tokenizer

WORDS = ("animal", "street", "cross", "tired", "wide", "the", "didn't", "because", "was", "too")
LINES = [f"{a} {b} {c}" for a in WORDS for b in WORDS for c in WORDS[:3]]


def learn(lines: list[str] = LINES, **changes: Any) -> Tokenizer:
    settings: dict[str, Any] = {
        "model": "bpe", "vocab_size": 311, "byte_fallback": True, "character_coverage": 1.0,
        "normalization": "identity",
    } | changes  # fmt: skip
    return train_tokenizer(lines, **settings)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return learn()


def test_vocabulary_has_the_size_asked_for(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocab_size == 311


def test_special_pieces_stand_where_the_house_says(tokenizer: Tokenizer) -> None:
    assert tokenizer.pieces([0, 1, 2, 3]) == ["<pad>", "<unk>", "<s>", "</s>"]
    assert (PAD_ID, UNK_ID, BOS_ID, EOS_ID) == (0, 1, 2, 3)


def test_plain_sentencepiece_reads_the_saved_model_and_gives_the_same_ids(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "t.model")
    peer = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "t.model"))
    text = "the animal didn't cross"
    assert tokenizer.encode(text) == peer.encode(text)
    assert tokenizer.pieces(tokenizer.encode(text)) == peer.encode(text, out_type=str)


# White space is a matter of the normalization, "▁" is sentencepiece's own space, and halves of pairs are no text.
PLAIN = st.characters(exclude_categories=("Cs", "Zs", "Zl", "Zp", "Cc"), exclude_characters="▁")


@given(st.lists(st.text(PLAIN, min_size=1), max_size=5))
def test_any_text_comes_back_with_byte_fallback(words: list[str]) -> None:
    tokenizer = learn_once()
    assert tokenizer.decode(tokenizer.encode(" ".join(words))) == " ".join(words)


def test_unknown_characters_are_seen_without_byte_fallback() -> None:
    tokenizer = learn(byte_fallback=False, vocab_size=67)
    ids = tokenizer.encode("tired ☃ street")
    assert UNK_ID in ids
    assert tokenizer.decode(ids).split() == ["tired", "⁇", "street"]


def test_decode_leaves_padding_and_sentence_marks_out(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("too wide")
    assert tokenizer.decode([BOS_ID, *ids, EOS_ID, PAD_ID, PAD_ID]) == "too wide"


@pytest.mark.parametrize("bad", [-1, 311])
def test_decode_refuses_ids_outside_the_vocabulary(tokenizer: Tokenizer, bad: int) -> None:
    with pytest.raises(DataError, match=rf"id {bad} is outside the vocabulary of 311"):
        tokenizer.decode([5, bad])


def test_batch_is_one_by_one(tokenizer: Tokenizer) -> None:
    texts = ["", "the street", "  ", "wide☃"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode("") == []


def test_half_a_surrogate_pair_is_refused_by_name(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=r"U\+D83D"):
        tokenizer.encode("a \ud83d b")


def test_pickled_tokenizer_is_the_same(tokenizer: Tokenizer) -> None:
    twin = pickle.loads(pickle.dumps(tokenizer))
    assert twin == tokenizer
    assert hash(twin) == hash(tokenizer)
    assert twin.encode("animal") == tokenizer.encode("animal")


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


def test_missing_model_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.model"):
        Tokenizer.load(tmp_path / "gone.model")


@pytest.mark.parametrize("content", [b"", b"no model at all"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(DataError, match="is not a sentencepiece model"):
        Tokenizer.load(tmp_path / "other")


def test_models_with_other_special_ids_are_refused(tmp_path: Path) -> None:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=written, vocab_size=53, model_type="bpe", minloglevel=2
    )
    (tmp_path / "t.model").write_bytes(written.getvalue())
    with pytest.raises(DataError, match=r"must be \(0, 1, 2, 3\), but are \(-1, 0, 1, 2\)"):
        Tokenizer.load(tmp_path / "t.model")


def test_joint_pair_is_one_file(tokenizer: Tokenizer, tmp_path: Path) -> None:
    TokenizerPair(tokenizer, tokenizer).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.model"]
    loaded = TokenizerPair.load(tmp_path)
    assert loaded.joint
    assert loaded.source is loaded.target
    assert loaded.source == tokenizer


def test_separate_pair_is_two_files(tokenizer: Tokenizer, tmp_path: Path) -> None:
    other = learn(vocab_size=307)
    TokenizerPair(tokenizer, other).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.model", "target.model"]
    loaded = TokenizerPair.load(tmp_path)
    assert not loaded.joint
    assert (loaded.source.vocab_size, loaded.target.vocab_size) == (311, 307)


def test_folder_without_tokenizer_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no tokenizer"):
        TokenizerPair.load(tmp_path)


def test_folder_with_half_a_pair_names_the_other_half(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "source.model")
    with pytest.raises(DataError, match=r"target\.model"):
        TokenizerPair.load(tmp_path)


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
_EXACT_LEARNED: dict[str, Tokenizer] = {}


def learn_exact(name: str) -> Tokenizer:
    if name not in _EXACT_LEARNED:
        _EXACT_LEARNED[name] = learn(SPACED, model=name.split()[0], keep_whitespace=True, **EXACT[name])
    return _EXACT_LEARNED[name]


@pytest.mark.parametrize("name", ["char with bytes", "bpe", "unigram"])
@given(st.text(st.characters(codec="utf-8")) | st.text("ab the\n\r\t▁⁇▅愛<s>/0x4E", max_size=31))
def test_any_text_at_all_comes_back_when_white_space_is_kept(name: str, text: str) -> None:
    tokenizer = learn_exact(name)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert UNK_ID not in ids
    assert tokenizer.pieces(ids).count("\n") == text.count("\n")


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
    assert Tokenizer.load(tmp_path / "t.model").decode(learn_exact("bpe").encode(" the \n")) == " the \n"


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


def test_runs_of_unknown_characters_stay_one_unk_in_translation() -> None:
    tokenizer = learn(byte_fallback=False, vocab_size=67)
    assert tokenizer.encode("☃☃").count(UNK_ID) == 1


@pytest.mark.parametrize("model", ["bpe", "char"])
def test_nothing_to_learn_exactly_from(model: str) -> None:
    with pytest.raises(DataError, match="no text is left"):
        learn([], model=model, keep_whitespace=True)


def test_settings_that_cannot_be_honoured_are_refused() -> None:
    with pytest.raises(ValueError, match="words cannot keep white space"):
        learn(model="word", keep_whitespace=True)
    with pytest.raises(ValueError, match="'unigram' needs a `vocab_size`"):
        learn(model="unigram", vocab_size=None)


_LEARNED: list[Tokenizer] = []


def learn_once() -> Tokenizer:
    # hypothesis takes no module fixtures that vary; this one does not.
    if not _LEARNED:
        _LEARNED.append(learn())
    return _LEARNED[0]
