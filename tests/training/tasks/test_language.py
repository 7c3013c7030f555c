"""Language modelling: text in, a folder out that continues it; judged as one would by hand."""

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from attento.data.stream.batching import evaluation_windows
from attento.data.stream.prepared import PreparedStream
from attento.engines.language import LanguageEngine
from attento.errors import ConfigError, DataError, RunFolderError
from attento.models.base import LanguageModel
from attento.run_folder import RunFolder
from attento.setting_trees import apply_overrides
from attento.training import loop
from attento.training.run import load_recipe, train
from attento.training.tasks.language import LanguageObjective, LanguageTask, LanguageValidator

CONTEXT = 13
SETTINGS: dict[str, Any] = {
    "data": {
        "task": "language_modeling",
        "language": "en",
        "train": [{"text": "text", "stop": 0.8}],
        "validation": {"text": "text", "start": 0.8},
        "tokenizer": {"model": "bpe", "vocab_size": 23},
        "context": CONTEXT,
    },
    "model": {"architecture": "rnn", "cell": "gru", "layers": 1, "d_model": 11, "dropout": 0.3},
    "training": {
        "device": "cpu",
        "precision": "fp32",
        "max_steps": 11,
        "tokens_per_step": 61,
        "schedule": {"name": "inverse_sqrt", "peak": 0.01, "warmup": 3},
        "validate_every": 5,
        "checkpoint_every": 4,
        "keep_last": 2,
        "report_every": 7,
    },
}


def write_recipe(folder: Path, *overrides: str) -> Path:
    generator = random.Random(3)
    words = ("a", "bad", "cab", "faced", "bead", "cafe")
    lines = [" ".join(generator.choices(words, k=generator.randint(2, 6))) for _ in range(41)]
    (folder / "text").write_text("".join(f"{line}\n" for line in lines))
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(apply_overrides(SETTINGS, overrides)))
    return path


def run(recipe: Path, output: Path, *overrides: str, prepared: Path | None = None) -> list[str]:
    said: list[str] = []
    assert train(load_recipe(recipe, recipe.parent, overrides, prepared), output, said.append)
    return said


def records(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in RunFolder(output).metrics.read_text().splitlines()]


def validation_text(folder: Path) -> str:
    text = (folder / "text").read_text()
    return text[int(0.8 * len(text)) :]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def whole(recipe: Path) -> Path:
    output = recipe.parent / "whole"
    run(recipe, output)
    return output


@pytest.fixture(scope="module")
def prepared(whole: Path) -> Path:
    return RunFolder(whole).prepared


@pytest.fixture
def task(recipe: Path, prepared: Path) -> LanguageTask:
    return LanguageTask(load_recipe(recipe, recipe.parent).config, PreparedStream.open(prepared))


def test_the_engine_of_the_folder_finds_what_the_record_says(recipe: Path, whole: Path) -> None:
    last, text = records(whole)[-1], validation_text(recipe.parent)
    assert last["step"] == 11
    engine = LanguageEngine.load(whole, "cpu")
    score = engine.score(text)
    # Pieces of several characters, so that tokens and characters differ.
    assert score.tokens < 0.9 * len(text)
    assert last["final/loss"] == pytest.approx(score.total_nats / score.tokens, rel=1e-6)
    assert last["final/perplexity"] == pytest.approx(math.exp(score.total_nats / score.tokens), rel=1e-6)
    assert last["final/bits_per_character"] == pytest.approx(score.total_nats / math.log(2) / len(text), rel=1e-6)
    [[written]] = engine.generate(["a bad"], max_tokens=19)
    assert written


def test_the_record_and_the_card_have_all_numbers(whole: Path) -> None:
    names = ("loss", "perplexity", "bits_per_character")
    judged = [line for line in records(whole) if "validation/loss" in line]
    assert [line["step"] for line in judged] == [5, 10, 11]
    assert all(f"validation/{name}" in line for line in judged for name in names)
    assert judged[-1]["validation/loss"] < judged[0]["validation/loss"]
    last = records(whole)[-1]
    card = RunFolder(whole).card.read_text()
    assert card.startswith("# en, rnn\n")
    for part in (
        "A language model trained with Attento",
        "11 updates, ",
        'attento generate PATH-OF-THIS-FOLDER "the beginning of a text"',
        "| on the validation set `text from 0.8 to 1` | |",
        f"| loss, nats a target token | {last['final/loss']:.4f} |",
        f"| perplexity | {last['final/perplexity']:.2f} |",
        f"| bits a character | {last['final/bits_per_character']:.2f} |",
        "- `text from 0 to 0.8`",
    ):
        assert part in card
    # Nothing is read that is not predicted too.
    assert "source" not in card.partition("## Settings")[0]


@pytest.mark.parametrize("batch_tokens", [1, 29, 4096])
def test_each_token_is_judged_once_in_windows_that_begin_afresh(task: LanguageTask, batch_tokens: int) -> None:
    model, corpus = task.build_model().eval(), task.corpus
    ids, losses = corpus.validation.tolist(), []
    with torch.no_grad():
        for place in range(1, len(ids)):
            first = (place - 1) // CONTEXT * CONTEXT
            logits, _ = model.decode(torch.tensor([ids[first:place]]), model.start(1))
            losses.append(-logits[0, -1].double().log_softmax(dim=-1)[ids[place]].item())
    found = task.validator().judge(model, torch.device("cpu"), batch_tokens)
    assert found.loss == pytest.approx(sum(losses) / len(losses), rel=1e-6)
    assert found.metrics == {
        "perplexity": pytest.approx(math.exp(sum(losses) / len(losses)), rel=1e-5),
        "bits_per_character": pytest.approx(sum(losses) / math.log(2) / corpus.validation_characters, rel=1e-6),
    }
    assert found.score() == -found.loss


def test_the_objective_is_the_sum_over_real_tokens(task: LanguageTask) -> None:
    model = task.build_model().eval()
    batch = list(evaluation_windows(task.corpus.validation, CONTEXT, 47))[-1]
    assert not batch.mask.all()
    logits, _ = model.decode(batch.input, model.start(batch.num_rows))
    expected = torch.nn.functional.cross_entropy(
        logits[batch.mask], batch.output[batch.mask], label_smoothing=0.2, reduction="sum"
    )
    assert isinstance(model, torch.nn.Module)
    torch.testing.assert_close(LanguageObjective(model, 0.2, 7)(batch), expected)


def test_the_longest_batch_is_full_windows(task: LanguageTask) -> None:
    batch = task.longest_batch(3)
    assert (batch.num_rows, batch.num_places, batch.num_target_tokens) == (3, 3 * CONTEXT, 3 * CONTEXT)


def test_a_window_longer_than_the_model_reads_is_refused(recipe: Path, prepared: Path, tmp_path: Path) -> None:
    tree = yaml.safe_load(recipe.read_text())
    tree["model"] = {"architecture": "decoder_only", "layers": 1, "d_model": 8, "d_ff": 7, "num_heads": 2}
    place = tmp_path / "recipe.yaml"
    place.write_text(yaml.safe_dump(tree))
    config = load_recipe(place, tmp_path, [f"model.max_positions={CONTEXT - 1}"]).config
    with pytest.raises(ConfigError) as caught:
        LanguageTask(config, PreparedStream.open(prepared)).build_model()
    assert str(caught.value) == (
        f"a training window has {CONTEXT} tokens, but the model reads at most {CONTEXT - 1}; raise "
        "`model.max_positions` or lower `data.context`"
    )
    config = load_recipe(place, tmp_path, [f"model.max_positions={CONTEXT}"]).config
    assert LanguageTask(config, PreparedStream.open(prepared)).build_model().max_length == CONTEXT


@pytest.mark.parametrize("other", ["translation", "classification"])
def test_a_folder_prepared_for_another_task_is_refused(
    recipe: Path, prepared: Path, tmp_path: Path, other: str
) -> None:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"data": {"task": other}}))
    with pytest.raises(DataError, match=f"was prepared for the task `language_modeling`, not for `{other}`"):
        load_recipe(tmp_path / "recipe.yaml", tmp_path, prepared=prepared)


def test_a_prepared_folder_serves_a_run_of_its_own_task(recipe: Path, whole: Path, tmp_path: Path) -> None:
    run(recipe, tmp_path / "run", prepared=RunFolder(whole).prepared)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == RunFolder(whole).weights.read_bytes()
    assert not (tmp_path / "run" / "prepared").exists()


# Counted


@pytest.fixture(scope="module")
def ngram_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_recipe(tmp_path_factory.mktemp("ngram"))
    tree = yaml.safe_load(path.read_text()) | {"model": {"architecture": "ngram", "order": 3}}
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.fixture
def counted(ngram_recipe: Path, tmp_path: Path) -> Path:
    run(ngram_recipe, tmp_path / "counted")
    return tmp_path / "counted"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_n_grams_are_counted_without_a_step(ngram_recipe: Path, counted: Path) -> None:
    [last] = [line for line in records(counted) if "final/loss" in line]
    assert records(counted)[-1] == last
    assert last["step"] == 1
    score = LanguageEngine.load(counted, "cpu").score(validation_text(ngram_recipe.parent))
    assert last["final/loss"] == pytest.approx(score.total_nats / score.tokens, rel=1e-6)
    # Six words in any order: much less than one of 23 pieces.
    assert last["final/perplexity"] < 7
    assert not RunFolder(counted).checkpoints.exists()
    card = RunFolder(counted).card.read_text()
    assert card.startswith("# en, ngram\n")
    assert "n-grams counted in" in card


def test_a_finished_count_is_left_alone(ngram_recipe: Path, counted: Path) -> None:
    before = files(counted)
    assert run(ngram_recipe, counted)[-1] == f"{counted}: is finished; nothing is left to count"
    assert files(counted) == before


def test_a_count_of_another_order_or_text_is_refused(ngram_recipe: Path, counted: Path, tmp_path: Path) -> None:
    before = files(counted)
    with pytest.raises(ConfigError, match=r"`model\.order` is 3 there and 4 here"):
        run(ngram_recipe, counted, "model.order=4")
    (tmp_path / "text").write_text("a bad cab\n" * 53)
    with pytest.raises(RunFolderError, match="was trained on other text"):
        train(load_recipe(ngram_recipe, tmp_path), counted, lambda message: None)
    assert files(counted) == before


def test_a_count_that_was_cut_off_is_made_again(ngram_recipe: Path, counted: Path) -> None:
    weights = RunFolder(counted).weights.read_bytes()
    RunFolder(counted).metrics.unlink()
    RunFolder(counted).weights.write_bytes(b"half")
    run(ngram_recipe, counted)
    assert RunFolder(counted).weights.read_bytes() == weights
    assert [line["step"] for line in records(counted)] == [1]


# Minutes


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each step take half a minute, as the loop sees it."""

    def moments() -> Iterator[float]:
        moment = 0.0
        while True:
            yield moment
            moment += 30.0

    ticks = moments()
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))


@pytest.mark.usefixtures("slow_clock")
def test_a_run_ends_when_its_minutes_are_over_and_counts_those_before(
    recipe: Path, prepared: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    run(recipe, output, "training.max_minutes=1", prepared=prepared)
    assert [(line["step"], "final/loss" in line) for line in records(output)] == [(2, False), (2, False), (2, True)]
    said = run(recipe, output, "training.max_minutes=1", prepared=prepared)
    assert "is finished (step 2)" in said[-1]
    said = run(recipe, output, "training.max_minutes=2.6", prepared=prepared)
    assert "going on from step 2" in said
    # 156 seconds: after five steps six seconds are left, so that a sixth begins, and none after it.
    assert records(output)[-1]["step"] == 6
    assert {line["step"] for line in records(output) if "validation/loss" in line} == {2, 5, 6}


@pytest.mark.usefixtures("slow_clock")
def test_steps_may_be_over_before_the_minutes(recipe: Path, prepared: Path, tmp_path: Path) -> None:
    run(recipe, tmp_path / "run", "training.max_minutes=9", "training.max_steps=3", prepared=prepared)
    assert records(tmp_path / "run")[-1]["step"] == 3


def test_a_validator_takes_any_text() -> None:
    """One token alone: the loss is that of the first prediction."""

    class Even(LanguageModel):
        vocab_size, max_length = 8, None

        def start(self, rows: int) -> Any:
            return SimpleNamespace(select=lambda indices: None)

        def decode(self, target: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
            return torch.zeros(*target.shape, 8), state

    found = LanguageValidator(np.array([2, 5], np.int32), 7, 3).judge(Even(), torch.device("cpu"), 64)
    assert (found.loss, found.metrics) == (
        pytest.approx(math.log(8)),
        {"perplexity": pytest.approx(8), "bits_per_character": pytest.approx(1)},
    )
