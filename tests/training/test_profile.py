"""Profiled steps are the run's own, what is counted is true, and nothing is written."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from attento.data.pairs.batching import Batch, make_batch
from attento.data.pairs.prepare import prepare
from attento.data.pairs.prepared import PreparedCorpus
from attento.errors import ConfigError
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig
from attento.run_folder import RunFolder
from attento.training import profile as profile_module
from attento.training.build import build_trainer
from attento.training.loop import Trainer
from attento.training.parallel.alone import Alone
from attento.training.profile import (
    PHASES,
    WARM_UP,
    Stopwatch,
    TimedTrainer,
    matmul_rates,
    measure,
    operations,
    profile,
)
from attento.training.run import Recipe, load_recipe, train
from attento.training.tasks.translation import TranslationObjective
from attento.training.update.objective import recompute_activations

WriteRecipe = Callable[..., Path]
CPU = torch.device("cpu")
V = 23


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, write_recipe: WriteRecipe) -> Recipe:
    folder = tmp_path_factory.mktemp("recipe")
    loaded = load_recipe(write_recipe(folder, training__max_steps=5, training__accumulation=2), folder)
    prepare(loaded.config.data, folder, folder / "prepared")
    return replace(loaded, prepared=folder / "prepared")


@pytest.fixture(autouse=True)
def small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_module, "_MATRIX", {"cpu": 17})
    monkeypatch.setattr(profile_module, "_LEAST_SECONDS", 0.0)


def trainer_of(kind: type[Trainer], recipe: Recipe, tmp_path: Path) -> Any:
    torch.manual_seed(1)
    assert recipe.prepared is not None
    corpus = PreparedCorpus.open(recipe.prepared)
    return build_trainer(recipe.config, corpus, RunFolder(tmp_path / "run"), Alone(recipe.config.training), kind)


def silent(message: str) -> None:
    pytest.fail(message)


def test_timed_steps_are_the_runs_own(recipe: Recipe, tmp_path: Path) -> None:
    plain, timed = (trainer_of(kind, recipe, tmp_path) for kind in (Trainer, TimedTrainer))
    timed.watch = Stopwatch(CPU)
    for trainer in (plain, timed):
        torch.manual_seed(2)
        stream = trainer.batches.from_position()
        for _ in range(5):
            trainer.step(next(stream)[1], silent)
    ours, theirs = (each.weights.tensors() for each in (timed, plain))
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    assert timed.state == plain.state
    assert set(timed.watch.seconds) == set(PHASES)


def draw_batch() -> Batch:
    generator = np.random.default_rng(3)
    lengths = [(6, 10), (5, 3), (12, 2), (1, 6), (4, 9)]
    return make_batch([tuple(generator.integers(4, V, n).astype(np.int32) for n in pair) for pair in lengths])


def make_objective(chunk_tokens: int) -> TranslationObjective:
    shape = TransformerConfig(encoder_layers=2, decoder_layers=3, d_model=26, d_ff=31, num_heads=2, dropout=0.3)
    return TranslationObjective(build_translation_model(shape, V, V).train(), 0.1, chunk_tokens)


def test_operations_are_those_of_the_formula() -> None:
    batch, objective = draw_batch(), make_objective(chunk_tokens=7)
    rows, source, target, d_model, d_ff = 5, 13, 11, 26, 31
    feed_forward = 2 * d_model * d_ff
    encoder = source * (4 * d_model**2 + feed_forward) + 2 * source * source * d_model
    to_itself = target * (4 * d_model**2 + feed_forward) + 2 * target * target * d_model
    to_source = 2 * (target + source) * d_model**2 + 2 * target * source * d_model
    # The output's layer reads no padding: 30 pieces and an end for each row.
    multiply_adds = rows * (2 * encoder + 3 * (to_itself + to_source)) + (30 + rows) * d_model * V
    assert operations(objective, batch) == 3 * 2 * multiply_adds


def test_operations_are_those_of_a_real_step_and_recomputing_adds_none() -> None:
    batch, objective = draw_batch(), make_objective(chunk_tokens=100)
    counted = operations(objective, batch)
    assert all(parameter.grad is None for parameter in objective.parameters())
    with FlopCounterMode(display=False) as whole:
        objective(batch).backward()
    assert counted == whole.get_total_flops()
    recompute_activations(objective.model)
    assert operations(objective, batch) == counted
    with FlopCounterMode(display=False) as again:
        objective(batch).backward()
    assert again.get_total_flops() > counted


def test_what_is_measured_are_the_steps_after_the_first_ones(recipe: Recipe, tmp_path: Path) -> None:
    trainer = trainer_of(TimedTrainer, recipe, tmp_path)
    stream = trainer.batches.from_position()
    batches = [next(stream)[1] for _ in range(WARM_UP + 4)][WARM_UP:]
    found = measure(trainer, 4, silent)
    sides = [mask for batch in batches for mask in (batch.source_mask, batch.target_mask)]
    tokens = sum(int(mask.sum()) for mask in sides)
    assert (found.steps, found.warm_up, found.tokens) == (4, WARM_UP, tokens / 4)
    assert found.padding == pytest.approx(1 - tokens / sum(mask.numel() for mask in sides))
    assert 0 < found.padding < 1
    assert found.operations == sum(operations(trainer.objective, batch) for batch in batches) / 4
    assert tuple(found.phases) == PHASES
    assert all(seconds > 0 for seconds in found.phases.values())
    assert sum(found.phases.values()) < found.seconds
    assert found.share_of_ceiling == pytest.approx(found.operations / found.seconds / found.ceiling)
    assert (found.device, found.dtype, found.tokens_per_step) == (CPU, torch.float32, 97)
    assert trainer.state.target_tokens > tokens / 2


def files_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path): (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns)
        for path in sorted([folder, *folder.rglob("*")])
    }


def test_nothing_is_written_where_nothing_is(recipe: Recipe, tmp_path: Path) -> None:
    before = files_of(recipe.data_root)
    said: list[str] = []
    profile(replace(recipe, prepared=None), tmp_path / "run", 2, said.append)
    assert list(tmp_path.iterdir()) == []
    assert files_of(recipe.data_root) == before
    assert said == ["preparing the text in a temporary folder; with --prepared it is there already"]


def test_nothing_is_written_where_a_run_is(recipe: Recipe, tmp_path: Path) -> None:
    plain = replace(recipe, prepared=None)
    train(plain, tmp_path / "run", [].append)
    before = files_of(tmp_path)
    # Its prepared text is used.
    profile(plain, tmp_path / "run", 2, silent)
    assert files_of(tmp_path) == before
    # Where the text is no longer that, it is prepared elsewhere.
    source = recipe.data_root / "train.source"
    os.utime(source, (1, 1))
    said: list[str] = []
    profile(plain, tmp_path / "run", 2, said.append)
    assert len(said) == 1
    assert files_of(tmp_path) == before


def test_several_processes_are_refused(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class OneOfTwo(Alone):
        size = 2

    monkeypatch.setattr(profile_module, "join", lambda config: OneOfTwo(config.training))
    with pytest.raises(ConfigError, match="`--profile` is for one process; call it without torchrun"):
        profile(recipe, tmp_path / "run", 2, silent)


def test_a_stopwatch_adds_up_and_waits_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 11.5, 20.0, 20.25, 30.0, 34.0])
    monkeypatch.setattr(profile_module, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    watch = Stopwatch(torch.device("cuda"))
    for phase in ("forward", "loss", "forward"):
        with watch(phase):
            pass
    assert watch.seconds == {"forward": 5.5, "loss": 0.25}
    assert len(waited) == 6


def test_rates_are_of_each_product_but_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    # Begun at 0; each product is asked for its time before, after, and whether it was long enough.
    times = iter([0.0, *(float(n) for n in (1, 9, 10, 12, 13, 17, 18, 19))])
    monkeypatch.setattr(profile_module, "time", SimpleNamespace(perf_counter=lambda: next(times, 99.0)))
    monkeypatch.setattr(profile_module, "_LEAST_PRODUCTS", 4)
    assert matmul_rates(CPU, torch.bfloat16) == [2 * 17**3 / seconds for seconds in (2, 4, 1)]
