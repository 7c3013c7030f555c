"""From a recipe and its prepared text to a trainer at its first step. Reads a run folder, writes nothing."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch

from attento.config import check_settings
from attento.device import has_fast_bf16
from attento.errors import ConfigError, TrainingError
from attento.run_folder import RunFolder
from attento.setting_trees import read_yaml
from attento.training.budget import MOST_TOKENS, free_memory, largest_step
from attento.training.config import RecipeConfig, with_training
from attento.training.loop import Trainer
from attento.training.parallel.alone import Alone
from attento.training.process import is_out_of_memory
from attento.training.tasks.base import Corpus, Task
from attento.training.tasks.choose import task_of

TrainerT = TypeVar("TrainerT", bound=Trainer)


def build_trainer(
    config: RecipeConfig, corpus: Corpus, folder: RunFolder, world: Alone, kind: type[TrainerT]
) -> TrainerT:
    """Make a trainer of some kind; `tokens_per_step` is a number by now.

    Raises:
        ConfigError: settings do not fit the text.
        InputError: BLEU cannot be computed in the way asked for, or not against these references.
        TrainingError: the model does not fit in memory.
    """
    task = task_of(config)(config, corpus)
    objective = task.objective(task.build_model())
    validator = task.validator()
    try:
        return kind(config.training, objective, task.batches(), validator, folder, corpus.fingerprint, world)
    except (MemoryError, RuntimeError) as problem:
        if not is_out_of_memory(problem):
            raise
        raise TrainingError(
            f"the model does not fit in the memory of {world.device}; make it smaller, or see what else is in there"
        ) from problem


def settle_step(
    config: RecipeConfig, corpus: Corpus, folder: RunFolder, say: Callable[[str], None], world: Alone
) -> RecipeConfig:
    """Put a number in the place of `tokens_per_step: auto`: that of the run to go on with, or the largest that fits.

    The search leaves torch's random state anywhere.

    Raises:
        ConfigError: there are several processes.
        TrainingError: nothing fits, or the system does not tell how much memory there is.
    """
    config = with_earlier_step(config, folder)
    if config.training.tokens_per_step != "auto":
        return config
    if world.size > 1:
        raise ConfigError("`training.tokens_per_step: auto` is for one process; give a number for several")
    trial = with_training(config, tokens_per_step=MOST_TOKENS, accumulation=1)

    def make_trainer() -> Trainer:
        return build_trainer(trial, corpus, folder, Alone(trial.training), Trainer)

    free = free_memory(world.device)
    longest_batch = task_of(trial)(trial, corpus).longest_batch
    most = largest_step(make_trainer, world.device, longest_batch, free)
    tokens = min(most * config.training.accumulation, MOST_TOKENS)
    say(f"tokens_per_step: {tokens:,}, which fits in the {(free or 0) / 2**30:.1f} GiB that are free on {world.device}")
    return with_training(config, tokens_per_step=tokens)


def with_earlier_step(config: RecipeConfig, folder: RunFolder) -> RecipeConfig:
    """Return the settings with the number that was found for `tokens_per_step: auto` when the run began, if it did.

    Raises:
        ConfigError: the run's own settings cannot be read.
    """
    if config.training.tokens_per_step != "auto" or not (folder.config.is_file() and has_checkpoints(folder)):
        return config
    earlier = check_settings(RecipeConfig, read_yaml(folder.config), origin=str(folder.config))
    return with_training(config, tokens_per_step=earlier.training.tokens_per_step)


def has_checkpoints(folder: RunFolder) -> bool:
    """Tell whether a run has saved anything to go on from."""
    return any(folder.checkpoints.glob("step-*"))


def warnings(trainer: Trainer, task: Task[Any]) -> Iterator[str]:
    """Yield what works but is hardly meant."""
    yield from task.warnings()
    if trainer.weights.dtype == torch.bfloat16 and not has_fast_bf16(trainer.device):
        yield "this processor computes faster in fp32 than in bf16; `training.precision: auto` takes the faster one"
