"""From a recipe to its kind of work: one `match`."""

from typing import Any

from attento.errors import ConfigError
from attento.setting_trees import suggest
from attento.training.config import RecipeConfig
from attento.training.tasks.base import Task
from attento.training.tasks.classification import ClassificationTask
from attento.training.tasks.denoising import DenoisingTask
from attento.training.tasks.language import LanguageTask
from attento.training.tasks.masked import MaskedTask
from attento.training.tasks.translation import TranslationTask

TASKS = ("translation", "language_modeling", "classification", "masked_language_modeling", "denoising")


def task_of(config: RecipeConfig) -> type[Task[Any]]:
    """Return the kind of work that a recipe asks for."""
    return task_named(config.data.task)


def task_named(name: str) -> type[Task[Any]]:
    """Return a kind of work by the name that `data.task` has for it.

    Raises:
        ConfigError: there is none of that name.
    """
    match name:
        case "translation":
            return TranslationTask
        case "language_modeling":
            return LanguageTask
        case "classification":
            return ClassificationTask
        case "masked_language_modeling":
            return MaskedTask
        case "denoising":
            return DenoisingTask
    raise ConfigError(f"`data.task`: there is no task `{name}`{suggest(name, TASKS)}")
