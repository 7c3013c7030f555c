"""Masked language modelling and denoising, from text to a folder that knows what it is: what both have in common."""

import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from attento.engines.denoising import DenoisingEngine
from attento.engines.masked import MaskedEngine
from attento.engines.task import run_kind
from attento.errors import DataError, RunFolderError
from attento.run_folder import RunFolder
from attento.setting_trees import apply_overrides
from attento.training.run import load_recipe, train
from attento.training.tasks.choose import task_of

CONTEXT = 13
SETTINGS: dict[str, Any] = {
    "data": {
        "language": "en",
        "train": [{"text": "text", "stop": 0.8}],
        "validation": {"text": "text", "start": 0.8},
        "tokenizer": {"model": "bpe", "vocab_size": 29},
        "context": CONTEXT,
    },
    "training": {
        "device": "cpu",
        "precision": "fp32",
        "max_steps": 11,
        "tokens_per_step": 67,
        "schedule": {"name": "inverse_sqrt", "peak": 0.01, "warmup": 3},
        "validate_every": 5,
        "checkpoint_every": 4,
        "keep_last": 2,
        "report_every": 7,
    },
}
SHAPE = {"d_model": 12, "d_ff": 17, "num_heads": 2, "dropout": 0.3}
MODELS = {
    "masked_language_modeling": {"architecture": "encoder_only", "layers": 1, **SHAPE},
    "denoising": {"architecture": "transformer", "encoder_layers": 1, "decoder_layers": 1, **SHAPE},
}
ENGINES = {"masked_language_modeling": MaskedEngine, "denoising": DenoisingEngine}


def write_recipe(folder: Path, task: str, *overrides: str) -> Path:
    generator = random.Random(3)
    words = ("a", "bad", "cab", "faced", "bead", "cafe")
    lines = [" ".join(generator.choices(words, k=generator.randint(2, 6))) for _ in range(41)]
    (folder / "text").write_text("".join(f"{line}\n" for line in lines))
    tree = SETTINGS | {"data": {"task": task, **SETTINGS["data"]}, "model": MODELS[task]}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(apply_overrides(tree, overrides)))
    return path


def run(recipe: Path, output: Path, *overrides: str) -> list[str]:
    said: list[str] = []
    assert train(load_recipe(recipe, recipe.parent, overrides), output, said.append)
    return said


def records(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in RunFolder(output).metrics.read_text().splitlines()]


@pytest.fixture(scope="module", params=MODELS)
def recipe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe"), request.param)


@pytest.fixture(scope="module")
def whole(recipe: Path) -> Path:
    output = recipe.parent / "whole"
    run(recipe, output)
    return output


def test_the_engine_of_the_folder_finds_what_the_record_says(recipe: Path, whole: Path) -> None:
    last, text = records(whole)[-1], (recipe.parent / "text").read_text()
    engine = ENGINES[run_kind(whole).task].load(whole, "cpu")
    score = engine.score(text[int(0.8 * len(text)) :])
    assert last["step"] == 11
    assert last["final/loss"] == pytest.approx(score.total_nats / score.tokens, rel=1e-6)
    assert last["final/perplexity"] == pytest.approx(math.exp(score.total_nats / score.tokens), rel=1e-6)
    assert last["final/accuracy"] == score.right / score.tokens
    assert 0 < score.right < score.tokens


def test_the_folder_says_what_it_holds_and_what_it_is_for(whole: Path) -> None:
    kind, card = run_kind(whole), RunFolder(whole).card.read_text()
    name = {"masked_language_modeling": "A masked language model", "denoising": "A denoising model"}[kind.task]
    unit = {"masked_language_modeling": "hidden", "denoising": "target"}[kind.task]
    last = records(whole)[-1]
    assert card.startswith(f"# en, {kind.architecture}\n")
    for part in (
        f"{name} trained with Attento",
        f" source and {sum_of_targets(whole):,} {unit} tokens seen.",
        "attento evaluate PATH-OF-THIS-FOLDER --text FILE",
        f"| loss, nats a {unit} token | {last['final/loss']:.4f} |",
        f"| perplexity | {last['final/perplexity']:.2f} |",
        f"| accuracy, per cent | {100 * last['final/accuracy']:.2f} |",
        "- `text from 0 to 0.8`",
    ):
        assert part in card


def sum_of_targets(output: Path) -> int:
    config = load_recipe(output / "config.yaml", output.parent).config
    task = task_of(config)
    batches = task(config, task.open(RunFolder(output).prepared)).batches().from_position()
    return sum(next(batches)[1].num_target_tokens for _ in range(11))


def test_a_run_goes_on_bit_for_bit(recipe: Path, whole: Path, tmp_path: Path) -> None:
    run(recipe, tmp_path, "training.max_steps=6")
    assert "going on from step 6" in run(recipe, tmp_path)
    for name in ("training.safetensors", "model.safetensors"):
        ours, theirs = (load_file(each / "checkpoints" / "step-00000011" / name) for each in (tmp_path, whole))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_every_weight_learns(recipe: Path, whole: Path) -> None:
    config = load_recipe(recipe, recipe.parent).config
    torch.manual_seed(config.training.seed)
    task = task_of(config)
    drawn = task(config, task.open(RunFolder(whole).prepared)).build_model().state_dict()
    learned = load_file(RunFolder(whole).weights)
    # A bias of keys moves nothing.
    assert [name for name in drawn if torch.equal(drawn[name], learned[name]) and "key" not in name] == []


@pytest.mark.parametrize("tokens", [1, 37, 4096])
def test_judged_the_same_in_batches_of_any_size(recipe: Path, whole: Path, tokens: int) -> None:
    config = load_recipe(recipe, recipe.parent).config
    task = task_of(config)
    made = task(config, task.open(RunFolder(whole).prepared))
    model = made.build_model().eval()
    found, usual = (made.validator().judge(model, torch.device("cpu"), each) for each in (tokens, 211))
    assert found.loss == pytest.approx(usual.loss, rel=1e-6)
    assert found.metrics == {name: pytest.approx(value, rel=1e-5) for name, value in usual.metrics.items()}
    assert found.score() == -found.loss


def test_accuracy_may_decide(recipe: Path, whole: Path) -> None:
    config = load_recipe(recipe, recipe.parent, ["training.validation.metric=accuracy"]).config
    task = task_of(config)
    made = task(config, task.open(RunFolder(whole).prepared))
    result = made.validator().judge(made.build_model().eval(), torch.device("cpu"), 211)
    assert result.score() == result.metrics["accuracy"]


def test_a_folder_prepared_for_another_task_is_refused(recipe: Path, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"data": {"task": "language_modeling"}}))
    with pytest.raises(DataError, match=f"was prepared for the task `{run_kind(whole).task}`, not for `language_mod"):
        load_recipe(tmp_path / "recipe.yaml", tmp_path, prepared=RunFolder(whole).prepared)


def test_an_engine_of_another_task_is_refused(whole: Path) -> None:
    for task, engine in ENGINES.items():
        if task != run_kind(whole).task:
            with pytest.raises(RunFolderError, match=r"use `attento .*evaluate --text FILE` with it"):
                engine.load(whole, "cpu")


@pytest.mark.parametrize("task", MODELS)
def test_a_text_that_repeats_itself_is_learned(task: str, tmp_path: Path) -> None:
    path = write_recipe(
        tmp_path,
        task,
        "data.tokenizer={model: char}",
        "model.d_model=32",
        "model.d_ff=64",
        "model.dropout=0",
        "training.max_steps=120",
        "training.validate_every=120",
        "training.checkpoint_every=120",
        "training.tokens_per_step=311",
        "training.schedule.warmup=20",
    )
    (tmp_path / "text").write_text("abcdefgh\n" * 97)
    run(path, tmp_path / "run")
    corpus = task_of(load_recipe(path, tmp_path).config).open(tmp_path / "run" / "prepared")
    counts = Counter(corpus.validation[1:].tolist())
    entropy = -sum(n / counts.total() * math.log(n / counts.total()) for n in counts.values())
    assert entropy == pytest.approx(math.log(9), abs=0.01)
    assert records(tmp_path / "run")[-1]["final/loss"] < entropy / 2


@pytest.mark.parametrize("task", MODELS)
def test_pieces_of_a_unigram_vocabulary_can_be_hidden(task: str, tmp_path: Path) -> None:
    path = write_recipe(tmp_path, task, "data.tokenizer={model: unigram, vocab_size: 19}", "training.max_steps=1")
    run(path, tmp_path / "run")
    corpus = task_of(load_recipe(path, tmp_path).config).open(tmp_path / "run" / "prepared")
    special = corpus.config.special_pieces
    assert corpus.tokenizer.pieces(range(4, 4 + len(special))) == list(special)
    text = (tmp_path / "text").read_text()
    # They count as pieces, and no text spells one.
    assert corpus.tokenizer.vocab_size == 19
    assert corpus.train.min() == 2
    assert corpus.train[1:].min() >= 4 + len(special)
    assert corpus.tokenizer.decode(corpus.train.tolist()) == text[: int(0.8 * len(text))]
