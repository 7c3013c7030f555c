import io
import json
import random
import sys
from typing import Any

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from attento.errors import MissingExtraError
from attento.text.hugging_face import HuggingFaceTokenizer
from attento.text.pieces import SentencePieceTokenizer
from attento.text.renumbering import renumber_json, renumber_pieces, unnumbered_pieces, unnumbered_tokens
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID

SYLLABLES = (
    "an",
    "str",
    "eet",
    "cro",
    "ss",
    "ti",
    "red",
    "wi",
    "de",
    "the",
    "didn't",
    "be",
    "cau",
    "was",
    "oo",
    "愛",
    "Niñ",
)
_draw = random.Random(7)
WORDS = ["".join(_draw.choices(SYLLABLES, k=_draw.randint(1, 4))) for _ in range(151)]
LINES = [" ".join(_draw.choices(WORDS, k=7)) for _ in range(199)]

# As the sentencepiece models of Marian, T5 and LLaMA are learned.
KINDS: dict[str, dict[str, Any]] = {
    "marian": {"model_type": "unigram", "vocab_size": 131, "eos_id": 0, "unk_id": 1, "bos_id": -1},
    "t5": {"model_type": "unigram", "vocab_size": 137, "pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1},
    "llama": {
        "model_type": "bpe", "vocab_size": 331, "byte_fallback": True, "remove_extra_whitespaces": False,
        "normalization_rule_name": "identity", "split_digits": True,
    },
}  # fmt: skip
_LEARNED: dict[str, bytes] = {}


def learn(kind: str) -> bytes:
    if kind not in _LEARNED:
        written = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(LINES), model_writer=written, minloglevel=2, **KINDS[kind]
        )
        _LEARNED[kind] = written.getvalue()
    return _LEARNED[kind]


def listed(model: bytes) -> list[str]:
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [str(processor.id_to_piece(i)) for i in range(processor.vocab_size())]


def order(kind: str) -> list[str]:
    """A numbering in which every piece changes its place and strangers stand between."""
    specials = {
        "marian": ["<pad>", "<unk>", "<pad>", "</s>"],
        "t5": ["<pad>", "<unk>", "<pad>", "</s>"],
        "llama": ["</s>", "<unk>", "<s>", "</s>"],
    }[kind]
    text = [piece for piece in reversed(listed(learn(kind))) if piece not in specials]
    # Strangers that would cut the text otherwise if they could: whole words, and a character that is unknown.
    strangers = {"marian": ["▁street▁cross", "ire", "ß", "▁zebra"], "t5": ["<extra_id_0>"], "llama": ["<|user|>"]}[kind]
    return [*specials, *text[:13], *strangers, *text[13:]]


def renumbered(kind: str) -> tuple[sentencepiece.SentencePieceProcessor, SentencePieceTokenizer, list[str]]:
    tokens = order(kind)
    ours = renumber_pieces(learn(kind), tokens, hidden=["<extra_id_0>", "<|user|>"])
    return sentencepiece.SentencePieceProcessor(model_proto=learn(kind)), SentencePieceTokenizer(ours), tokens


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="▁")) | st.text(
    " abcdehimnorstuwßñ'愛<extraid_0/s>|", max_size=41
)


@pytest.mark.parametrize("kind", KINDS)
# The first text waits for the vocabulary to be learned.
@settings(deadline=None)
@given(TEXTS | st.lists(st.sampled_from([*WORDS, " ", "ß", "zebra"]), max_size=7).map(" ".join))
def test_any_text_is_cut_as_by_the_original_pieces(kind: str, text: str) -> None:
    _MADE[kind] = original, tokenizer, tokens = _MADE.get(kind) or renumbered(kind)
    ids = original.encode(text)
    assert tokenizer.encode(text) == [
        UNK_ID if original.is_unknown(i) else tokens.index(original.id_to_piece(i)) for i in ids
    ]
    known = [i for i in ids if not original.is_unknown(i)]
    ours = [tokens.index(original.id_to_piece(i)) for i in known]
    assert tokenizer.decode([BOS_ID, *ours, EOS_ID, PAD_ID]) == original.decode(known).strip(" ")


_MADE: dict[str, tuple[sentencepiece.SentencePieceProcessor, SentencePieceTokenizer, list[str]]] = {}


@pytest.mark.parametrize("kind", KINDS)
def test_each_id_has_the_piece_asked_for(kind: str, tmp_path: Any) -> None:
    _, tokenizer, tokens = renumbered(kind)
    assert tokenizer.vocab_size == len(tokens)
    assert tokenizer.pieces(range(3, len(tokens))) == tokens[3:]
    assert [tokenizer.piece_id(token) for token in tokens[3:]] == list(range(3, len(tokens)))
    tokenizer.save(tmp_path / "t.model")
    assert SentencePieceTokenizer.load(tmp_path / "t.model") == tokenizer


def test_copies_of_a_token_say_whose_they_are() -> None:
    assert renumbered("marian")[1].pieces(range(4)) == ["<pad>", "<unk>", "<pad> as begin", "</s>"]
    assert renumbered("llama")[1].pieces(range(4)) == ["</s> as padding", "<unk>", "<s>", "</s>"]
    tokens = [*order("t5"), "</s>", "<pad>"]
    tokenizer = SentencePieceTokenizer(renumber_pieces(learn("t5"), tokens, hidden=["<extra_id_0>"]))
    last = len(tokens) - 1
    assert tokenizer.pieces([last - 1, last]) == [f"</s> as {last - 1}", f"<pad> as {last}"]
    assert tokenizer.decode([*tokenizer.encode("the street"), last, last - 1]) == "the street"


def test_one_token_for_unknown_and_padding_is_told_apart() -> None:
    tokens = ["<unk>", *order("llama")[1:]]
    tokenizer = SentencePieceTokenizer(renumber_pieces(learn("llama"), tokens, hidden=["<|user|>"]))
    assert tokenizer.pieces([0, 1]) == ["<unk>", "<unk> as unknown"]
    assert tokenizer.decode([0, *tokenizer.encode("wide"), 1]).split() == ["wide", "⁇"]


def test_strangers_are_shown_but_marks_are_not() -> None:
    _, marian, _ = renumbered("marian")
    zebra = marian.piece_id("▁zebra")
    assert zebra is not None
    assert marian.decode([*marian.encode("the"), zebra]) == "the zebra"
    _, t5, _ = renumbered("t5")
    mark = t5.piece_id("<extra_id_0>")
    assert mark is not None
    assert t5.decode([mark, *t5.encode("the street"), mark]) == "the street"


def test_a_language_before_a_text_is_matched_with_its_blank() -> None:
    tokens = [*order("marian"), ">>fra<<"]
    tokenizer = SentencePieceTokenizer(renumber_pieces(learn("marian"), tokens, matched=[">>fra<<"]))
    text = tokenizer.encode("the street")
    assert tokenizer.encode(">>fra<< the street") == [len(tokens) - 1, *text]
    assert tokenizer.encode("the street") == text


def test_pieces_without_an_id_are_listed_and_refused() -> None:
    tokens = [token for token in order("marian") if token not in ("▁the", "w")]
    missing = unnumbered_pieces(learn("marian"), tokens)
    assert sorted(missing) == ["w", "▁the"]
    with pytest.raises(ValueError, match=f"2 pieces of the tokenizer have no id, the first is '{missing[0]}'"):
        renumber_pieces(learn("marian"), tokens)
    assert unnumbered_pieces(learn("marian"), order("marian")) == []
    assert len(unnumbered_pieces(learn("llama"), [])) == 331 - 3


def test_pieces_that_cannot_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the token 1 must be the model's piece for unknown text, \['<unk>'\]"):
        renumber_pieces(learn("marian"), ["<pad>", "</s>", *order("marian")[2:]])
    with pytest.raises(ValueError, match=r"'▁the' is a piece of text"):
        renumber_pieces(learn("marian"), ["▁the", *order("marian")[1:]])
    with pytest.raises(ValueError, match=r"lacks the token '<\|user\|>'; only a unigram model"):
        renumber_pieces(learn("llama"), order("llama"))


@pytest.mark.parametrize("content", [b"", b"no model at all", b"{}"])
def test_other_files_are_no_pieces(content: bytes) -> None:
    with pytest.raises(ValueError, match="no sentencepiece model"):
        unnumbered_pieces(content, [])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.protobuf.message", None)
    with pytest.raises(MissingExtraError, match=r"`protobuf`.*attento\[interop\]"):
        unnumbered_pieces(learn("t5"), [])


def build_unigram() -> Tokenizer:
    scores = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁the", -2.0), ("▁", -3.0), ("s", -4.0), ("<", -5.0),
              (">", -5.0), ("e", -4.5)]  # fmt: skip
    original = Tokenizer(models.Unigram(scores, unk_id=2, byte_fallback=False))
    original.pre_tokenizer = pre_tokenizers.Metaspace()
    original.decoder = decoders.Metaspace()
    original.add_special_tokens(["<pad>", "</s>", "<unk>", "<extra_id_0>"])
    original.add_tokens([AddedToken("sees", single_word=True, special=False)])
    return original


SPECIALS = ["<pad>", "<unk>", "<pad>", "</s>"]


def test_added_tokens_and_strangers_keep_their_ids_in_json() -> None:
    original = build_unigram()
    tokens = [*SPECIALS, "<", "<row 9>", "s", "<row 8>", "e", "▁", "<extra_id_0>", ">", "▁the", "sees", "<pad>"]
    tokenizer = HuggingFaceTokenizer(renumber_json(original.to_str(), tokens))
    assert tokenizer.pieces(range(len(tokens))) == [*tokens[:2], "<pad> as begin", *tokens[3:14], "<pad> as 14"]
    assert tokenizer.vocab_size == len(tokens)
    # A name of a copy, or of a stranger, is text where it is met.
    assert tokenizer.pieces(tokenizer.encode("the <s>")) == ["▁the", "▁", "<", "s", ">"]
    text = "the sees seesees the"
    assert tokenizer.pieces(tokenizer.encode(text)) == original.encode(text).tokens
    assert tokenizer.decode([12, 14, 7, 5, 10, 2]) == "the"


def test_numbers_follow_the_model_where_added_tokens_stand_last() -> None:
    tokens = [*SPECIALS, "▁the", "▁", "s", "<", ">", "e", "sees", "<extra_id_0>"]
    document = json.loads(renumber_json(build_unigram().to_str(), tokens))
    assert [token for token, _ in document["model"]["vocab"]] == [*tokens[:2], "<pad> as begin", *tokens[3:10]]
    assert dict(document["model"]["vocab"])["▁the"] == -2.0
    assert [(t["id"], t["content"], t["special"]) for t in document["added_tokens"]][-2:] == [
        (10, "sees", False), (11, "<extra_id_0>", True),
    ]  # fmt: skip


def test_tokens_without_an_id_are_listed_and_refused() -> None:
    text = build_unigram().to_str()
    tokens = [*SPECIALS, "▁the", "▁", "s", "<", ">"]
    assert unnumbered_tokens(text, tokens) == ["e", "<extra_id_0>", "sees"]
    with pytest.raises(ValueError, match="3 pieces of the tokenizer have no id, the first is 'e'"):
        renumber_json(text, tokens)


def test_a_plain_added_token_must_not_become_a_piece_of_the_model() -> None:
    tokens = [*SPECIALS, "sees", "▁the", "▁", "s", "<", ">", "e", "<extra_id_0>"]
    with pytest.raises(ValueError, match="the added token 'sees' must stand behind all tokens of the model"):
        renumber_json(build_unigram().to_str(), tokens)


def test_the_token_for_unknown_text_must_be_theirs() -> None:
    tokens = ["<pad>", "</s>", "<pad>", "<unk>", *"<>se▁", "▁the", "sees", "<extra_id_0>"]
    with pytest.raises(ValueError, match="the token 1 must be the file's token for unknown text, '<unk>'"):
        renumber_json(build_unigram().to_str(), tokens)


def test_the_prefix_goes_where_the_house_begins_the_text_itself() -> None:
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"]
    original = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    document = json.loads(original.to_str())
    document["post_processor"] = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    document["padding"] = {"strategy": "BatchLongest"}
    document["truncation"] = {"max_length": 1}
    for keep_prefix, expected in ((True, [2, 4]), (False, [4])):
        written = renumber_json(json.dumps(document), names, keep_prefix=keep_prefix)
        assert HuggingFaceTokenizer(written).encode("a") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [("{}", "no tokenizer.json"), ("[]", "no tokenizer.json"), ("", "Expecting value"),
     ('{"model": {"type": "Magic"}}', "`Magic` is not supported")],
)  # fmt: skip
def test_other_files_are_no_json_tokenizers(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        renumber_json(text, SPECIALS)
