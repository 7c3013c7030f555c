"""A whole training run: recipe in, run folder out. Run again on the same folder, it goes on where it was cut off."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from attento.config import apply_overrides, check_settings, dump_settings, read_yaml
from attento.data.batching import TokenBatches
from attento.data.prepare import prepare
from attento.data.prepared import PreparedCorpus
from attento.errors import ConfigError, RunFolderError
from attento.models.build import build_model
from attento.run_folder import RunFolder
from attento.training.averaging import average_weights, save_weights
from attento.training.card import model_card
from attento.training.config import RecipeConfig
from attento.training.loop import Trainer
from attento.training.progress import TrainingProgress
from attento.training.record import MetricsLog
from attento.training.validation import ValidationResult, ValidationText, Validator

Say = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """A checked recipe and where its text is."""

    config: RecipeConfig
    data_root: Path
    prepared: Path | None = None


def load_recipe(
    path: Path, data_root: Path, overrides: Sequence[str] = (), prepared: Path | None = None
) -> Recipe:
    """Read a recipe; where a prepared folder is given, its settings stand in place of the recipe's `data`.

    Raises:
        ConfigError: the recipe or an override is wrong.
        DataError: the prepared folder cannot be opened.
    """
    tree = apply_overrides(read_yaml(path), overrides)
    if prepared is not None:
        tree["data"] = PreparedCorpus.open(prepared).config.model_dump(mode="json")
    return Recipe(check_settings(RecipeConfig, tree, origin=str(path)), data_root, prepared)


def train(recipe: Recipe, output: Path, say: Say = print) -> bool:
    """Train into a run folder, or go on there; return False when asked to stop before the end.

    The folder ends with `model.safetensors`: the average of the last checkpoints or the best single one, whichever does
    better on the validation set.

    Raises:
        ConfigError: settings are wrong, or the folder holds a run of other data or another model.
        DataError: the text cannot be prepared.
        RunFolderError: the folder cannot be written or its checkpoints cannot be used.
        TrainingError: the run cannot go on.
    """
    config, folder = recipe.config, RunFolder(output)
    _check_same_run(config, folder)
    corpus = _corpus(recipe, folder, say)
    _write_head(config, corpus, folder)
    torch.manual_seed(config.training.seed)
    trainer = _trainer(config, corpus, folder)
    trainer.resume(say)
    _check_same_text(trainer, corpus, folder)
    resume_step = trainer.state.step or None
    with (
        MetricsLog(folder.metrics, tensorboard=folder.tensorboard, resume_step=resume_step) as metrics,
        TrainingProgress(config.training.max_steps, trainer.state.step) as progress,
    ):
        progress.say(_headline(trainer, corpus))
        if not trainer.run(progress, metrics):
            progress.say(f"stopped at step {trainer.state.step}, saved; the same command goes on from there")
            return False
        result = _finish(trainer, progress.say)
        metrics.write(trainer.state.step, {"final/loss": result.loss, "final/bleu": result.bleu})
    folder.card.write_text(model_card(config, trainer.model, trainer.state, result), encoding="utf-8")
    return True


def _check_same_run(config: RecipeConfig, folder: RunFolder) -> None:
    if not folder.config.is_file():
        if folder.path.is_dir() and any(folder.path.iterdir()):
            raise RunFolderError(f"{folder.path}: is not empty and holds no run; choose another --output")
        return
    earlier = check_settings(RecipeConfig, read_yaml(folder.config), origin=str(folder.config))
    # What the weights and the order of the batches depend on must be the same; the rest may be changed midway.
    pairs = {
        "data": (earlier.data, config.data),
        "model": (earlier.model, config.model),
        "training.seed": (earlier.training.seed, config.training.seed),
        "training.tokens_per_step": (earlier.training.tokens_per_step, config.training.tokens_per_step),
    }
    changed = [name for name, (old, new) in pairs.items() if old != new]
    if changed:
        raise ConfigError(
            f"{folder.path}: holds a run with other settings ({', '.join(f'`{name}`' for name in changed)} differ); "
            "go on with the same ones, or choose another --output"
        )


def _corpus(recipe: Recipe, folder: RunFolder, say: Say) -> PreparedCorpus:
    if recipe.prepared is not None:
        return PreparedCorpus.open(recipe.prepared)
    say(f"preparing the text in {folder.prepared}")
    corpus = prepare(recipe.config.data, recipe.data_root, folder.prepared, workers=os.cpu_count() or 1)
    for warning in corpus.warnings:
        say(f"warning: {warning}")
    return corpus


def _write_head(config: RecipeConfig, corpus: PreparedCorpus, folder: RunFolder) -> None:
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.config.write_text(dump_settings(config), encoding="utf-8")
        corpus.tokenizers.save(folder.path)
    except OSError as problem:
        raise RunFolderError(f"{folder.path}: cannot be written: {problem}") from problem


def _trainer(config: RecipeConfig, corpus: PreparedCorpus, folder: RunFolder) -> Trainer:
    tokenizers = corpus.tokenizers
    model = build_model(config.model, tokenizers.source.vocab_size, tokenizers.target.vocab_size)
    weights = [each.weight for each in config.data.train]
    batches = TokenBatches(corpus.train, config.training.tokens_per_step, config.training.seed, weights)
    pairs = corpus.validation.take(range(len(corpus.validation)))
    text = ValidationText(*corpus.validation_texts(), pairs)
    validator = Validator(config.training.validation, text, tokenizers, config.data.target_language)
    return Trainer(config.training, model, batches, validator, folder, corpus.fingerprint)


def _check_same_text(trainer: Trainer, corpus: PreparedCorpus, folder: RunFolder) -> None:
    if trainer.state.text != corpus.fingerprint:
        raise RunFolderError(
            f"{folder.path}: was trained on other text than the recipe finds now; restore the text, or choose another "
            "--output"
        )


def _headline(trainer: Trainer, corpus: PreparedCorpus) -> str:
    millions = sum(p.numel() for p in trainer.model.parameters()) / 1e6
    number_format = str(trainer.precision).removeprefix("torch.")
    return (
        f"{millions:.1f}M parameters, {len(corpus.train):,} training pairs, {len(corpus.validation):,} for validation, "
        f"on {trainer.device} in {number_format}, {torch.get_num_threads()} threads"
    )


def _finish(trainer: Trainer, say: Say) -> ValidationResult:
    """Average the last checkpoints, and keep whichever model does better on the validation set."""
    best = load_file(trainer.folder.weights)
    paths = trainer.store.good_weights(say)
    averaged = average_weights(paths)
    results = {}
    for name, weights in ((f"average of the last {len(paths)} checkpoints", averaged), ("best single one", best)):
        trainer.model.load_state_dict(weights)
        results[name] = trainer.validator.validate(trainer.model, trainer.device)
        say(f"{name}: validation {results[name]}")
    name = max(results, key=lambda each: results[each].score())
    say(f"kept: {name}")
    if name.startswith("average"):
        save_weights(averaged, trainer.folder.weights)
        trainer.model.load_state_dict(averaged)
    return results[name]
