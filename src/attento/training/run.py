"""A whole training run: recipe in, run folder out. Run again on the same folder, it goes on where it was cut off."""

import json
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console

from attento.config import check_settings, dump_settings
from attento.cores import available_cores
from attento.device import choose_precision
from attento.errors import ConfigError, DataError, RunFolderError
from attento.models.language.config import NGramConfig
from attento.run_folder import RunFolder
from attento.setting_trees import apply_overrides, read_yaml
from attento.training.build import build_trainer, has_checkpoints, settle_step, warnings, with_earlier_step
from attento.training.config import RecipeConfig, flatten
from attento.training.loop import Trainer
from attento.training.parallel.alone import Alone, join
from attento.training.process import folder_to_itself, keep_freed_memory, use_available_cores
from attento.training.records.averaging import average_weights, save_weights
from attento.training.records.card import model_card
from attento.training.records.checkpoint import replace_file, sync_file
from attento.training.records.metrics import MetricsLog
from attento.training.records.progress import TrainingProgress
from attento.training.tasks.base import Corpus, Task
from attento.training.tasks.choose import task_named, task_of
from attento.training.tasks.language import LanguageTask
from attento.training.update.precision import fill
from attento.training.validation import ValidationResult

Say = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """A checked recipe and where its text is."""

    config: RecipeConfig
    data_root: Path
    prepared: Path | None = None


def load_recipe(path: Path, data_root: Path, overrides: Sequence[str] = (), prepared: Path | None = None) -> Recipe:
    """Read a recipe; where a prepared folder is given, its settings stand in place of the recipe's `data`.

    Raises:
        ConfigError: the recipe or an override is wrong.
        DataError: the prepared folder cannot be opened.
    """
    tree = apply_overrides(read_yaml(path), overrides)
    if "systems" in tree:
        raise ConfigError(f"{path}: holds several systems; `attento compare {path} --output FOLDER` trains them all")
    if prepared is not None:
        ignored = [each for each in overrides if each.strip().startswith("data.")]
        if ignored:
            raise ConfigError(f"--set {ignored[0]}: {prepared} is prepared already, with settings of its own")
        data = tree.get("data")
        name = data.get("task", "translation") if isinstance(data, dict) else "translation"
        tree["data"] = task_named(str(name)).open(prepared).config.model_dump(mode="json")
    return Recipe(check_settings(RecipeConfig, tree, origin=str(path)), data_root, prepared)


def train(recipe: Recipe, output: Path, say: Say = print) -> bool:
    """Train into a run folder, or go on there; return False when asked to stop before the end.

    The folder ends with `model.safetensors`: the average of the last checkpoints or the best single one, whichever does
    better on the validation set. A run that is finished is left as it is.

    Raises:
        ConfigError: settings are wrong, or the folder holds a run of other data or another model.
        DataError: the text cannot be prepared.
        InputError: the model cannot be judged in the way asked for, or not by this text.
        RunFolderError: the folder cannot be written, another process trains in it, its checkpoints cannot be used, or
            it was trained on other text.
        TrainingError: the run cannot go on.
    """
    config, folder = recipe.config, RunFolder(output)
    keep_freed_memory()
    use_available_cores()
    # First: to prepare much text takes long.
    with join(config) as world:
        choose_precision(config.training.precision, world.device)
        say = world.voice(say)
        world.begin("preparing the text", 0, unhurried=True)
        corpus = world.after_first(lambda: _corpus_of(recipe, folder, say, world))
        with folder_to_itself(folder.path) if world.first else nullcontext():
            return _train_on(corpus, config, folder, say, world)


def _train_on(corpus: Corpus, config: RecipeConfig, folder: RunFolder, say: Say, world: Alone) -> bool:
    world.begin("building the model", 0)
    if isinstance(config.model, NGramConfig):
        return _count(LanguageTask(config, cast(Any, corpus)), folder, say, world)
    config = settle_step(config, corpus, folder, say, world)
    torch.manual_seed(config.training.seed)
    task = task_of(config)(config, corpus)
    trainer = build_trainer(config, corpus, folder, world, Trainer)
    if world.size > 1:
        world.draw_anew(0)
    trainer.resume(say)
    # Last: what stands in the folder must not change before all is known to fit.
    if world.first:
        _write_head(task, folder)
    if world.from_first(lambda: trainer.at_end() and _has_final_record(folder, trainer.state.step)):
        say(f"{folder.path}: is finished (step {trainer.state.step}); raise `training.max_steps` to train it further")
        return True
    resume_step = trainer.state.step or None
    with (
        _metrics(folder, resume_step, world) as metrics,
        TrainingProgress(config.training.max_steps, trainer.state.step, console=_console(world)) as progress,
    ):
        progress.say(_headline(trainer, task))
        for warning in warnings(trainer, task):
            progress.say(f"warning: {warning}")
        trainer.rehearse(task.longest_batch(1))
        if not trainer.run(progress, metrics):
            progress.say(f"stopped at step {trainer.state.step}, saved; the same command goes on from there")
            return False
        result = _finish(trainer, progress.say)
        if world.first:
            _write_text(folder.card, model_card(task.card, config, _seen(trainer, task.card.unit), result))
        # Last of all: by this record a finished run is known.
        metrics.write(trainer.state.step, result.record("final/"))
    return True


def _count(task: LanguageTask, folder: RunFolder, say: Say, world: Alone) -> bool:
    """Count n-grams: no step, no checkpoint, one pass; a folder that is finished is left as it is.

    Raises:
        ConfigError: there are several processes.
    """
    if world.size > 1:
        raise ConfigError("`model.architecture: ngram` counts in one process; call it without torchrun")
    if _has_final_record(folder, step=1):
        say(f"{folder.path}: is finished; nothing is left to count")
        return True
    _write_head(task, folder)
    model = task.count()
    save_weights(dict(model.state_dict()), folder.weights)
    result = task.validator().validate(model, world.device)
    seen = f"{model.num_ngrams:,} n-grams counted in {task.size}"
    _write_text(folder.card, model_card(task.card, task.config, seen, result))
    say(f"{seen}: validation {result}")
    with _metrics(folder, None, world) as metrics:
        metrics.write(1, result.record("final/"))
    return True


def _check_same_run(config: RecipeConfig, folder: RunFolder) -> None:
    if not folder.config.is_file():
        _refuse_foreign_folder(folder)
        return
    counted = isinstance(config.model, NGramConfig) and folder.card.is_file()
    if not has_checkpoints(folder) and not counted:
        if folder.card.is_file():
            raise RunFolderError(
                f"{folder.path}: holds a finished model, but no checkpoint to go on from; choose another --output"
            )
        # Nothing is lost yet: it starts anew, whatever the settings.
        return
    earlier = check_settings(RecipeConfig, read_yaml(folder.config), origin=str(folder.config))
    before, now = (dict(flatten(_lasting_settings(each), "")) for each in (earlier, config))
    changed = [
        f"`{name}` is {before.get(name)!r} there and {now.get(name)!r} here"
        for name in before | now
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise ConfigError(
            f"{folder.path}: holds a run with other settings; go on with the same ones, or choose another --output:\n  "
            + "\n  ".join(changed)
        )


def _refuse_foreign_folder(folder: RunFolder) -> None:
    if os.path.lexists(folder.path) and not folder.path.is_dir():
        raise RunFolderError(f"{folder.path}: is no folder; choose another --output")
    if not folder.path.is_dir():
        return
    # An earlier call may have been cut off while it prepared the text.
    ours = (folder.prepared.name, f".{folder.prepared.name}.", f".{folder.config.name}.")
    if any(not path.name.startswith(ours) for path in folder.path.iterdir()):
        raise RunFolderError(f"{folder.path}: is not empty and holds no run; choose another --output")


def _lasting_settings(config: RecipeConfig) -> dict[str, Any]:
    """Return what the weights, the order of the batches and the best score depend on; the rest may change midway."""
    tree = config.model_dump(mode="json")
    training = tree["training"]
    validation = {key: value for key, value in training["validation"].items() if key != "patience"}
    return {
        "data": tree["data"],
        "model": tree["model"],
        "training": {
            "seed": training["seed"],
            "tokens_per_step": training["tokens_per_step"],
            "validation": validation,
        },
    }


def _metrics(folder: RunFolder, resume_step: int | None, world: Alone) -> MetricsLog:
    if world.first:
        return MetricsLog(folder.metrics, tensorboard=folder.tensorboard, resume_step=resume_step)
    return MetricsLog(Path(os.devnull))


def _console(world: Alone) -> Console:
    return Console(stderr=True, quiet=not world.first)


def _corpus_of(recipe: Recipe, folder: RunFolder, say: Say, world: Alone) -> Corpus:
    """Prepare or find the text in the first process, then open it in all."""
    if world.first:
        _check_same_run(with_earlier_step(recipe.config, folder), folder)
        return _corpus(recipe, folder, say)
    place = recipe.prepared or folder.prepared
    if not place.is_dir():
        raise RunFolderError(
            f"{place}: is not there on {socket.gethostname()}; all hosts must see the run folder, and what is given by "
            "--prepared, under the same path"
        )
    return _open(recipe, place)


def _open(recipe: Recipe, place: Path) -> Corpus:
    corpus: Corpus = task_of(recipe.config).open(place)
    return corpus


def _corpus(recipe: Recipe, folder: RunFolder, say: Say) -> Corpus:
    if recipe.prepared is not None:
        return _open(recipe, recipe.prepared)
    task, stages = task_of(recipe.config), set()

    def tell(stage: str, done: int, total: int | None) -> None:
        if stage not in stages:
            stages.add(stage)
            say(f"{stage} ...")

    begun = has_checkpoints(folder) or folder.card.is_file()
    if begun and (there := _prepared_already(recipe, folder)) is not None:
        # Other text must not take the place of the text that the checkpoints go on with.
        if task.fingerprint(recipe.config, recipe.data_root, folder.prepared, tell) != there.fingerprint:
            raise RunFolderError(
                f"{folder.path}: was trained on other text than there is now in {recipe.data_root}; restore the text, "
                "or choose another --output"
            )
        return there
    say(f"preparing the text in {folder.prepared}")
    corpus: Corpus = task.prepare(
        recipe.config, recipe.data_root, folder.prepared, workers=available_cores(), tell=tell
    )
    for warning in corpus.warnings:
        say(f"warning: {warning}")
    return corpus


def _prepared_already(recipe: Recipe, folder: RunFolder) -> Corpus | None:
    try:
        return _open(recipe, folder.prepared)
    except DataError:
        return None


def _write_head(task: Task[Any], folder: RunFolder) -> None:
    _write_text(folder.config, dump_settings(task.config))
    try:
        task.save_text_side(folder)
    except OSError as problem:
        raise RunFolderError(f"{folder.path}: cannot be written: {problem}") from problem


def _write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    writing = path.with_name(f".{path.name}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writing.write_text(text, encoding="utf-8")
        sync_file(writing)
        replace_file(writing, path)
    except OSError as problem:
        raise RunFolderError(f"{path}: cannot be written: {problem}") from problem


def _has_final_record(folder: RunFolder, step: int) -> bool:
    try:
        *_, last = folder.metrics.read_bytes().splitlines()
        record = json.loads(last)
    except (OSError, ValueError):
        return False
    return record.get("step") == step and "final/loss" in record and folder.weights.is_file()


def _headline(trainer: Trainer, task: Task[Any]) -> str:
    number_format = str(trainer.weights.dtype).removeprefix("torch.")
    return (
        f"{_parameters(trainer):,} parameters, {task.size}, on {trainer.device} in {number_format}, "
        f"{torch.get_num_threads()} threads"
    )


def _seen(trainer: Trainer, unit: str) -> str:
    state = trainer.state
    read = f"{state.source_tokens:,} source and " if state.source_tokens else ""
    return f"{_parameters(trainer):,} parameters, {state.step:,} updates, {read}{state.target_tokens:,} {unit}s seen"


def _parameters(trainer: Trainer) -> int:
    return sum(parameter.numel() for parameter in trainer.model.parameters())


def _finish(trainer: Trainer, say: Say) -> ValidationResult:
    """Average the last checkpoints, and keep them or the best one, whichever does better on the validation set."""
    trainer.world.begin("judging the last checkpoints", trainer.state.step)
    with trainer.weights.in_full():
        return trainer.world.from_first(lambda: _choose(trainer, say))


def _choose(trainer: Trainer, say: Say) -> ValidationResult:
    state, averaged = trainer.state, trainer.store.good_weights(say)
    candidates = {f"average of the last {len(averaged)} checkpoints": averaged}
    if state.best_score is not None and trainer.best_weights.is_file():
        # First: where they do equally well, the single one stays.
        candidates = {f"best single one (step {state.best_step})": [trainer.best_weights]} | candidates
    results = {}
    for name, paths in candidates.items():
        fill(trainer.model, average_weights(paths))
        results[name] = trainer.validator.validate(trainer.model, trainer.device)
        say(f"{name}: validation {results[name]}")
    name = max(results, key=lambda each: results[each].score())
    say(f"kept: {name}")
    weights = average_weights(candidates[name])
    save_weights(weights, trainer.folder.weights)
    return results[name]
