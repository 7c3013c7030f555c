import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as Original
from tokenizers import models, pre_tokenizers

from attento.errors import DataError, MissingExtraError
from attento.text.hugging_face import HuggingFaceTokenizer
from attento.text.learning import train_tokenizer
from attento.text.pieces import SentencePieceTokenizer
from attento.text.renumbering import renumber_json
from attento.text.tokenizer import Tokenizer, TokenizerPair, load_joint, load_tokenizer, save_joint


def learn(words: str) -> SentencePieceTokenizer:
    settings: dict[str, Any] = {
        "model": "word", "byte_fallback": False, "character_coverage": 1.0, "normalization": "identity",
    }  # fmt: skip
    return train_tokenizer([words], vocab_size=None, **settings)


def build(words: str) -> HuggingFaceTokenizer:
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words.split()]
    original = Original(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    original.pre_tokenizer = pre_tokenizers.Whitespace()
    return HuggingFaceTokenizer(renumber_json(original.to_str(), names))


PIECES, JSON = learn("the animal crossed"), build("the animal")


@pytest.mark.parametrize(("tokenizer", "name"), [(PIECES, "tokenizer.model"), (JSON, "tokenizer.json")])
def test_a_tokenizer_alone_is_one_file_named_by_its_kind(tokenizer: Tokenizer, name: str, tmp_path: Path) -> None:
    save_joint(tokenizer, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    loaded = load_joint(tmp_path)
    assert loaded == tokenizer
    assert hash(loaded) == hash(tokenizer)
    assert load_tokenizer(tmp_path / name) == tokenizer


def test_kinds_are_never_equal() -> None:
    assert PIECES != JSON
    assert JSON != PIECES


@pytest.mark.parametrize("name", ["tokenizer", "source", "target"])
def test_two_kinds_of_one_name_are_an_error_that_names_them(name: str, tmp_path: Path) -> None:
    TokenizerPair(PIECES, JSON).save(tmp_path)
    PIECES.save(tmp_path / f"{name}.model")
    JSON.save(tmp_path / f"{name}.json")
    with pytest.raises(DataError, match=rf"holds both {name}\.model and {name}\.json; remove the one"):
        TokenizerPair.load(tmp_path)
    if name == "tokenizer":
        with pytest.raises(DataError, match=r"holds both tokenizer\.model and tokenizer\.json"):
            load_joint(tmp_path)


@pytest.mark.parametrize("tokenizer", [PIECES, JSON])
def test_joint_pair_is_one_file(tokenizer: Tokenizer, tmp_path: Path) -> None:
    TokenizerPair(tokenizer, tokenizer).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"tokenizer{tokenizer.suffix}"]
    loaded = TokenizerPair.load(tmp_path)
    assert loaded.joint
    assert loaded.source is loaded.target
    assert loaded.source == tokenizer


@pytest.mark.parametrize(
    ("source", "target"), [(PIECES, learn("a street")), (PIECES, JSON), (JSON, PIECES), (JSON, build("a street too"))]
)
def test_separate_pair_is_two_files(source: Tokenizer, target: Tokenizer, tmp_path: Path) -> None:
    TokenizerPair(source, target).save(tmp_path)
    names = sorted([f"source{source.suffix}", f"target{target.suffix}"])
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    loaded = TokenizerPair.load(tmp_path)
    assert not loaded.joint
    assert (loaded.source, loaded.target) == (source, target)


def test_folder_without_tokenizer_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no tokenizer"):
        TokenizerPair.load(tmp_path)
    with pytest.raises(DataError, match=r"tokenizer\.model: the tokenizer cannot be read"):
        load_joint(tmp_path)


def test_folder_with_half_a_pair_names_the_other_half(tmp_path: Path) -> None:
    JSON.save(tmp_path / "source.json")
    with pytest.raises(DataError, match=r"target\.model"):
        TokenizerPair.load(tmp_path)


def test_files_of_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"vocab\.txt: a tokenizer's file must end in \.model or \.json"):
        load_tokenizer(tmp_path / "vocab.txt")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_joint(JSON, tmp_path)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtraError, match=r"`tokenizers`.*attento\[interop\]"):
        load_joint(tmp_path)
    assert json.loads((tmp_path / "tokenizer.json").read_bytes())["model"]["vocab"]["animal"] == 5
