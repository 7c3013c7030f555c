import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Original
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from attento.errors import DataError, InputError
from attento.text.hugging_face import HuggingFaceTokenizer
from attento.text.renumbering import renumber_json
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID

LINES = ["the animal didn't cross the street", "because it was too tired", "el Niño too wide 愛 e\u0301", "a  b\tc"] * 7


def bytes_of_gpt() -> Original:
    original = Original(models.BPE())
    original.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    original.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=307, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    original.train_from_iterator(LINES, trainer)
    original.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return original


def pairs_of_llama() -> Original:
    original = Original(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    original.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    original.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    spelling = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=311, special_tokens=["<unk>", "<s>", "</s>", *spelling], show_progress=False
    )  # fmt: skip
    original.train_from_iterator(LINES[:2], trainer)
    document = json.loads(original.to_str())
    document["added_tokens"] = document["added_tokens"][:3]
    original = Original.from_str(json.dumps(document))
    original.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return original


def words_of_bert() -> Original:
    original = Original(models.WordPiece(unk_token="[UNK]"))
    original.normalizer = normalizers.BertNormalizer()
    original.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    original.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=89, special_tokens=["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False
    )
    original.train_from_iterator(LINES, trainer)
    original.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 3), ("[SEP]", 4)]
    )
    return original


def pieces_of_t5() -> Original:
    original = Original(models.Unigram())
    original.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    original.pre_tokenizer = pre_tokenizers.Metaspace()
    original.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=83, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    original.train_from_iterator(LINES, trainer)
    original.add_special_tokens(["<extra_id_1>", "<extra_id_0>"])
    original.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return original


def listed(original: Original) -> list[str]:
    return [str(original.id_to_token(i)) for i in range(original.get_vocab_size())]


# Of each: how it is made, its names for padding, unknown, begin and end, and what it puts before a text.
KINDS: dict[str, tuple[Callable[[], Original], list[str], list[str]]] = {
    "bytes": (bytes_of_gpt, ["<pad>", "<unk>", "<s>", "</s>"], ["<s>"]),
    "pairs": (pairs_of_llama, ["</s>", "<unk>", "<s>", "</s>"], ["<s>"]),
    "words": (words_of_bert, ["[PAD]", "[UNK]", "[CLS]", "[SEP]"], ["[CLS]"]),
    "unigram": (pieces_of_t5, ["<pad>", "<unk>", "<pad>", "</s>"], []),
}
_MADE: dict[str, tuple[Original, HuggingFaceTokenizer, list[str]]] = {}


def make(kind: str) -> tuple[Original, HuggingFaceTokenizer, list[str]]:
    if kind not in _MADE:
        build, specials, _ = KINDS[kind]
        original = build()
        tokens = [*specials, *(token for token in listed(original) if token not in specials)]
        _MADE[kind] = original, HuggingFaceTokenizer(renumber_json(original.to_str(), tokens)), tokens
    return _MADE[kind]


TEXTS = st.text(st.characters(codec="utf-8")) | st.text("ab the\n\t▁⁇愛éN<s>/[]0x4E'", max_size=31)


@pytest.mark.parametrize("kind", KINDS)
# The first text waits for the vocabulary to be learned.
@settings(deadline=None)
@given(TEXTS)
def test_any_text_is_cut_as_by_the_original(kind: str, text: str) -> None:
    original, tokenizer, tokens = make(kind)
    prefix = [tokens.index(token) for token in KINDS[kind][2]]
    original.encode_special_tokens = True
    theirs = original.encode(text, add_special_tokens=False)
    plain = [i for i in theirs.ids if original.id_to_token(i) not in KINDS[kind][1]]
    ids = tokenizer.encode(text)
    assert ids[: len(prefix)] == prefix
    ours = ids[len(prefix) :]
    assert len(ours) == len(theirs.ids)
    assert [i for i in ours if i != UNK_ID] == [tokens.index(str(original.id_to_token(i))) for i in plain]
    assert tokenizer.decode([BOS_ID, *(i for i in ours if i != UNK_ID), EOS_ID]) == original.decode(plain)


@pytest.mark.parametrize("kind", KINDS)
def test_every_id_has_its_piece_and_every_piece_its_id(kind: str) -> None:
    _, tokenizer, tokens = make(kind)
    assert tokenizer.vocab_size == len(tokens)
    assert tokenizer.pieces(range(4, len(tokens))) == tokens[4:]
    names = tokenizer.pieces(range(len(tokens)))
    assert [tokenizer.piece_id(name) for name in names] == list(range(len(tokens)))
    assert len(set(names)) == len(tokens)
    assert tokenizer.piece_id("no such piece") is None


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_yields_a_special_token(kind: str) -> None:
    _, tokenizer, _ = make(kind)
    prefix = tokenizer.encode("")
    marks = {*range(tokenizer.vocab_size)} & {
        i for name in ("<mask>", "[MASK]", "<extra_id_0>") if (i := tokenizer.piece_id(name)) is not None
    }
    for name in tokenizer.pieces([PAD_ID, BOS_ID, EOS_ID, *marks]):
        ids = tokenizer.encode(f"a {name} b{name}")
        assert not {PAD_ID, BOS_ID, EOS_ID, *marks} & set(ids[len(prefix) :])
    assert prefix == ([BOS_ID] if kind != "unigram" else [])


@pytest.mark.parametrize(("kind", "shown"), [("words", "the ⁇ animal"), ("unigram", "the⁇ animal")])
def test_unknown_shows_and_special_tokens_do_not(kind: str, shown: str) -> None:
    _, tokenizer, _ = make(kind)
    prefix = len(tokenizer.encode(""))
    the, animal = tokenizer.encode("the")[prefix:], tokenizer.encode("animal")[prefix:]
    mark = tokenizer.piece_id("[MASK]" if kind == "words" else "<extra_id_0>")
    assert mark is not None
    assert tokenizer.decode([BOS_ID, *the, UNK_ID, mark, *animal, EOS_ID, PAD_ID]) == shown


def test_without_a_decoder_tokens_are_joined_by_spaces() -> None:
    document = json.loads(make("words")[1]._text) | {"decoder": None}
    tokenizer = HuggingFaceTokenizer(json.dumps(document))
    assert tokenizer.decode(tokenizer.encode("the animal")) == " ".join(
        tokenizer.pieces(tokenizer.encode("the animal")[1:])
    )


def test_decode_refuses_ids_outside_the_vocabulary() -> None:
    tokenizer = make("words")[1]
    for bad in (-1, tokenizer.vocab_size):
        with pytest.raises(DataError, match=rf"id {bad} is outside the vocabulary of {tokenizer.vocab_size} pieces"):
            tokenizer.decode([5, bad])


def test_batch_is_one_by_one() -> None:
    tokenizer = make("bytes")[1]
    texts = ["", "the street", "  ", "wide☃"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]


def test_half_a_surrogate_pair_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"U\+D83D"):
        make("bytes")[1].encode("a \ud83d b")


def test_long_texts_are_neither_cut_nor_filled_up() -> None:
    document = json.loads(make("words")[1]._text)
    document["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    document["padding"] = {
        "strategy": {"Fixed": 11}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "[PAD]",
    }  # fmt: skip
    tokenizer = HuggingFaceTokenizer(json.dumps(document))
    assert tokenizer.encode("the animal was too tired") == make("words")[1].encode("the animal was too tired")


def test_pickled_and_saved_tokenizers_are_the_same(tmp_path: Path) -> None:
    for kind in KINDS:
        tokenizer = make(kind)[1]
        tokenizer.save(tmp_path / "t.json")
        for twin in (pickle.loads(pickle.dumps(tokenizer)), HuggingFaceTokenizer.load(tmp_path / "t.json")):
            assert twin == tokenizer
            assert hash(twin) == hash(tokenizer)
            assert twin.encode("an animal 愛") == tokenizer.encode("an animal 愛")
    assert make("words")[1] != make("bytes")[1]


def test_the_original_library_reads_the_saved_file_and_gives_the_same_ids(tmp_path: Path) -> None:
    for kind in KINDS:
        tokenizer = make(kind)[1]
        tokenizer.save(tmp_path / "t.json")
        peer = Original.from_file(str(tmp_path / "t.json"))
        assert peer.encode("the animal was tired").ids == tokenizer.encode("the animal was tired")


def test_files_of_another_numbering_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    for kind in KINDS:
        path.write_text(make(kind)[0].to_str(), "utf-8")
        with pytest.raises(DataError, match=r"t\.json: the ids .* must be \(0, 1, 2, 3\), but the file does not name"):
            HuggingFaceTokenizer.load(path)
    document = json.loads(make("words")[1]._text)
    document["post_processor"]["special_tokens"]["attento:unk"]["ids"] = [5]
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"must be \(0, 1, 2, 3\), but are \(0, 5, 2, 3\); `attento import` renumbers"):
        HuggingFaceTokenizer.load(path)


@pytest.mark.parametrize(
    ("kind", "setting", "value", "found"),
    [("words", "unk_token", "[GONE]", None), ("words", "unk_token", "a", r"\d+"), ("unigram", "unk_id", None, None)],
)
def test_another_id_of_unknown_text_is_refused(
    kind: str, setting: str, value: str | None, found: str | None, tmp_path: Path
) -> None:
    document = json.loads(make(kind)[1]._text)
    document["model"][setting] = value
    (tmp_path / "t.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=rf"t\.json: its model has the id {found} for unknown text, but it must be 1"):
        HuggingFaceTokenizer.load(tmp_path / "t.json")


def test_gaps_in_the_numbering_are_refused(tmp_path: Path) -> None:
    document = json.loads(make("words")[1]._text)
    document["model"]["vocab"]["zzz"] = 97
    (tmp_path / "t.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="has gaps"):
        HuggingFaceTokenizer.load(tmp_path / "t.json")


def damage(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(make("words")[1]._text)
    change(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"[1]", b"null", b"\xff\xfe", b'{"version": "1.0"}', b"no json",
        damage(lambda d: d.update(model={"type": "Zip"})), damage(lambda d: d.pop("model")),
        damage(lambda d: d.update(post_processor={"type": "Zip"})), damage(lambda d: d.update(house=1)),
        damage(lambda d: d["post_processor"]["special_tokens"]["[CLS]"].update(tokens=["[GONE]"])),
        damage(lambda d: None)[:-61],
    ],
)  # fmt: skip
def test_other_and_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.json").write_bytes(content)
    with pytest.raises(DataError, match=r"t\.json: is not a tokenizer\.json .* copy it again whole, or import"):
        HuggingFaceTokenizer.load(tmp_path / "t.json")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.json: the tokenizer cannot be read"):
        HuggingFaceTokenizer.load(tmp_path / "gone.json")
