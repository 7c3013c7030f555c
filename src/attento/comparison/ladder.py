"""Training every system of a comparison, one after the other, on text that is prepared once.

What is finished is not trained again, what was interrupted goes on, and a system that fails does not stop the others.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table as Row
from rich.text import Text
from torch import nn

from attento.comparison.recipe import Comparison
from attento.cores import available_cores
from attento.errors import AttentoError, ConfigError
from attento.models.base import LanguageModel, NeuralLanguageModel
from attento.training.config import RecipeConfig
from attento.training.run import Recipe, train
from attento.training.tasks.base import Corpus
from attento.training.tasks.choose import task_of

Say = Callable[[str], None]

_TOLERANCE = 0.1
_BAR_WIDTH = 24


@dataclass(frozen=True)
class Climbed:
    """How the training of all systems went: what failed and why, and whether somebody interrupted it."""

    failed: dict[str, str]
    interrupted: bool


def prepare_once(comparison: Comparison, prepared: Path, say: Say) -> Corpus:
    """Prepare the text that all systems share, or open it where it is prepared already.

    Raises:
        DataError: the text cannot be prepared.
    """
    config, told = next(iter(comparison.systems.values())), set()

    def tell(stage: str, done: int, total: int | None) -> None:
        if stage not in told:
            told.add(stage)
            say(f"{stage} ...")

    corpus: Corpus = task_of(config).prepare(
        config, comparison.data_root, prepared, workers=available_cores(), tell=tell
    )
    for warning in corpus.warnings:
        say(f"warning: {warning}")
    return corpus


def fresh_model(config: RecipeConfig, corpus: Any) -> nn.Module:
    """Make a system's model with weights drawn from its own seed.

    Raises:
        ConfigError: settings do not fit the text.
    """
    torch.manual_seed(config.training.seed)
    return task_of(config)(config, corpus).build_model()


def count_parameters(config: RecipeConfig, corpus: Corpus) -> int | None:
    """Count a system's trained numbers; None for a model that counts instead of training.

    Raises:
        ConfigError: settings do not fit the text.
    """
    # Shapes alone: no memory is taken, whatever the size.
    with torch.device("meta"):
        model = task_of(config)(config, corpus).build_model()
    if isinstance(model, LanguageModel) and not isinstance(model, NeuralLanguageModel):
        return None
    return sum(parameter.numel() for parameter in model.parameters())


def check_systems(comparison: Comparison, corpus: Corpus) -> None:
    """Build every system without weights, and hold its size against the budget, before anything is trained.

    Raises:
        ConfigError: a system does not fit the text, or has more or fewer parameters than the budget allows; all such
            systems are named.
    """
    budget, problems = comparison.config.budget.parameters, []
    for name, config in comparison.systems.items():
        try:
            parameters = count_parameters(config, corpus)
        except ConfigError as problem:
            problems.append(f"`systems.{name}`: {problem}")
            continue
        if budget is None:
            continue
        if parameters is None:
            problems.append(f"`systems.{name}` counts n-grams and has no parameters; give another budget")
        elif abs(parameters - budget) > _TOLERANCE * budget:
            problems.append(
                f"`systems.{name}` has {parameters:,} parameters, {parameters / budget - 1:+.0%} of "
                f"`budget.parameters: {budget}`; make it {'smaller' if parameters > budget else 'larger'}, to within "
                f"{_TOLERANCE:.0%}"
            )
    if problems:
        raise ConfigError("\n  ".join(problems))


def climb(comparison: Comparison, folder: Path, say: Say, console: Console) -> Climbed:
    """Train every system into `runs/NAME`, or go on there."""
    failed: dict[str, str] = {}
    started, total = time.monotonic(), len(comparison.systems)
    for number, (name, config) in enumerate(comparison.systems.items()):
        _show(console, f"system {number + 1} of {total}: {name}", number, total, time.monotonic() - started)
        try:
            recipe = Recipe(config, comparison.data_root, folder / "prepared")
            if not train(recipe, folder / "runs" / name, say):
                return Climbed(failed, interrupted=True)
        except AttentoError as problem:
            failed[name] = str(problem)
            say(f"{name}: failed: {problem}")
    _show(console, f"{total} of {total} systems done", total, total, time.monotonic() - started)
    return Climbed(failed, interrupted=False)


def _show(console: Console, text: str, done: int, total: int, seconds: float) -> None:
    """Print a line that shows how far the whole ladder is; the training's own display comes below it."""
    minutes, second = divmod(round(seconds), 60)
    row = Row.grid(padding=(0, 1))
    clock = f"{minutes // 60}:{minutes % 60:02}:{second:02}"
    row.add_row(Text(text, style="bold"), ProgressBar(total=total, completed=done, width=_BAR_WIDTH), Text(clock))
    console.print(row)
