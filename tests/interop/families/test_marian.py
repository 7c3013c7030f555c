"""Marian: every form that OPUS-MT's settings take, and a vocabulary that two tokenizers share and none fills."""

import json
from pathlib import Path
from typing import Any

import pytest
from interop_models import largest_difference, marian
from transformers import MarianTokenizer

from attento.errors import DataError
from attento.interop.families.marian import Marian
from attento.interop.hub_folder import HubFolder
from attento.interop.vocabulary import SILENCE
from attento.text.special import BOS_ID, PAD_ID, UNK_ID


@pytest.mark.parametrize(
    "settings",
    [
        {"activation_function": "relu", "scale_embedding": False},
        {"activation_function": "gelu", "encoder_layers": 1},
        {"activation_function": "silu", "d_model": 18},
    ],
)
def test_forms(tmp_path: Path, settings: dict[str, Any]) -> None:
    theirs = marian(tmp_path / "theirs", **settings)
    assert largest_difference(theirs, tmp_path / "theirs", tmp_path / "ours") < 1e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("marian") / "opus"
    marian(folder)
    return folder


def test_piece_without_a_number_is_a_copy_of_unknown(folder: Path) -> None:
    vocabulary = Marian().vocabulary(folder, HubFolder(folder).config)
    numbers = json.loads((folder / "vocab.json").read_text())
    order, silent = vocabulary.renumbering.order, vocabulary.renumbering.silent
    spare = range(len(numbers) + 1, len(order))  # padding stands twice
    assert len(spare) == 2
    assert {order[i] for i in spare} == {numbers["<unk>"]}
    assert set(spare) <= silent
    (lost,) = (piece for piece in vocabulary.tokenizers.source.pieces(spare[:1]))
    assert lost not in numbers
    text = f"Hund{lost.removeprefix('▁')}"
    assert not set(spare).isdisjoint(vocabulary.tokenizers.source.encode(text))


def test_padding_and_begin_are_never_predicted(folder: Path) -> None:
    renumbering = Marian().vocabulary(folder, HubFolder(folder).config).renumbering
    assert {PAD_ID, BOS_ID} <= renumbering.silent
    assert UNK_ID not in renumbering.silent
    assert SILENCE < -5000


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_language_before_a_text(folder: Path) -> None:
    vocabulary = Marian().vocabulary(folder, HubFolder(folder).config)
    ours = vocabulary.tokenizers.source.encode(">>fra<< der Hund")
    theirs = MarianTokenizer.from_pretrained(folder)(">>fra<< der Hund")["input_ids"]
    assert [vocabulary.renumbering.order[i] for i in ours] == theirs[:-1]
    assert vocabulary.tokenizers.source.pieces(ours[:1])[0].endswith(">>fra<<")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("pad_token_id", 59, r"says a special token of number 59"),
        ("eos_token_id", "x", r"`eos_token_id` must be a whole number, but is 'x'"),
        ("vocab_size", [59], r"`vocab_size` must be a whole number, but is \[59\]"),
    ],
)
def test_numbers_that_cannot_be(folder: Path, name: str, value: Any, message: str) -> None:
    config = HubFolder(folder).config
    config.values[name] = value
    with pytest.raises(DataError, match=message):
        Marian().vocabulary(folder, config)
