"""T5: its gates, the factor before its output, its two forms of tokenizer, and rows that only fill a matrix up."""

from pathlib import Path
from typing import Any

import pytest
import torch
from interop_models import largest_difference, t5
from safetensors.torch import load_file
from transformers.models.t5.modeling_t5 import T5Attention

from attento.errors import DataError
from attento.interop.families.t5 import T5
from attento.interop.hub_folder import HubFolder
from attento.interop.importing import import_model
from attento.nn.relation import distance_buckets
from attento.text.special import UNK_ID


@pytest.mark.parametrize(
    "settings",
    [
        {"feed_forward_proj": "gated-silu"},
        {"feed_forward_proj": "gated-relu", "num_decoder_layers": 1},
        # One matrix for all, and no factor: what newer files make of the second kind's settings.
        {"feed_forward_proj": "gelu", "tie_word_embeddings": False},
    ],
)
def test_forms(tmp_path: Path, settings: dict[str, Any]) -> None:
    theirs = t5(tmp_path / "theirs", **settings)
    assert largest_difference(theirs, tmp_path / "theirs", tmp_path / "ours") < 1e-4


@pytest.mark.parametrize("both_ways", [True, False])
@pytest.mark.parametrize(("buckets", "max_distance"), [(32, 128), (8, 13), (32, 20)])
def test_buckets_of_all_distances(buckets: int, max_distance: int, both_ways: bool) -> None:
    distances = torch.arange(-300, 301)
    theirs = T5Attention._relative_position_bucket(
        -distances, bidirectional=both_ways, num_buckets=buckets, max_distance=max_distance
    )
    assert torch.equal(distance_buckets(distances[None, None], buckets, max_distance, both_ways)[0, 0], theirs)


@pytest.fixture(scope="module", params=[False, True], ids=["json", "pieces"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("t5") / "t5"
    t5(folder, pieces=request.param)
    return folder


def test_factor_is_a_part_of_the_last_gain(folder: Path, tmp_path: Path) -> None:
    import_model(folder, tmp_path / "run")
    theirs, ours = load_file(folder / "model.safetensors"), load_file(tmp_path / "run" / "model.safetensors")
    expected = theirs["decoder.final_layer_norm.weight"] / 12**0.5
    torch.testing.assert_close(ours["decoder_norm.weight"], expected)
    assert torch.equal(ours["encoder_norm.weight"], theirs["encoder.final_layer_norm.weight"])


def test_weights_can_be_made_theirs_again(folder: Path) -> None:
    config = HubFolder(folder).config
    renumbering = T5().vocabulary(folder, config).renumbering
    weights = {weight.ours: weight for weight in T5().weights(T5().settings(config), renumbering)}
    gain = torch.tensor([0.5, 2.0, 3.0])
    last = weights["decoder_norm.weight"]
    torch.testing.assert_close(last.write(last.read(gain)), gain)


def test_rows_that_fill_up_are_kept_and_no_text_yields_them(folder: Path) -> None:
    config = HubFolder(folder).config
    vocabulary = T5().vocabulary(folder, config)
    assert vocabulary.renumbering.size == config.get("vocab_size")
    tokenizer = vocabulary.tokenizers.source
    filling = [i for i, piece in enumerate(tokenizer.pieces(range(tokenizer.vocab_size))) if "without a token" in piece]
    assert len(filling) > 10
    assert tokenizer.decode(filling) == ""
    assert set(filling).isdisjoint(tokenizer.encode("<row 60 without a token> der Hund"))


def test_marks_of_what_was_left_out(folder: Path) -> None:
    tokenizer = T5().vocabulary(folder, HubFolder(folder).config).tokenizers.source
    if (folder / "spiece.model").is_file():
        places = [tokenizer.piece_id(f"<extra_id_{number}>") for number in (99, 0)]
        assert None not in places
        assert places[0] < places[1]
        assert tokenizer.decode(places) == ""
    assert UNK_ID not in tokenizer.encode("der Hund")


@pytest.mark.parametrize("change", [-1, 1, 128])
def test_vocabulary_of_another_size(folder: Path, change: int) -> None:
    config = HubFolder(folder).config
    config.values["vocab_size"] += change
    with pytest.raises(DataError, match=rf"tokens, but .* says `vocab_size: {config.values['vocab_size']}`"):
        T5().vocabulary(folder, config)


def test_missing_or_damaged_tokenizer(folder: Path, tmp_path: Path) -> None:
    config = HubFolder(folder).config
    with pytest.raises(DataError, match=r"holds no tokenizer \(neither tokenizer\.json nor spiece\.model\)"):
        T5().vocabulary(tmp_path, config)
    for name, message in (("spiece.model", "is not a sentencepiece model"), ("tokenizer.json", "cannot be read")):
        (tmp_path / name).write_bytes(b"\x00\x01")
        with pytest.raises(DataError, match=rf"{name}: {message}"):
            T5().vocabulary(tmp_path, config)
