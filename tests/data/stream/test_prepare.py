import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attento.data.pairs.prepared import PreparedCorpus
from attento.data.stream.config import StreamTokenizerConfig, TextCorpusConfig, TextDataConfig
from attento.data.stream.prepare import prepare_stream, read_text, stream_fingerprint
from attento.data.stream.prepared import PreparedStream
from attento.errors import DataError
from attento.text.special import BOS_ID, UNK_ID

TEXT = "First  Citizen:\nBefore we proceed, hear me.\n\n  All:\tSpeak, speak — crème.\r\n" * 13


def configure(folder: Path, text: str = TEXT, **changes: Any) -> TextDataConfig:
    (folder / "play.txt").write_bytes(text.encode())
    settings: dict[str, Any] = {
        "language": "en",
        "train": (TextCorpusConfig(text="play.txt", stop=0.9),),
        "validation": TextCorpusConfig(text="play.txt", start=0.9),
    }
    return TextDataConfig(**(settings | changes))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    "tokenizer",
    [
        StreamTokenizerConfig(),
        StreamTokenizerConfig(model="bpe", vocab_size=61),
        StreamTokenizerConfig(model="unigram", vocab_size=293, byte_fallback=True),
    ],
)
def test_the_ids_spell_the_text_exactly(tmp_path: Path, tokenizer: StreamTokenizerConfig) -> None:
    stream = prepare_stream(configure(tmp_path, tokenizer=tokenizer), tmp_path, tmp_path / "out")
    cut = int(0.9 * len(TEXT))
    for ids, text in ((stream.train, TEXT[:cut]), (stream.validation, TEXT[cut:])):
        assert ids.dtype == np.int32
        assert ids[0] == BOS_ID
        assert stream.tokenizer.decode(ids.tolist()) == text
        assert stream.tokenizer.encode(text) == ids[1:].tolist()
    assert stream.validation_characters == len(TEXT) - cut
    assert stream.validation_bytes == len(TEXT[cut:].encode())
    assert stream.warnings == ()


def test_characters_are_tokens_of_their_own(tmp_path: Path) -> None:
    stream = prepare_stream(configure(tmp_path), tmp_path, tmp_path / "out")
    assert len(stream.validation) == 1 + stream.validation_characters
    assert stream.tokenizer.vocab_size == 4 + len(set(TEXT))


def test_an_opened_folder_is_the_prepared_one_and_stays_on_the_disk(tmp_path: Path) -> None:
    config = configure(tmp_path)
    made = prepare_stream(config, tmp_path, tmp_path / "out")
    opened = PreparedStream.open(tmp_path / "out")
    assert opened.config == config
    assert opened.fingerprint == made.fingerprint == stream_fingerprint(config, tmp_path)
    assert opened.tokenizer == made.tokenizer
    assert isinstance(opened.train, np.memmap)
    assert np.array_equal(opened.train, made.train)
    assert sorted(contents(opened.path)) == ["prepared.json", "tokenizer.model", "train.npy", "validation.npy"]


def test_same_settings_and_text_give_the_same_bytes(tmp_path: Path) -> None:
    config = configure(tmp_path)
    for name in ("one", "two"):
        prepare_stream(config, tmp_path, tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_the_fingerprint_sees_text_and_settings(tmp_path: Path) -> None:
    config = configure(tmp_path)
    before = stream_fingerprint(config, tmp_path)
    assert stream_fingerprint(config.model_copy(update={"context": 7}), tmp_path) != before
    assert stream_fingerprint(configure(tmp_path, TEXT.replace("me", "we", 1)), tmp_path) != before


def test_a_folder_that_holds_just_that_is_not_made_again(tmp_path: Path) -> None:
    config = configure(tmp_path)
    prepare_stream(config, tmp_path, tmp_path / "out")
    stages: list[str] = []
    prepare_stream(config, tmp_path, tmp_path / "out", progress=lambda stage, done, total: stages.append(stage))
    assert stages == []
    changed = configure(tmp_path, TEXT + "Before\n")
    again = prepare_stream(changed, tmp_path, tmp_path / "out", progress=lambda stage, *_: stages.append(stage))
    assert set(stages) == {"training the tokenizer", "encoding"}
    assert again.tokenizer.decode(again.validation.tolist()).endswith("Before\n")


def test_texts_follow_each_other_as_one_and_may_be_compressed(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "more.txt.gz", "wb") as file:
        file.write(b"All:\nme too")
    texts = (TextCorpusConfig(text="play.txt", stop=0.5), TextCorpusConfig(text="more.txt.gz"))
    stream = prepare_stream(configure(tmp_path, train=texts), tmp_path, tmp_path / "out")
    assert stream.tokenizer.decode(stream.train.tolist()) == TEXT[: len(TEXT) // 2] + "All:\nme too\n"
    assert (stream.train == BOS_ID).sum() == 1


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), st.integers(0, 97))
def test_parts_of_a_text_put_together_are_the_text(tmp_path_factory: pytest.TempPathFactory, text: str, n: int) -> None:
    folder = tmp_path_factory.mktemp("parts")
    text = text.removeprefix("\ufeff") + "\n" * 101  # so that no part is empty
    (folder / "t").write_bytes(text.encode())
    cut = (n + 1) / 100
    parts = (TextCorpusConfig(text="t", stop=cut), TextCorpusConfig(text="t", start=cut))
    assert "".join(read_text(part, folder) for part in parts) == text


def test_unknown_characters_are_told_and_count_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "dev.txt").write_text("hear 愛愛 me", encoding="utf-8")
    held_out = TextCorpusConfig(text="dev.txt")
    stream = prepare_stream(configure(tmp_path, validation=held_out), tmp_path, tmp_path / "out")
    assert (stream.validation == UNK_ID).sum() == 2
    assert (stream.validation_characters, stream.validation_bytes) == (11, 15)
    (warning,) = stream.warnings
    assert "2 characters of the validation text (dev.txt)" in warning
    spelt = StreamTokenizerConfig(byte_fallback=True)
    stream = prepare_stream(configure(tmp_path, validation=held_out, tokenizer=spelt), tmp_path, tmp_path / "out")
    assert stream.tokenizer.decode(stream.validation.tolist()) == "hear 愛愛 me\n"
    assert stream.warnings == ()


def test_held_out_text_within_the_training_text_is_told(tmp_path: Path) -> None:
    validation, test = TextCorpusConfig(text="play.txt", start=0.8), TextCorpusConfig(text="play.txt", stop=0.1)
    stream = prepare_stream(configure(tmp_path, validation=validation, test=test), tmp_path, tmp_path / "out")
    assert stream.warnings == (
        "the validation text (play.txt from 0.8 to 1) overlaps the training text (play.txt from 0 to 0.9)",
        "the test text (play.txt from 0 to 0.1) overlaps the training text (play.txt from 0 to 0.9)",
    )


def test_a_part_without_characters_is_refused(tmp_path: Path) -> None:
    config = configure(tmp_path, "abc", validation=TextCorpusConfig(text="play.txt", start=0.9, stop=0.95))
    with pytest.raises(DataError, match=r"play\.txt: has 4 characters, none of them between `start` 0\.9"):
        prepare_stream(config, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_text_is_named(tmp_path: Path) -> None:
    config = configure(tmp_path, test=TextCorpusConfig(text="gone.txt"))
    with pytest.raises(DataError, match=r"gone\.txt: no such file"):
        stream_fingerprint(config, tmp_path)


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="holds other things"):
        prepare_stream(configure(tmp_path), tmp_path, tmp_path / "out")
    assert list(contents(tmp_path / "out")) == ["thesis.txt"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "classification"}, "prepared for the task `classification`, not for `language_modeling`"),
        ({"task": None}, "prepared by another version"),
        ({"format": 0}, "prepared by another version"),
        ({"settings": {}}, "`language` is missing(?s:.*)prepare the data again"),
    ],
)
def test_records_of_another_make_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = prepare_stream(configure(tmp_path), tmp_path, tmp_path / "out").path / "prepared.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(DataError, match=message):
        PreparedStream.open(tmp_path / "out")


def test_folders_of_translation_and_of_language_models_are_told_apart(tmp_path: Path) -> None:
    stream = prepare_stream(configure(tmp_path), tmp_path, tmp_path / "out")
    with pytest.raises(DataError, match="prepare"):
        PreparedCorpus.open(stream.path)
    (stream.path / "prepared.json").write_text('{"format": 2}')
    with pytest.raises(DataError, match="prepared for the task `translation`"):
        PreparedStream.open(stream.path)


@pytest.mark.parametrize("name", ["prepared.json", "tokenizer.model", "train.npy", "validation.npy"])
def test_a_missing_or_damaged_file_is_named_and_mended_by_preparing(tmp_path: Path, name: str) -> None:
    config = configure(tmp_path)
    path = prepare_stream(config, tmp_path, tmp_path / "out").path / name
    whole = path.read_bytes()
    path.write_bytes(b"{")
    with pytest.raises(DataError, match=name):
        PreparedStream.open(tmp_path / "out")
    path.unlink()
    with pytest.raises(DataError, match=name):
        PreparedStream.open(tmp_path / "out")
    if name != "prepared.json":  # without it, the folder is nobody's
        prepare_stream(config, tmp_path, tmp_path / "out")
        assert path.read_bytes() == whole


def test_arrays_of_another_kind_are_refused(tmp_path: Path) -> None:
    stream = prepare_stream(configure(tmp_path), tmp_path, tmp_path / "out")
    np.save(stream.path / "train.npy", np.zeros(7, np.float32))
    with pytest.raises(DataError, match=r"train\.npy: holds no array"):
        PreparedStream.open(stream.path)


@pytest.mark.shared_data
def test_tiny_shakespeare_is_split_as_everywhere(shared_data: Path, tmp_path: Path) -> None:
    play = "lm/tinyshakespeare.txt"
    config = TextDataConfig(
        language="en",
        train=(TextCorpusConfig(text=play, stop=0.9),),
        validation=TextCorpusConfig(text=play, start=0.9),
    )
    stream = prepare_stream(config, shared_data, tmp_path / "out")
    assert (len(stream.train) - 1, len(stream.validation) - 1) == (1_003_854, 111_540)
    assert stream.tokenizer.vocab_size == 4 + 65
    assert stream.warnings == ()
