"""From a run folder to a model with its trained weights: the part that is the same for every engine."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias, TypeVar

from pydantic import ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from attento.config import Settings, check_settings
from attento.engines.task import Task, expect_task, run_kind
from attento.errors import RunFolderError
from attento.models.config import (
    ClassifierModelConfig,
    LanguageModelConfig,
    MaskedModelConfig,
    ModelConfig,
    TranslationModelConfig,
)
from attento.run_folder import RunFolder
from attento.setting_trees import read_yaml


class PartOfSettings(Settings):
    """Some of a run's settings; the rest is others' to check."""

    model_config = ConfigDict(extra="ignore")


class _Translation(PartOfSettings):
    model: TranslationModelConfig = Field(discriminator="architecture")


class _Language(PartOfSettings):
    model: LanguageModelConfig = Field(discriminator="architecture")


class _Classification(PartOfSettings):
    model: ClassifierModelConfig = Field(discriminator="architecture")


class _Masked(PartOfSettings):
    model: MaskedModelConfig


_AnyModel: TypeAlias = _Translation | _Language | _Classification | _Masked
_MODELS: dict[Task, type[_AnyModel]] = {
    "translation": _Translation,
    "language_modeling": _Language,
    "classification": _Classification,
    "masked_language_modeling": _Masked,
    "denoising": _Translation,
}
SettingsT = TypeVar("SettingsT", bound=Settings)


def open_run(run: Path, task: Task, kind: type[SettingsT]) -> tuple[RunFolder, SettingsT]:
    """Return a run folder that holds a finished model for a task, and those of its settings that are asked for.

    Raises:
        RunFolderError: the folder holds no finished model, or one for another task.
        ConfigError: the settings in the folder are wrong.
    """
    folder = RunFolder(run).require()
    expect_task(run, task)
    return folder, check_settings(kind, read_yaml(folder.config), origin=str(folder.config))


def model_settings(run: Path) -> ModelConfig:
    """Return the settings of a run's model, whatever it was trained to do; nothing else of its settings is looked at.

    Raises:
        RunFolderError: the folder holds no finished model.
        ConfigError: the settings of the model are wrong, or name a task that does not exist.
    """
    kind, config = run_kind(run), RunFolder(run).require().config
    tree = read_yaml(config)
    # The Transformer was the only translation model once, and had no name.
    given = tree.get("model", {})
    model = {"architecture": kind.architecture} | given if isinstance(given, dict) else given
    return check_settings(_MODELS[kind.task], {"model": model}, origin=str(config)).model


def load_weights(model: nn.Module, path: Path) -> None:
    """Put the weights of a safetensors file into a model.

    Raises:
        RunFolderError: the file cannot be read or does not fit the model; every tensor that does not fit is listed.
    """
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as problem:
        raise RunFolderError(
            f"{path}: cannot be read ({problem}); copy it again, or make it anew by running the same `attento train` "
            "command with another --output"
        ) from problem
    problems = _misfits(model.state_dict(), found)
    if problems:
        raise RunFolderError(
            f"{path}: does not hold the model that config.yaml and the tokenizer beside it describe; "
            "bring the files of one run together:\n  " + "\n  ".join(problems)
        )
    model.load_state_dict(found)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run a model without dropout for a while, and give it its mode back."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _misfits(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    problems = [f"`{name}` is missing" for name in sorted(expected.keys() - found.keys())]
    problems += [f"`{name}` is unexpected" for name in sorted(found.keys() - expected.keys())]
    for name in sorted(expected.keys() & found.keys()):
        needed, given = tuple(expected[name].shape), tuple(found[name].shape)
        # A table that holds nothing yet grows to what it is given.
        if expected[name].numel() and needed != given:
            problems.append(f"`{name}` has shape {given}, but must have {needed}")
        elif not found[name].isfinite().all():
            problems.append(f"`{name}` holds values that are not finite")
    return problems
