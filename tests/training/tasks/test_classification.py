"""Classification: labelled sentences in, a folder out that labels others; judged as one would by hand."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from attento.data.labels.batching import label_batches, make_label_batch
from attento.data.labels.prepared import PreparedLabels
from attento.engines.classification import ClassificationEngine
from attento.errors import ConfigError, DataError
from attento.models.classification.encoder_only import EncoderOnly
from attento.run_folder import RunFolder
from attento.setting_trees import apply_overrides
from attento.training.run import load_recipe, train
from attento.training.tasks.classification import ClassificationObjective, ClassificationTask, sentences_of
from attento.training.tasks.language import LanguageTask
from attento.training.tasks.translation import TranslationTask

LABELS = ["animal", "colour", "number"]
WORDS = {"animal": ["cat", "dog", "ant"], "colour": ["red", "blue", "green"], "number": ["two", "five", "nine"]}
PENALIZED = {
    "architecture": "self_attentive",
    "d_model": 11,
    "d_hidden": 7,
    "d_attention": 5,
    "rows": 3,
    "d_output": 13,
    "penalty": 0.5,
    "dropout": 0.3,
}
ENCODER = {"architecture": "encoder_only", "layers": 1, "d_model": 12, "d_ff": 17, "num_heads": 3}
SETTINGS: dict[str, Any] = {
    "data": {
        "task": "classification",
        "language": "en",
        "train": [{"file": "train"}],
        "validation": {"file": "dev"},
    },
    "model": PENALIZED,
    "training": {
        "device": "cpu",
        "precision": "fp32",
        "max_steps": 47,
        "tokens_per_step": 97,
        "schedule": {"name": "inverse_sqrt", "peak": 0.03, "warmup": 3},
        "validate_every": 23,
        "checkpoint_every": 23,
        "keep_last": 1,
    },
}
PAIRS = {"columns": {"label": "label", "text": "one", "second": "two"}}


def draw_examples(generator: random.Random, count: int) -> list[tuple[str, str]]:
    """Make sentences of empty words around one word that tells the label."""
    examples = []
    for _ in range(count):
        label = generator.choice(LABELS)
        words = [*generator.choices(("the", "a", "is", "of"), k=generator.randint(0, 4)), *WORDS[label][:1]]
        words[-1] = generator.choice(WORDS[label])
        generator.shuffle(words)
        examples.append((label, " ".join(words)))
    return examples


def write_recipe(folder: Path, *overrides: str) -> Path:
    generator = random.Random(3)
    for name, count in (("train", 83), ("dev", 29)):
        examples = draw_examples(generator, count)
        (folder / name).write_text("".join(f"{label} {sentence}\n" for label, sentence in examples))
        rows = [f"{label}\t{sentence}\t{sentence} again" for label, sentence in examples]
        (folder / f"{name}.tsv").write_text("\n".join(["label\tone\ttwo", *rows]) + "\n")
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(apply_overrides(SETTINGS, overrides)))
    return path


def run(recipe: Path, output: Path, *overrides: str) -> None:
    assert train(load_recipe(recipe, recipe.parent, overrides), output, lambda message: None)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def whole(recipe: Path) -> Path:
    output = recipe.parent / "whole"
    run(recipe, output)
    return output


@pytest.fixture
def task(recipe: Path, whole: Path) -> ClassificationTask:
    config = load_recipe(recipe, recipe.parent).config
    return ClassificationTask(config, PreparedLabels.open(RunFolder(whole).prepared))


def task_of_pairs(folder: Path, model: dict[str, Any]) -> ClassificationTask:
    tree: dict[str, Any] = yaml.safe_load(write_recipe(folder).read_text())
    tree["data"] |= {name: {"file": f"{file}.tsv"} | PAIRS for name, file in (("validation", "dev"),)}
    tree["data"]["train"] = [{"file": "train.tsv"} | PAIRS]
    tree["model"] = model
    (folder / "pairs.yaml").write_text(yaml.safe_dump(tree))
    config = load_recipe(folder / "pairs.yaml", folder).config
    corpus = ClassificationTask.prepare(config, folder, folder / "prepared", workers=1, tell=lambda *_: None)
    return ClassificationTask(config, corpus)


def records(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in RunFolder(output).metrics.read_text().splitlines()]


def test_the_engine_of_the_folder_is_as_often_right_as_the_record_says(recipe: Path, whole: Path) -> None:
    lines = [line.split(" ", 1) for line in (recipe.parent / "dev").read_text().splitlines()]
    found = ClassificationEngine.load(whole, "cpu").classify([[sentence] for _, sentence in lines])
    right = sum(label == each.name for (label, _), each in zip(lines, found, strict=True))
    last = records(whole)[-1]
    assert last["step"] == 47
    assert last["final/accuracy"] == right / len(lines)
    # One word tells all; by chance a third would be right.
    assert right / len(lines) > 0.8
    assert json.loads(RunFolder(whole).labels.read_bytes()) == LABELS


def test_the_record_and_the_card_have_all_numbers(whole: Path) -> None:
    judged = [line for line in records(whole) if "validation/accuracy" in line]
    assert [line["step"] for line in judged] == [23, 46, 47]
    last, card = records(whole)[-1], RunFolder(whole).card.read_text()
    assert card.startswith("# en, self_attentive\n")
    for part in (
        "A sentence model trained with Attento",
        "47 updates, ",
        "attento evaluate PATH-OF-THIS-FOLDER --labelled FILE",
        "| on the validation set `dev` | |",
        f"| loss, nats a label | {last['final/loss']:.4f} |",
        f"| accuracy, per cent | {100 * last['final/accuracy']:.2f} |",
        "- `train`",
    ):
        assert part in card


def test_where_no_file_validates_a_share_is_held_out(recipe: Path, tmp_path: Path) -> None:
    run(recipe, tmp_path / "run", "data.validation=null", "data.validation_share=0.25", "training.max_steps=2")
    corpus = PreparedLabels.open(tmp_path / "run" / "prepared")
    assert (len(corpus.train), len(corpus.validation)) == (62, 21)
    card = (tmp_path / "run" / "README.md").read_text()
    assert "| on the validation set `25% of the training text` | |" in card
    accuracy = records(tmp_path / "run")[-1]["final/accuracy"]
    assert accuracy * 21 == pytest.approx(round(accuracy * 21))


@pytest.mark.parametrize("batch_tokens", [1, 31, 4096])
def test_loss_and_accuracy_are_those_of_each_example_alone(task: ClassificationTask, batch_tokens: int) -> None:
    model, validation = task.build_model().eval(), task.corpus.validation
    losses, right = [], 0
    with torch.no_grad():
        for example in validation.take(range(len(validation))):
            logits, _ = model.score(sentences_of(make_label_batch([example])))
            log_probabilities = logits[0].double().log_softmax(dim=-1).tolist()
            losses.append(-log_probabilities[example[0]])
            right += max(log_probabilities) == log_probabilities[example[0]]
    found = task.validator().judge(model, torch.device("cpu"), batch_tokens)
    # The penalty belongs to training alone.
    assert found.loss == pytest.approx(sum(losses) / len(losses), rel=1e-6)
    assert found.metrics == {"accuracy": right / len(losses)}
    assert found.score() == found.metrics["accuracy"]


def test_the_best_can_go_by_loss(recipe: Path, task: ClassificationTask) -> None:
    config = load_recipe(recipe, recipe.parent, ["training.validation.metric=loss"]).config
    by_loss = ClassificationTask(config, task.corpus)
    found = by_loss.validator().judge(by_loss.build_model().eval(), torch.device("cpu"), 64)
    assert found.score() == -found.loss


def test_the_objective_is_the_summed_loss_and_the_penalty(task: ClassificationTask) -> None:
    model = task.build_model().eval()
    batch = next(label_batches(task.corpus.validation, 71))
    assert 1 < batch.num_rows < len(task.corpus.validation)
    logits, penalty = model.score(sentences_of(batch))
    expected = torch.nn.functional.cross_entropy(logits, batch.labels, label_smoothing=0.2, reduction="sum")
    assert penalty.sum() > 0.1
    torch.testing.assert_close(ClassificationObjective(model, 0.2)(batch), expected + penalty.sum())


def test_the_longest_batch_has_the_longest_sentence_of_each_place(task: ClassificationTask, tmp_path: Path) -> None:
    pairs = task_of_pairs(tmp_path, ENCODER | {"num_sentences": 2})
    for each in (task, pairs):
        batch = each.longest_batch(5)
        lengths = each.corpus.train.lengths
        assert [ids.shape for ids, _ in batch.sentences] == [(5, longest + 1) for longest in lengths.max(axis=0)]
        assert (batch.num_rows, batch.num_source_tokens) == (5, batch.num_places)


def test_the_number_of_sentences_must_fit(recipe: Path, task: ClassificationTask, tmp_path: Path) -> None:
    decomposable = {"architecture": "decomposable_attention", "d_model": 7}
    (tmp_path / "single.yaml").write_text(yaml.safe_dump(yaml.safe_load(recipe.read_text()) | {"model": decomposable}))
    single = ClassificationTask(load_recipe(tmp_path / "single.yaml", recipe.parent).config, task.corpus)
    with pytest.raises(ConfigError, match=r"decomposable_attention` takes 2 sentences, but .* text has one sentence"):
        single.build_model()
    with pytest.raises(ConfigError, match=r"self_attentive` takes one sentence, but .* text has 2 sentences"):
        task_of_pairs(tmp_path, PENALIZED).build_model()
    assert task_of_pairs(tmp_path, decomposable).build_model().num_sentences == 2


def test_a_sentence_longer_than_the_model_reads_is_refused(tmp_path: Path) -> None:
    shape = ENCODER | {"num_sentences": 2, "positions": "learned"}
    # The longest second sentence: five words, "again", and its end. Both places get as many positions.
    assert task_of_pairs(tmp_path, shape).corpus.train.lengths.max() == 6
    model = task_of_pairs(tmp_path, shape | {"max_positions": 14}).build_model()
    assert isinstance(model, EncoderOnly) and model.max_length == 7
    with pytest.raises(ConfigError) as caught:
        task_of_pairs(tmp_path, shape | {"max_positions": 13}).build_model()
    assert str(caught.value) == (
        "a training sentence has 7 tokens, but the model reads at most 6; raise `model.max_positions` or leave its "
        "example out"
    )


@pytest.mark.parametrize("other", [LanguageTask, TranslationTask])
def test_a_folder_prepared_for_another_task_is_refused(whole: Path, other: Any) -> None:
    with pytest.raises(DataError, match="was prepared for the task `classification`, not for"):
        other.open(RunFolder(whole).prepared)
