"""BART: what its settings may ask for, and where the first rows of its positions go."""

from pathlib import Path
from typing import Any

import pytest
import torch
from interop_models import bart, largest_difference
from safetensors.torch import load_file

from attento.errors import DataError
from attento.interop.families.bart import Bart
from attento.interop.hub_folder import HubFolder
from attento.interop.importing import import_model
from attento.text.special import BOS_ID


@pytest.mark.parametrize(
    "settings", [{"activation_function": "relu", "scale_embedding": True}, {"activation_function": "gelu_new"}]
)
def test_forms(tmp_path: Path, settings: dict[str, Any]) -> None:
    theirs = bart(tmp_path / "theirs", **settings)
    assert largest_difference(theirs, tmp_path / "theirs", tmp_path / "ours") < 1e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bart") / "bart"
    bart(folder)
    return folder


def test_source_begins_with_their_begin_and_decoding_with_their_end(folder: Path) -> None:
    vocabulary = Bart().vocabulary(folder, HubFolder(folder).config)
    ids = vocabulary.tokenizers.source.encode("der Hund")
    order = vocabulary.renumbering.order
    assert (order[ids[0]], order[BOS_ID]) == (0, 2)
    assert 0 not in [order[i] for i in ids[1:]]
    # What is written begins with it too, and it is no text.
    assert vocabulary.tokenizers.target.decode(ids) == "der Hund"


def test_unused_positions_are_left_out(folder: Path, tmp_path: Path) -> None:
    import_model(folder, tmp_path / "run")
    theirs, ours = load_file(folder / "model.safetensors"), load_file(tmp_path / "run" / "model.safetensors")
    for side, name in (("source", "encoder"), ("target", "decoder")):
        table = theirs[f"model.{name}.embed_positions.weight"]
        assert table.size(0) == 99
        assert torch.equal(ours[f"{side}_positions.weight"], table[2:])


def test_missing_tokenizer(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no tokenizer \(neither tokenizer\.json\)"):
        Bart().vocabulary(tmp_path, HubFolder(folder).config)


def test_vocabulary_of_another_size(folder: Path) -> None:
    config = HubFolder(folder).config
    config.values["vocab_size"] += 1
    with pytest.raises(DataError, match=r"has 308 tokens, but .*config\.json says `vocab_size: 309`"):
        Bart().vocabulary(folder, config)


def test_other_heads_are_refused(folder: Path) -> None:
    config = HubFolder(folder).config
    config.values |= {"architectures": ["BartForSequenceClassification"], "normalize_embedding": False}
    Bart().settings(config)
    assert [problem.split(" is ")[0] for problem in config.problems] == [
        "`architectures: BartForSequenceClassification`",
        "`normalize_embedding: False`",
    ]
