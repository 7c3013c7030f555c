import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attento.data.labels.config import LabelColumns, LabelDataConfig, LabelledCorpusConfig, LabelTokenizerConfig
from attento.data.labels.corpora import Example, read_labelled
from attento.data.labels.examples import Examples, encode_examples
from attento.data.labels.prepare import labels_fingerprint, prepare_labels
from attento.data.labels.prepared import PreparedLabels
from attento.errors import DataError
from attento.text.special import UNK_ID

TRAIN = [(label, f"the {word} number {n}") for n in range(19) for label, word in (("who", "king"), ("WHERE", "City"))]
DEV = [("WHERE", "the city unheard of"), ("who", "the king number 3")]


def write(folder: Path, name: str, lines: list[tuple[str, str]]) -> LabelledCorpusConfig:
    (folder / name).write_bytes("".join(f"{label} {text}\n" for label, text in lines).encode())
    return LabelledCorpusConfig(file=name)


def configure(folder: Path, lines: list[tuple[str, str]] = TRAIN, **changes: Any) -> LabelDataConfig:
    settings: dict[str, Any] = {"language": "en", "train": (write(folder, "train", lines),)}
    return LabelDataConfig(**(settings | changes))


def pairs(folder: Path) -> LabelledCorpusConfig:
    rows = [f"{n}\ta boy runs {n}\t{'no' * (n % 2)}body runs\t{('YES', 'NO')[n % 2]}\n" for n in range(11)]
    (folder / "pairs").write_bytes(("id\tA\tB\tlabel\n" + "".join(rows)).encode())
    return LabelledCorpusConfig(file="pairs", columns=LabelColumns(label="label", text="A", second="B"))


def texts(prepared: PreparedLabels, examples: Examples) -> list[Example]:
    return [
        Example(prepared.labels[label], tuple(prepared.tokenizer.decode(ids.tolist()) for ids in sentences))
        for label, sentences in examples.take(range(len(examples)))
    ]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_examples_come_back_in_their_order(tmp_path: Path) -> None:
    config = configure(tmp_path, validation=write(tmp_path, "dev", DEV))
    prepared = prepare_labels(config, tmp_path, tmp_path / "out")
    assert prepared.labels == ("WHERE", "who")
    assert prepared.num_sentences == prepared.train.num_sentences == 1
    assert texts(prepared, prepared.train) == [Example(label, (text.lower(),)) for label, text in TRAIN]
    assert [each.label for each in texts(prepared, prepared.validation)] == ["WHERE", "who"]
    assert [(ids == UNK_ID).sum() for _, (ids,) in prepared.validation.take([0, 1])] == [2, 0]
    assert prepared.validation.lengths.tolist() == [[4], [4]]
    assert prepared.tokenizer.vocab_size == 4 + len({word for _, text in TRAIN for word in text.lower().split()})


@pytest.mark.parametrize(("model", "vocab_size"), [("bpe", 47), ("unigram", 28)])
def test_pairs_come_back_too_and_subwords_keep_the_case_if_told(tmp_path: Path, model: Any, vocab_size: int) -> None:
    tokenizer = LabelTokenizerConfig(model=model, vocab_size=vocab_size, lowercase=False)
    corpus = pairs(tmp_path)
    config = LabelDataConfig(language="en", train=(corpus,), validation=corpus, tokenizer=tokenizer)
    prepared = prepare_labels(config, tmp_path, tmp_path / "out")
    assert prepared.num_sentences == prepared.train.num_sentences == 2
    assert texts(prepared, prepared.train) == read_labelled(tmp_path / "pairs", corpus)
    assert prepared.train.lengths.shape == (11, 2)
    (_, sentences), (_, others) = prepared.train.take([7, 0])
    assert [len(ids) for ids in sentences] == prepared.train.lengths[7].tolist()
    assert [len(ids) for ids in others] == prepared.train.lengths[0].tolist()
    assert prepared.warnings == ("11 of 11 examples stand in the training text too: pairs",)


def test_an_opened_folder_is_the_prepared_one_and_stays_on_the_disk(tmp_path: Path) -> None:
    config = configure(tmp_path)
    made = prepare_labels(config, tmp_path, tmp_path / "out")
    opened = PreparedLabels.open(tmp_path / "out")
    assert opened.config == config
    assert opened.fingerprint == made.fingerprint == labels_fingerprint(config, tmp_path)
    assert opened.tokenizer == made.tokenizer
    assert isinstance(opened.train.ids, np.memmap)
    assert texts(opened, opened.train) == texts(made, made.train)
    assert sorted(contents(opened.path)) == [
        "prepared.json", "tokenizer.model", "train.ends.npy", "train.ids.npy", "train.labels.npy",
        "validation.ends.npy", "validation.ids.npy", "validation.labels.npy",
    ]  # fmt: skip


def test_same_settings_and_text_give_the_same_bytes_and_other_ones_another_fingerprint(tmp_path: Path) -> None:
    config = configure(tmp_path)
    one, _ = (prepare_labels(config, tmp_path, tmp_path / name) for name in ("one", "two"))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert labels_fingerprint(config.model_copy(update={"validation_share": 0.2}), tmp_path) != one.fingerprint
    assert labels_fingerprint(configure(tmp_path, [*TRAIN[:-1], ("who", "else")]), tmp_path) != one.fingerprint


def test_a_folder_that_holds_just_that_is_not_made_again(tmp_path: Path) -> None:
    stages: list[str] = []
    for lines in (TRAIN, TRAIN, TRAIN[:-2]):
        config = configure(tmp_path, lines)
        prepare_labels(config, tmp_path, tmp_path / "out", progress=lambda stage, *_: stages.append(stage))
    assert stages == ["training the tokenizer", "training the tokenizer", "encoding", "encoding", "encoding"] * 2


def test_held_out_examples_are_a_part_of_the_training_examples(tmp_path: Path) -> None:
    prepared = prepare_labels(configure(tmp_path, validation_share=0.3), tmp_path, tmp_path / "out")
    kept, held_out = texts(prepared, prepared.train), texts(prepared, prepared.validation)
    assert len(held_out) == round(0.3 * len(TRAIN))
    assert Counter(each.label for each in (*kept, *held_out)) == Counter(label for label, _ in TRAIN)
    everything = [Example(label, (text.lower(),)) for label, text in TRAIN]
    places = [everything.index(each) for each in kept]
    assert places == sorted(set(places))
    assert held_out != everything[-len(held_out) :]


def test_all_training_files_are_one(tmp_path: Path) -> None:
    corpora = (write(tmp_path, "one", TRAIN[:5]), write(tmp_path, "two", TRAIN[5:]))
    dev = write(tmp_path, "dev", DEV)
    prepared = prepare_labels(configure(tmp_path, train=corpora, validation=dev), tmp_path, tmp_path / "out")
    assert texts(prepared, prepared.train) == [Example(label, (text.lower(),)) for label, text in TRAIN]


def test_test_examples_in_the_training_text_are_told(tmp_path: Path) -> None:
    test = write(tmp_path, "test", DEV)
    dev = write(tmp_path, "dev", DEV[:1])
    prepared = prepare_labels(configure(tmp_path, validation=dev, test=test), tmp_path, tmp_path / "out")
    assert prepared.warnings == ("1 of 2 examples stand in the training text too: the test examples",)


def test_labels_that_training_lacks_are_refused(tmp_path: Path) -> None:
    dev = write(tmp_path, "dev", [*DEV, ("when", "the year")])
    with pytest.raises(DataError, match=r"dev: the label `when` is not among .* \(WHERE, who\)"):
        prepare_labels(configure(tmp_path, validation=dev), tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_test_file_is_encoded_as_training_was(tmp_path: Path) -> None:
    prepared = prepare_labels(configure(tmp_path), tmp_path, tmp_path / "out")
    examples = [Example("who", ("the KING",)), Example("WHERE", ("",))]
    encoded = encode_examples(examples, prepared.tokenizer, prepared.labels, "test")
    assert encoded.labels.tolist() == [1, 0]
    assert encoded.lengths.tolist() == [[2], [0]]
    assert encoded.take([0])[0][1][0].tolist() == prepared.tokenizer.encode("the king")


def test_one_label_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="all training examples have the label `who`"):
        prepare_labels(configure(tmp_path, TRAIN[::2]), tmp_path, tmp_path / "out")


def test_a_share_that_leaves_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"`data\.validation_share` of 0\.9 leaves none of 2 examples"):
        labels_fingerprint(configure(tmp_path, TRAIN[:2], validation_share=0.9), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "language_modeling"}, "prepared for the task `language_modeling`, not for `classification`"),
        ({"task": None}, "prepared by another version"),
        ({"settings": {}}, "`language` is missing(?s:.*)prepare the data again"),
    ],
)
def test_records_of_another_make_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = prepare_labels(configure(tmp_path), tmp_path, tmp_path / "out").path / "prepared.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(DataError, match=message):
        PreparedLabels.open(tmp_path / "out")


@pytest.mark.parametrize("name", ["tokenizer.model", "train.ids.npy", "train.ends.npy", "validation.labels.npy"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    prepared = prepare_labels(configure(tmp_path), tmp_path, tmp_path / "out")
    (prepared.path / name).unlink()
    with pytest.raises(DataError, match=name):
        PreparedLabels.open(prepared.path)


@pytest.mark.shared_data
def test_real_corpora_have_the_sizes_of_their_papers(shared_data: Path, tmp_path: Path) -> None:
    trec = LabelDataConfig(language="en", train=(LabelledCorpusConfig(file="trec/TREC.train.all"),))
    prepared = prepare_labels(trec, shared_data, tmp_path / "trec")
    assert len(prepared.labels) == 6
    assert len(prepared.train) + len(prepared.validation) == 5452
    columns = LabelColumns(label="entailment_judgment", text="sentence_A", second="sentence_B")
    files = ("sick/SICK_train.txt", "sick/SICK_trial.txt", "sick/SICK_test_annotated.txt")
    train, trial, test = (LabelledCorpusConfig(file=file, columns=columns) for file in files)
    sick = LabelDataConfig(language="en", train=(train,), validation=trial, test=test)
    prepared = prepare_labels(sick, shared_data, tmp_path / "sick")
    assert prepared.labels == ("CONTRADICTION", "ENTAILMENT", "NEUTRAL")
    assert (len(prepared.train), len(prepared.validation)) == (4500, 500)
    assert len(read_labelled(shared_data / test.file, test)) == 4927
