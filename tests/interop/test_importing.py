"""The road from a foreign folder to a run: whole or not at all, and everything that is wrong is told at once."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from attento.errors import AttentoError, ConfigError, DataError, RunFolderError
from attento.interop import importing
from attento.interop.importing import import_model, search_settings
from attento.interop.vocabulary import SILENCE
from attento.translator import Translator


def change(folder: Path, name: str = "config.json", /, **settings: Any) -> None:
    path = folder / name
    kept = json.loads(path.read_text()) | settings
    path.write_text(json.dumps({key: value for key, value in kept.items() if value is not ...}))


def change_weights(folder: Path, spoil: Callable[[dict[str, Tensor]], None]) -> None:
    weights = load_file(folder / "model.safetensors")
    spoil(weights)
    save_file(weights, folder / "model.safetensors")


def refused(folder: Path, kind: type[AttentoError] = DataError) -> str:
    """Return the message of an import that fails, and leaves nothing."""
    before = sorted(folder.parent.iterdir())
    with pytest.raises(kind) as told:
        import_model(folder, folder.parent / "new" / "run")
    assert sorted(folder.parent.iterdir()) == before
    return str(told.value)


def test_run_has_what_a_translator_needs(folder: Path) -> None:
    change(folder, "generation_config.json", num_beams=3, length_penalty=0.0)
    change(folder, "tokenizer_config.json", model_max_length=29)
    run = folder.parent / "runs" / "opus"
    done = import_model(folder, run)
    assert {path.name for path in run.iterdir()} == {
        *("config.yaml", "model.safetensors", "README.md", "source.model", "target.model")
    }
    assert list(run.parent.iterdir()) == [run]
    tree = yaml.safe_load((run / "config.yaml").read_text())
    assert tree["data"] == {
        "task": "translation",
        "source_language": "de",
        "target_language": "en",
        "cleaning": {"max_tokens": 28},
    }
    assert done.parameters == sum(each.numel() for each in load_file(run / "model.safetensors").values())
    assert done.notes == ()
    translator = Translator.load(run, device="cpu")
    assert (translator.search.beam_size, translator.search.length_penalty) == (3, 0.0)
    assert (translator.target_language, translator.max_piece_tokens) == ("en", 28)


def test_languages_can_be_told(folder: Path) -> None:
    run = folder.parent / "run"
    import_model(folder, run, source_language="nds")
    data = yaml.safe_load((run / "config.yaml").read_text())["data"]
    assert (data["source_language"], data["target_language"]) == ("nds", "en")


def test_languages_that_nobody_knows_are_left_out(folder: Path) -> None:
    (folder / "tokenizer_config.json").unlink()
    run = folder.parent / "run"
    import_model(folder, run)
    assert yaml.safe_load((run / "config.yaml").read_text())["data"] == {"task": "translation"}
    assert Translator.load(run, device="cpu").target_language is None


def test_card_names_origin_and_licence(folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    change(folder, _name_or_path="Helsinki-NLP/opus-mt-de-en")
    change(folder, "generation_config.json", num_beams=4)
    import_model(folder, folder.parent / "run")
    card = (folder.parent / "run" / "README.md").read_text()
    assert "`Helsinki-NLP/opus-mt-de-en`, in the folder `opus`" in card
    assert "licence `cc-by-4.0`" in card
    assert "`length_penalty: 1.0`" in card


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_single(folder: Path, dtype: torch.dtype) -> None:
    runs = [folder.parent / name for name in ("whole", "half")]
    import_model(folder, runs[0])
    change_weights(folder, lambda weights: weights.update({name: each.to(dtype) for name, each in weights.items()}))
    import_model(folder, runs[1])
    whole, half = (load_file(run / "model.safetensors") for run in runs)
    assert whole.keys() == half.keys()
    for name in whole:
        heard = whole[name] != SILENCE
        torch.testing.assert_close(half[name][heard], whole[name].to(dtype).float()[heard], rtol=0, atol=0)


def test_files_of_a_model_without_its_head(folder: Path) -> None:
    runs = [folder.parent / name for name in ("whole", "bare")]
    import_model(folder, runs[0])

    def bare(weights: dict[str, Tensor]) -> None:
        for name in list(weights):
            weights[name.removeprefix("model.")] = weights.pop(name)

    change_weights(folder, bare)
    import_model(folder, runs[1])
    whole, found = (load_file(run / "model.safetensors") for run in runs)
    assert all(torch.equal(whole[name], found[name]) for name in whole)


def test_all_that_is_not_supported_is_told_at_once(folder: Path) -> None:
    change(folder, activation_function="tanh", normalize_before=True, share_encoder_decoder_embeddings=False)
    change(folder, decoder_attention_heads=4)
    message = refused(folder)
    for name in (
        "`activation_function: tanh`",
        "`normalize_before: True`",
        "`share_encoder_decoder_embeddings: False`",
    ):
        assert f"{name} is not supported" in message
    assert "`decoder_attention_heads: 4` is not supported; only 3" in message


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("marain", "did you mean `marian`?"),
        ("whisper", "known: marian, bart, t5, gpt2, llama, mistral, bert"),
        (..., "None"),
    ],
)
def test_unknown_kind_of_model(folder: Path, name: Any, answer: str) -> None:
    change(folder, model_type=name)
    message = refused(folder)
    assert "is not supported" in message
    assert answer in message


def test_settings_that_make_no_model(folder: Path) -> None:
    change(folder, encoder_attention_heads=5, decoder_attention_heads=5)
    assert "`num_heads` must divide `d_model`, but got num_heads=5 and d_model=12" in refused(folder)


def test_every_wrong_weight_is_told_at_once(folder: Path) -> None:
    def spoil(weights: dict[str, Tensor]) -> None:
        del weights["model.encoder.layers.1.fc1.bias"]
        weights["model.encoder.layers.2.fc1.bias"] = torch.zeros(23)
        weights["model.decoder.layers.0.fc2.weight"] = torch.zeros(12, 22)
        weights["model.decoder.layers.0.fc2.bias"][3] = torch.nan
        weights["model.decoder.layers.1.fc1.bias"] = torch.zeros(23, dtype=torch.int8)
        weights["final_logits_bias"] = torch.zeros(1, 5)
        weights["lm_head.weight"] = weights["model.shared.weight"] + 1

    change_weights(folder, spoil)
    lines = refused(folder).split("\n  ")
    assert "its weights are not those that config.json describes" in lines[0]
    assert sorted(line.split("; ")[0] for line in lines[1:]) == sorted(
        [
            "`model.encoder.layers.1.fc1.bias` is missing",
            "`model.encoder.layers.2.fc1.bias` is unexpected",
            "`model.decoder.layers.0.fc2.weight` has shape (12, 22), but must have (12, 23)",
            "`model.decoder.layers.0.fc2.bias` holds values that are not finite",
            "`model.decoder.layers.1.fc1.bias` holds torch.int8 and not floating-point numbers: quantized weights are "
            "not supported",
            "`final_logits_bias` has shape (1, 5), which does not fit: 5 rows for a vocabulary of 59 tokens",
            "`lm_head.weight` must be the same as `model.shared.weight`, since it is tied to it, but is not",
        ]
    )


def test_tied_weight_under_another_name_or_twice(folder: Path) -> None:
    runs = [folder.parent / name for name in ("shared", "head", "both")]
    import_model(folder, runs[0])
    change_weights(folder, lambda weights: weights.update({"lm_head.weight": weights.pop("model.shared.weight")}))
    import_model(folder, runs[1])
    change_weights(folder, lambda weights: weights.update({"model.shared.weight": weights["lm_head.weight"].clone()}))
    import_model(folder, runs[2])
    first, *others = (load_file(run / "model.safetensors") for run in runs)
    assert all(torch.equal(first[name], other[name]) for other in others for name in first)


@pytest.mark.parametrize("name", ["source.spm", "target.spm", "vocab.json"])
def test_missing_or_damaged_tokenizer(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\x00\x01")
    assert name in refused(folder)
    (folder / name).unlink()
    assert name in refused(folder)


def test_vocabulary_of_another_size_than_the_model(folder: Path) -> None:
    change(folder, "vocab.json", onemore=59)
    message = refused(folder)
    assert "vocab.json: must number its 60 pieces from 0 to 58, a row of the model each" in message
    change(folder, vocab_size=60)
    assert "`model.shared.weight` has shape (59, 12), which does not fit: 59 rows for a vocabulary of 60" in refused(
        folder
    )


def test_numbers_with_a_gap(folder: Path) -> None:
    numbers = json.loads((folder / "vocab.json").read_text())
    last = max(numbers, key=numbers.__getitem__)
    change(folder, "vocab.json", **{last: numbers[last] + 1})
    assert "must number its 59 pieces from 0 to 58" in refused(folder)


def test_output_is_never_written_over(folder: Path) -> None:
    taken = folder.parent / "taken"
    taken.mkdir()
    import_model(folder, taken)
    kept = (taken / "model.safetensors").read_bytes()
    with pytest.raises(RunFolderError, match="taken: is not empty; choose another --output"):
        import_model(folder, taken)
    assert (taken / "model.safetensors").read_bytes() == kept
    with pytest.raises(RunFolderError, match="is no folder; choose another --output"):
        import_model(folder, taken / "config.yaml")


def test_full_disk_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importing, "save_file", fail)
    assert "run: cannot be written: No space left on device; nothing is left of this attempt" in refused(folder)


def test_more_layers_than_weights_are_refused_at_once(folder: Path) -> None:
    change(folder, decoder_layers=10**9)
    assert "asks for 1,000,000,000 layers, but there are only" in refused(folder)


def test_a_vocabulary_of_no_sensible_size_is_refused_at_once(folder: Path) -> None:
    change(folder, vocab_size=10**12)
    assert "must number its" in refused(folder)


def test_languages_are_for_those_that_translate(folder: Path) -> None:
    change(folder, model_type="gpt2")
    with pytest.raises(ConfigError, match="`gpt2` does not translate; leave the languages out"):
        import_model(folder, folder.parent / "run", target_language="en")


def test_foreign_folder_is_left_as_it_is(folder: Path, saved_marian: Path) -> None:
    import_model(folder, folder.parent / "run")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in saved_marian.iterdir()
    }
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("theirs", "beam_size", "length_penalty", "noted"),
    [
        ({"num_beams": 4, "length_penalty": 0}, 4, 0.0, []),
        ({"num_beams": 1}, 1, 0.6, []),
        ({}, 1, 0.6, []),
        ({"num_beams": 4}, 4, 0.6, ["`length_penalty: 1.0`"]),
        (
            {
                "num_beams": 6,
                "length_penalty": 2.0,
                "no_repeat_ngram_size": 3,
                "min_length": 0,
                "forced_bos_token_id": 0,
            },
            6,
            0.6,
            ["`length_penalty: 2.0`", "`no_repeat_ngram_size: 3`, `forced_bos_token_id: 0` of their search"],
        ),
    ],
)
def test_only_what_is_the_same_of_their_search_is_taken(
    theirs: dict[str, Any], beam_size: int, length_penalty: float, noted: list[str]
) -> None:
    search, notes = search_settings(theirs)
    assert (search.beam_size, search.length_penalty) == (beam_size, length_penalty)
    assert len(notes) == len(noted)
    assert all(part in note for part, note in zip(noted, notes, strict=True))
