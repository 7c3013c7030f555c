"""Tokens read like their text, and each is a part of the white-space word that it stands in."""

import pytest
from inspected import tokenizer

from attento.inspection.tokens import read_ids, read_text, rows_of
from attento.text.learning import train_tokenizer
from attento.text.special import BOS_ID, EOS_ID, UNK_ID

TEXTS = ["apple 3 and the bridge", "the  cloud\tbridges", "日本 apple", "שלום עולם", "x", " and "]


@pytest.mark.parametrize("text", TEXTS)
def test_the_tokens_of_a_word_decode_to_it(text: str) -> None:
    line = read_text(tokenizer(), text)
    assert line.text == tuple(text.split())
    for number, word in enumerate(line.text):
        ids = [token for token, of in zip(line.ids, line.words, strict=True) if of == number]
        assert tokenizer().decode(ids).strip() == word
    assert list(line.words) == sorted(line.words)


@pytest.mark.parametrize("text", TEXTS)
def test_what_was_written_has_the_words_of_the_decoded_text(text: str) -> None:
    ids = tokenizer().encode(text)
    line = read_ids(tokenizer(), ids)
    assert line.text == tuple(tokenizer().decode(ids).split())
    assert line.words == read_text(tokenizer(), text).words


def test_an_unknown_word_is_one_word() -> None:
    words = train_tokenizer(
        ["a b c d"],
        model="word",
        vocab_size=None,
        byte_fallback=False,
        character_coverage=1.0,
        normalization="identity",
    )
    line = read_text(words, "a zebra b")
    assert (line.ids[1], line.words) == (UNK_ID, (0, 1, 2))


def test_blanks_of_a_character_model_belong_to_the_next_word() -> None:
    characters = train_tokenizer(
        ["ab c", "b ca"],
        model="char",
        vocab_size=None,
        byte_fallback=False,
        character_coverage=1.0,
        normalization="identity",
        keep_whitespace=True,
    )
    line = read_text(characters, "ab ca")
    assert line.tokens == ("a", "b", "␣", "c", "a")
    assert line.words == (0, 0, 1, 1, 1)


def test_marks_stand_for_no_word() -> None:
    line = read_text(tokenizer(), "apple 3").after(BOS_ID).before(EOS_ID)
    assert (line.tokens[0], line.tokens[-1]) == ("<s>", "</s>")
    assert (line.words[0], line.words[-1]) == (None, None)
    assert line.ids == (BOS_ID, *tokenizer().encode("apple 3"), EOS_ID)


def test_two_lines_have_words_of_their_own() -> None:
    first, second = read_text(tokenizer(), "apple 3").before(EOS_ID), read_text(tokenizer(), "cloud")
    both = first.then(second)
    assert both.text == ("apple", "3", "cloud")
    assert both.words == (*first.words, *(2 for _ in second.ids))
    assert rows_of(2).tokens == ("row 0", "row 1")


def test_blanks_alone_are_no_word() -> None:
    blank = tokenizer().piece_id("▁")
    assert blank is not None
    line = read_ids(tokenizer(), [blank] * 3)
    assert (line.text, line.words) == ((), (None,) * 3)
