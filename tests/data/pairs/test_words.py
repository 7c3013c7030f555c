import pickle

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attento.data.pairs.shards import Ragged
from attento.data.pairs.words import PlainTokenizer, WordTokenizer
from attento.text.learning import Normalization, train_tokenizer
from attento.text.tokenizer import Tokenizer

TEXTS = ["the cat sat on the mat", "le chat s'assied", "ein Käse, zwei Käse", "Ünicode ﬁne", "天气 很好", "a ▁ b"] * 3

# Characters that a normalization turns into spaces, deletes, joins or spells out, between ordinary ones.
CHARACTERS = "aet ▁\u2581\t\r\xa0\u3000\u200b\u200d\xad\u2028\x01\x85¨´\u0301\u0308ﬁ½…Å ㎏ｱﾞ가天😀éß'’\ufeff\ufffd"


def learn(normalization: Normalization, byte_fallback: bool) -> Tokenizer:
    return train_tokenizer(
        TEXTS, model="bpe", vocab_size=331 if byte_fallback else 73, byte_fallback=byte_fallback,
        character_coverage=1.0, normalization=normalization,
    )  # fmt: skip


TOKENIZERS = {
    (normalization, byte_fallback): learn(normalization, byte_fallback)
    for normalization in ("identity", "nmt_nfkc", "nfkc_cf")
    for byte_fallback in (True, False)
}


def listed(ragged: Ragged) -> list[list[int]]:
    values, lengths = ragged.values.tolist(), ragged.lengths.tolist()
    ends = [sum(lengths[: n + 1]) for n in range(len(lengths))]
    return [values[end - length : end] for end, length in zip(ends, lengths, strict=True)]


@pytest.mark.parametrize("key", TOKENIZERS)
@settings(max_examples=200, deadline=None)
@example(texts=["字符 ▁ 替换", "▁ a", "a▁ b", "▁"])
@given(texts=st.lists(st.text(st.sampled_from(CHARACTERS) | st.characters(codec="utf-8")), max_size=5))
def test_words_give_the_ids_of_whole_texts(key: tuple[Normalization, bool], texts: list[str]) -> None:
    tokenizer = TOKENIZERS[key]
    expected = tokenizer.encode_batch(texts)
    assert listed(WordTokenizer(tokenizer).encode_batch(texts)) == expected
    assert listed(PlainTokenizer(tokenizer).encode_batch(texts)) == expected


def test_what_was_met_before_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # A small memory, so that words are forgotten many times.
    monkeypatch.setattr("attento.data.pairs.words._MOST_WORDS", 7)
    tokenizer = TOKENIZERS["nmt_nfkc", True]
    words = WordTokenizer(tokenizer)
    for number in range(29):
        texts = [f"{TEXTS[number % 6]} {number % 5}", "", TEXTS[number % 4]]
        assert listed(words.encode_batch(texts)) == tokenizer.encode_batch(texts)


def test_pickled_it_is_the_same() -> None:
    tokenizer = TOKENIZERS["nmt_nfkc", True]
    words = WordTokenizer(tokenizer)
    words.encode_batch(TEXTS)
    assert listed(pickle.loads(pickle.dumps(words)).encode_batch(TEXTS)) == tokenizer.encode_batch(TEXTS)
