"""What a run was trained to do, so that each verb can tell which runs are for it. Needs no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from attento.config import read_yaml, suggest
from attento.errors import ConfigError, RunFolderError
from attento.run_folder import RunFolder

Task: TypeAlias = Literal["translation", "language_modeling", "classification", "masked_language_modeling", "denoising"]

_NAMES: dict[Task, str] = {
    "translation": "a translation model",
    "language_modeling": "a language model",
    "classification": "a sentence model",
    "masked_language_modeling": "a masked language model",
    "denoising": "a denoising model",
}
_VERBS: dict[Task, str] = {
    "translation": "`attento translate` or `attento evaluate --source FILE --reference FILE`",
    "language_modeling": "`attento generate` or `attento evaluate --text FILE`",
    "classification": "`attento evaluate --labelled FILE`",
    "masked_language_modeling": "`attento embed` or `attento evaluate --text FILE`",
    "denoising": "`attento evaluate --text FILE`",
}


@dataclass(frozen=True)
class RunKind:
    """What the model of a run is."""

    task: Task
    architecture: str

    @property
    def text(self) -> str:
        """The same in words."""
        return f"{_NAMES[self.task]} (`data.task: {self.task}`, `model.architecture: {self.architecture}`)"


def run_kind(run: Path) -> RunKind:
    """Return what the model of a run folder is.

    Raises:
        RunFolderError: the folder holds no finished model.
        ConfigError: its settings cannot be read, or name a task that does not exist.
    """
    config = RunFolder(run).require().config
    tree = read_yaml(config)
    # Translation with a Transformer was the only task once, and had no name.
    name = _setting(tree, "data", "task", "translation")
    for task in _NAMES:
        if task == name:
            return RunKind(task, str(_setting(tree, "model", "architecture", "transformer")))
    raise ConfigError(f"{config}: `data.task`: there is no task `{name}`{suggest(str(name), list(_NAMES))}")


def expect_task(run: Path, task: Task) -> None:
    """Check that the model of a run folder was trained to do what is wanted of it.

    Raises:
        RunFolderError: it was trained for another task, or the folder holds no finished model.
        ConfigError: its settings cannot be read, or name a task that does not exist.
    """
    kind = run_kind(run)
    if kind.task != task:
        raise RunFolderError(
            f"{run}: holds {kind.text}, but {_NAMES[task]} is needed here; use {_VERBS[kind.task]} with it"
        )


def _setting(tree: dict[str, Any], section: str, name: str, default: str) -> object:
    settings = tree.get(section)
    return settings.get(name, default) if isinstance(settings, dict) else default
