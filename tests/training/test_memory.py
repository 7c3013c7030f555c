"""What happens when memory is short: before the run, at its steps, at the optimizer, in validation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from attento.data.pairs.prepare import prepare
from attento.data.pairs.prepared import PreparedCorpus
from attento.errors import ConfigError, TrainingError
from attento.models.base import EncoderDecoder, Memory
from attento.run_folder import RunFolder
from attento.training import build as build_module
from attento.training import run as run_module
from attento.training.build import build_trainer, settle_step, warnings
from attento.training.config import RecipeConfig, with_training
from attento.training.loop import Trainer
from attento.training.parallel.alone import Alone
from attento.training.run import load_recipe, train
from attento.training.tasks import translation as task_module
from attento.training.tasks.translation import TranslationTask, longest_batch

MakeBench = Callable[..., Any]
WriteRecipe = Callable[..., Path]
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7 GiB.")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, write_recipe: WriteRecipe) -> PreparedCorpus:
    folder = tmp_path_factory.mktemp("corpus")
    return prepare(load_recipe(write_recipe(folder), folder).config.data, folder, folder / "prepared")


@pytest.fixture
def config(tmp_path: Path, write_recipe: WriteRecipe) -> RecipeConfig:
    return load_recipe(write_recipe(tmp_path), tmp_path).config


def run(recipe: Path, output: Path, *overrides: str) -> list[str]:
    said: list[str] = []
    assert train(load_recipe(recipe, recipe.parent, overrides), output, said.append)
    return said


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(sorted(output.glob("checkpoints/step-*"))[-1] / "model.safetensors")


def settings(output: Path) -> Any:
    return yaml.safe_load((output / "config.yaml").read_text())["training"]


def test_a_run_finds_its_step_as_if_it_had_been_given(
    tmp_path: Path, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(tmp_path, training__max_steps=5)
    run(recipe, tmp_path / "given")
    monkeypatch.setattr("attento.training.budget.MOST_TOKENS", 97)
    # Real steps, and as much memory as can be.
    monkeypatch.setattr(build_module, "free_memory", lambda device: 3 << 40)
    said = run(recipe, tmp_path / "found", "training.tokens_per_step=auto")
    assert "tokens_per_step: 97, which fits in the 3072.0 GiB that are free on cpu" in said
    assert settings(tmp_path / "found") == settings(tmp_path / "given")
    found, given = weights(tmp_path / "found"), weights(tmp_path / "given")
    assert all(torch.equal(found[name], tensor) for name, tensor in given.items())


def test_a_run_goes_on_with_the_step_that_it_found(
    tmp_path: Path, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, auto = write_recipe(tmp_path, training__max_steps=4), "training.tokens_per_step=auto"
    monkeypatch.setattr(build_module, "largest_step", lambda *arguments: 89)
    run(recipe, tmp_path / "run", auto)
    monkeypatch.setattr(build_module, "largest_step", lambda *arguments: pytest.fail("was looked for again"))
    said = run(recipe, tmp_path / "run", auto, "training.max_steps=6")
    assert "going on from step 4" in said
    assert settings(tmp_path / "run")["tokens_per_step"] == 89
    run(recipe, tmp_path / "run", "training.tokens_per_step=89", "training.max_steps=7")
    with pytest.raises(ConfigError, match=r"`training\.tokens_per_step` is 89 there and 97 here"):
        run(recipe, tmp_path / "run", "training.max_steps=8")


def test_a_step_in_parts_may_be_as_many_times_larger(
    tmp_path: Path, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(tmp_path, training__max_steps=1)
    accumulations = []

    def find(make_trainer: Callable[[], Any], *arguments: object) -> int:
        accumulations.append(make_trainer().config.accumulation)
        return 31

    monkeypatch.setattr(build_module, "largest_step", find)
    run(recipe, tmp_path / "run", "training.tokens_per_step=auto", "training.accumulation=3")
    assert accumulations == [1]
    assert (settings(tmp_path / "run")["tokens_per_step"], settings(tmp_path / "run")["accumulation"]) == (93, 3)


class OneOfTwo(Alone):
    size = 2


def test_several_processes_need_a_number(tmp_path: Path, write_recipe: WriteRecipe, corpus: PreparedCorpus) -> None:
    config = load_recipe(write_recipe(tmp_path), tmp_path, ["training.tokens_per_step=auto"]).config
    with pytest.raises(ConfigError, match="auto` is for one process; give a number"):
        settle_step(config, corpus, RunFolder(tmp_path / "run"), print, OneOfTwo(config.training))


@pytest.mark.parametrize("value", ["0", "-3", "most", "1.5"])
def test_a_step_is_a_number_or_auto(tmp_path: Path, write_recipe: WriteRecipe, value: str) -> None:
    with pytest.raises(ConfigError, match="tokens_per_step"):
        load_recipe(write_recipe(tmp_path), tmp_path, [f"training.tokens_per_step={value}"])


def test_pairs_above_the_step_are_counted_and_told(config: RecipeConfig, corpus: PreparedCorpus) -> None:
    pairs = corpus.train
    longer = sum(len(source) + len(target) + 2 > 9 for source, target in pairs.take(range(len(pairs))))
    assert 0 < longer < len(pairs)
    [told] = TranslationTask(with_training(config, tokens_per_step=9), corpus).warnings()
    assert told.startswith(f"{longer} of {len(pairs)} training pairs have more tokens than `training.tokens_per_step`")
    large = with_training(config, tokens_per_step=sum(corpus.longest_train) + 2)
    assert list(TranslationTask(large, corpus).warnings()) == []


def test_bf16_that_is_slow_is_told(
    bench: MakeBench, config: RecipeConfig, corpus: PreparedCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, task = bench(precision="bf16").trainer, TranslationTask(config, corpus)
    monkeypatch.setattr(build_module, "has_fast_bf16", lambda device: False)
    [told] = warnings(trainer, task)
    assert "computes faster in fp32 than in bf16" in told
    monkeypatch.setattr(build_module, "has_fast_bf16", lambda device: True)
    assert list(warnings(trainer, task)) == []


def test_a_dtype_that_the_device_lacks_is_refused_before_the_text_is_read(
    tmp_path: Path, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise ConfigError("precision `bf16` is not for this")

    monkeypatch.setattr(run_module, "choose_precision", refuse)
    with pytest.raises(ConfigError, match="is not for this"):
        run(write_recipe(tmp_path), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_longest_pair_that_does_not_fit_shows_before_the_first_step(
    tmp_path: Path, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(tmp_path)

    class TooSmall(EncoderDecoder):
        def encode(self, source: torch.Tensor, source_mask: torch.Tensor) -> Memory:
            raise FULL

    build = task_module.build_translation_model

    def build_model(*arguments: Any) -> EncoderDecoder:
        model = build(*arguments)
        model.encode = TooSmall.encode.__get__(model)
        return model

    monkeypatch.setattr(task_module, "build_translation_model", build_model)
    with pytest.raises(TrainingError, match=r"step 1: one sentence pair alone does not fit.*`data\.cleaning"):
        run(recipe, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_rehearsal_leaves_no_trace(bench: MakeBench) -> None:
    plain, rehearsed = bench("plain"), bench("rehearsed")
    rehearsed.trainer.rehearse(longest_batch((7, 5), 1))
    assert all(parameter.grad is None for parameter in rehearsed.trainer.model.parameters())
    assert rehearsed.trainer.state == plain.trainer.state
    # What dropout drew is forgotten, too.
    torch.manual_seed(3)
    plain.run()
    torch.manual_seed(3)
    rehearsed.trainer.rehearse(longest_batch((7, 5), 3))
    rehearsed.run()
    ours, theirs = rehearsed.weights(), plain.weights()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


@pytest.mark.parametrize("full", [FULL, MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_an_optimizer_that_does_not_fit_is_told_as_that(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, full: Exception
) -> None:
    case = bench()

    def step() -> None:
        raise full

    monkeypatch.setattr(case.trainer.optimizer, "step", step)
    with pytest.raises(TrainingError, match=r"step 1: the optimizer's moments do not fit.*`model\.d_model`"):
        case.run()
    assert not case.trainer.folder.checkpoints.exists()


def test_other_errors_of_the_optimizer_are_not_taken_for_that(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = bench()

    def step() -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(case.trainer.optimizer, "step", step)
    with pytest.raises(RuntimeError, match="a mistake"):
        case.run()


def test_a_model_that_does_not_fit_is_told_as_that(
    tmp_path: Path, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spread(*arguments: object) -> None:
        raise FULL

    monkeypatch.setattr("attento.training.parallel.alone.Alone.spread", spread)
    with pytest.raises(TrainingError, match="the model does not fit in the memory of cpu; make it smaller"):
        run(write_recipe(tmp_path), tmp_path / "run")


@pytest.fixture
def judge(
    tmp_path: Path, write_recipe: WriteRecipe, corpus: PreparedCorpus, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], tuple[Any, list[int]]]:
    """Validate twice where no more than some tokens of source fit; return the results and all sizes that were tried."""
    recipe = load_recipe(write_recipe(tmp_path), tmp_path, ["training.validation={metric: bleu, tokenize: none}"])

    def validate(fits: int) -> tuple[Any, list[int]]:
        torch.manual_seed(1)
        trainer = build_trainer(
            recipe.config, corpus, RunFolder(tmp_path / "run"), Alone(recipe.config.training), Trainer
        )
        encode, tried = trainer.model.encode, []

        def limited(source: torch.Tensor, mask: torch.Tensor) -> Memory:
            tried.append(source.numel())
            if source.numel() > fits:
                raise FULL
            return encode(source, mask)

        monkeypatch.setattr(trainer.model, "encode", limited)
        results = [trainer.judge(), trainer.judge()]
        assert trainer.model.training
        return results, tried

    return validate


def test_validation_goes_on_in_smaller_batches(judge: Callable[[int], tuple[Any, list[int]]]) -> None:
    (expected, _), sizes = judge(10**6)
    largest = max(sizes)
    (first, second), sizes = judge(largest // 3)
    assert first.loss == pytest.approx(expected.loss, rel=1e-6)
    assert first.metrics == second.metrics == expected.metrics
    assert second.loss == pytest.approx(expected.loss, rel=1e-6)
    failed = [place for place, size in enumerate(sizes) if size > largest // 3]
    # The second validation begins with what did fit.
    assert failed[-1] < len(sizes) // 2


def test_a_sentence_that_validation_cannot_judge_is_told(judge: Callable[[int], tuple[Any, list[int]]]) -> None:
    with pytest.raises(TrainingError, match=r"one sentence alone does not fit.*`data\.validation`"):
        judge(2)


def test_validation_takes_other_errors_for_what_they_are(
    judge: Callable[[int], tuple[Any, list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*arguments: object, **settings: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(task_module, "mean_loss", wrong)
    with pytest.raises(RuntimeError, match="a mistake"):
        judge(10**6)
