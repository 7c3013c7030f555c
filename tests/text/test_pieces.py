import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from attento.errors import DataError, InputError
from attento.text.learning import train_tokenizer
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


def test_special_pieces_stand_where_the_house_says(tokenizer: SentencePieceTokenizer) -> None:
    assert tokenizer.pieces([0, 1, 2, 3]) == ["<pad>", "<unk>", "<s>", "</s>"]
    assert (PAD_ID, UNK_ID, BOS_ID, EOS_ID) == (0, 1, 2, 3)


def test_plain_sentencepiece_reads_the_saved_model_and_gives_the_same_ids(
    tokenizer: SentencePieceTokenizer, tmp_path: Path
) -> None:
    tokenizer.save(tmp_path / "t.model")
    peer = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "t.model"))
    text = "the animal didn't cross"
    assert tokenizer.encode(text) == peer.encode(text)
    assert tokenizer.pieces(tokenizer.encode(text)) == peer.encode(text, out_type=str)


# White space is a matter of the normalization, "▁" is sentencepiece's own space, and halves of pairs are no text.
PLAIN = st.characters(exclude_categories=("Cs", "Zs", "Zl", "Zp", "Cc"), exclude_characters="▁")


# The first text waits for the vocabulary to be learned.
@settings(deadline=None)
@given(st.lists(st.text(PLAIN, min_size=1), max_size=5))
def test_any_text_comes_back_with_byte_fallback(words: list[str]) -> None:
    tokenizer = learn_once()
    assert tokenizer.decode(tokenizer.encode(" ".join(words))) == " ".join(words)


def test_unknown_characters_are_seen_without_byte_fallback() -> None:
    tokenizer = learn(byte_fallback=False, vocab_size=67)
    ids = tokenizer.encode("tired ☃ street")
    assert UNK_ID in ids
    assert tokenizer.decode(ids).split() == ["tired", "⁇", "street"]


def test_decode_leaves_padding_and_sentence_marks_out(tokenizer: SentencePieceTokenizer) -> None:
    ids = tokenizer.encode("too wide")
    assert tokenizer.decode([BOS_ID, *ids, EOS_ID, PAD_ID, PAD_ID]) == "too wide"


@pytest.mark.parametrize("bad", [-1, 311])
def test_decode_refuses_ids_outside_the_vocabulary(tokenizer: SentencePieceTokenizer, bad: int) -> None:
    with pytest.raises(DataError, match=rf"id {bad} is outside the vocabulary of 311"):
        tokenizer.decode([5, bad])


def test_a_piece_has_its_id(tokenizer: SentencePieceTokenizer) -> None:
    ids = range(tokenizer.vocab_size)
    assert [tokenizer.piece_id(piece) for piece in tokenizer.pieces(ids)] == list(ids)
    assert tokenizer.piece_id("<mask>") is None
    assert tokenizer.piece_id("") is None


def test_batch_is_one_by_one(tokenizer: SentencePieceTokenizer) -> None:
    texts = ["", "the street", "  ", "wide☃"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode("") == []


def test_half_a_surrogate_pair_is_refused_by_name(tokenizer: SentencePieceTokenizer) -> None:
    with pytest.raises(InputError, match=r"U\+D83D"):
        tokenizer.encode("a \ud83d b")


def test_pickled_tokenizer_is_the_same(tokenizer: SentencePieceTokenizer) -> None:
    twin = pickle.loads(pickle.dumps(tokenizer))
    assert twin == tokenizer
    assert hash(twin) == hash(tokenizer)
    assert twin.encode("animal") == tokenizer.encode("animal")


def test_missing_model_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.model"):
        SentencePieceTokenizer.load(tmp_path / "gone.model")


@pytest.mark.parametrize("content", [b"", b"no model at all"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(DataError, match="is not a sentencepiece model"):
        SentencePieceTokenizer.load(tmp_path / "other")


def test_models_with_other_special_ids_are_refused(tmp_path: Path) -> None:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=written, vocab_size=53, model_type="bpe", minloglevel=2
    )
    (tmp_path / "t.model").write_bytes(written.getvalue())
    with pytest.raises(DataError, match=r"must be \(0, 1, 2, 3\), but are \(-1, 0, 1, 2\)"):
        SentencePieceTokenizer.load(tmp_path / "t.model")


def test_runs_of_unknown_characters_stay_one_unk_in_translation() -> None:
    tokenizer = learn(byte_fallback=False, vocab_size=67)
    assert tokenizer.encode("☃☃").count(UNK_ID) == 1


_LEARNED: list[SentencePieceTokenizer] = []


def learn_once() -> SentencePieceTokenizer:
    # hypothesis takes no module fixtures that vary; this one does not.
    if not _LEARNED:
        _LEARNED.append(learn())
    return _LEARNED[0]
