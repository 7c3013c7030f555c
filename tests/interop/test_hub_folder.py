"""Foreign folders: whole ones are read, damaged ones are refused with the file's name and the mend."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from attento.errors import DataError
from attento.interop.hub_folder import HubFolder


def shard(folder: Path) -> dict[str, str]:
    """Cut the file of weights in two."""
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    files = {name: f"model-0000{1 + (place > 9)}-of-00002.safetensors" for place, name in enumerate(names)}
    for file in set(files.values()):
        save_file({name: weights[name] for name in names if files[name] == file}, folder / file)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    return files


def test_shards_are_one_file_cut_up(folder: Path) -> None:
    whole = dict(HubFolder(folder).weights())
    files = shard(folder)
    hub = HubFolder(folder)
    assert hub.files == files
    read = dict(hub.weights())
    assert read.keys() == whole.keys()
    assert all(torch.equal(read[name], whole[name]) for name in whole)


def refused(folder: Path, message: str) -> None:
    with pytest.raises(DataError, match=message):
        dict(HubFolder(folder).weights())


def test_missing_shard(folder: Path) -> None:
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    refused(folder, "names files that are missing: model-00002-of-00002.safetensors; download them")


def test_index_that_lies(folder: Path) -> None:
    files = shard(folder)
    first = min(files)
    files[first] = "model-00002-of-00002.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    refused(folder, rf"`{first}` is in model-00001-of-00002.safetensors, not in model-00002-of-00002.safetensors")


@pytest.mark.parametrize("place", ["../model.safetensors", "/etc/hosts", 7])
def test_index_that_leads_out_of_the_folder(folder: Path, place: object) -> None:
    shard(folder)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"shared": place}}))
    refused(folder, r"index\.json: names no file for each weight; download it again$")


def test_cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    refused(folder, rf"^{re.escape(str(path))}: is damaged or cut short \(.*\); download it again$")


def test_tampered_with(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"X32"', 1))
    refused(folder, "is damaged or cut short")


def test_pickle_alone_is_refused_with_the_way_to_convert_it(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, r"can run any code .* python -c 'from transformers import MarianMTModel as M; .*safe_serialization")


def test_nothing_that_is_no_name_gets_into_the_line_to_be_typed(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": ["os; evil() #"]}))
    with pytest.raises(DataError, match="import AutoModel as M"):
        _ = HubFolder(folder).files


def test_a_file_in_place_of_its_folder(folder: Path) -> None:
    with pytest.raises(DataError, match=r"config\.json: is a file; name the folder"):
        _ = HubFolder(folder / "config.json").config


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    refused(folder, "holds no model.safetensors; download it$")


@pytest.mark.parametrize(
    ("content", "what"), [("{", "cannot be read"), ("[]", "must hold an object"), ("\xff", "cannot")]
)
def test_damaged_settings(folder: Path, content: str, what: str) -> None:
    (folder / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=f"config.json: {what}"):
        _ = HubFolder(folder).config


def test_no_settings_and_no_folder(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(DataError, match=r"holds no config\.json; name the folder that a Hugging Face model lies in"):
        _ = HubFolder(folder).config
    with pytest.raises(DataError, match=r"nowhere: no such folder$"):
        _ = HubFolder(folder / "nowhere").config


@pytest.mark.parametrize(
    ("readme", "licence"),
    [
        ("---\nlanguage: de\nlicense: apache-2.0\n---\n# Opus\n", "apache-2.0"),
        ("---\nlanguage: de\n---\n# Opus\n", None),
        ("---\nlicense: [mit, gpl]\n---\n", None),
        ("---\n: :\n- ][\n---\n", None),
        ("# Opus\n\nlicense: mit\n", None),
        (None, None),
    ],
)
def test_licence(folder: Path, readme: str | None, licence: str | None) -> None:
    if readme is not None:
        (folder / "README.md").write_text(readme)
    assert HubFolder(folder).licence == licence


def test_search_of_older_folders_is_among_the_settings(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_beams": 6}))
    assert "num_beams" not in HubFolder(folder).generation
    (folder / "generation_config.json").unlink()
    assert HubFolder(folder).generation["num_beams"] == 6
