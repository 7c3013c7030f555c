"""A sentencepiece vocabulary as `tokenizer.json`: the same ids for every text, and the same text for all ids."""

import pytest

from attento.interop.export.tokenizer_json import json_problems, make_tokenizer_json

KINDS = {
    "characters": {"model": "char", "vocab_size": None, "byte_fallback": False},
    "characters and bytes": {"model": "char", "vocab_size": None},
    "bpe": {"model": "bpe", "vocab_size": 61, "byte_fallback": False},
    "bpe and bytes": {"model": "bpe"},
    "unigrams and bytes": {"model": "unigram", "vocab_size": 293},
}
TEXTS = ["", " ", "   two  blanks ", "a line\nand another\n\n", "\tapple\r", "☃☃ 雪 and ﬁ ½", "thethethe hasnnn't"]


@pytest.mark.parametrize("kind", KINDS)
def test_ids_and_text_are_the_same_where_all_blanks_count(kind, learn_tokenizer, sentences):
    ours = learn_tokenizer(normalization="identity", keep_whitespace=True, **KINDS[kind])
    assert json_problems(ours) == []
    theirs = make_tokenizer_json(ours)
    assert theirs.get_vocab_size() == ours.vocab_size
    for text in [*sentences, *TEXTS]:
        assert theirs.encode(text).ids == [2, *ours.encode(text)], text
        known = [i for i in ours.encode(text) if i != 1]
        assert theirs.decode(known) == ours.decode(known)


@pytest.mark.parametrize("model", ["bpe", "unigram"])
def test_ids_are_the_same_where_text_is_normalized(model, learn_tokenizer, sentences):
    ours = learn_tokenizer(model=model, vocab_size=295)
    theirs = make_tokenizer_json(ours)
    for text in [*sentences, *TEXTS]:
        assert theirs.encode(text).ids == [2, *ours.encode(text)], text


def test_marks_of_the_vocabulary_are_one_piece(learn_tokenizer):
    ours = learn_tokenizer(special_pieces=["<mask>", "<sep>"], vocab_size=317)
    theirs = make_tokenizer_json(ours)
    assert [theirs.token_to_id(piece) for piece in ("<pad>", "<unk>", "<s>", "</s>", "<mask>", "<sep>")] == [*range(6)]


def test_what_the_format_cannot_hold_is_told(learn_tokenizer):
    (words,) = json_problems(learn_tokenizer(model="word", vocab_size=None, byte_fallback=False))
    assert "`data.tokenizer.model: word`" in words
    (unigrams,) = json_problems(learn_tokenizer(model="unigram", vocab_size=37, byte_fallback=False))
    assert "only with `byte_fallback: true`" in unigrams
