"""What a run was trained to do, so that each verb can tell which runs are for it. Needs no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from attento.engines.packed.inside import CONFIG, read_inside
from attento.errors import ConfigError, RunFolderError
from attento.run_folder import RunFolder
from attento.setting_trees import parse_json, parse_yaml, read_yaml, suggest

Task: TypeAlias = Literal["translation", "language_modeling", "classification", "masked_language_modeling", "denoising"]

_NAMES: dict[Task, str] = {
    "translation": "a translation model",
    "language_modeling": "a language model",
    "classification": "a sentence model",
    "masked_language_modeling": "a masked language model",
    "denoising": "a denoising model",
}
_VERBS: dict[Task, str] = {
    "translation": "`attento translate`, `attento inspect` or `attento evaluate --source FILE --reference FILE`",
    "language_modeling": "`attento generate`, `attento inspect` or `attento evaluate --text FILE`",
    "classification": "`attento inspect` or `attento evaluate --labelled FILE`",
    "masked_language_modeling": "`attento embed`, `attento inspect` or `attento evaluate --text FILE`",
    "denoising": "`attento inspect` or `attento evaluate --text FILE`",
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
    """Return what the model of a run folder, or of a packed file, is.

    Raises:
        RunFolderError: there is no finished model.
        ConfigError: its settings cannot be read, or name a task that does not exist.
    """
    config, tree = read_run_settings(run)
    return kind_of(config, tree)


def kind_of(config: Path, tree: dict[str, Any]) -> RunKind:
    """Return what the model is that settings, which lie in `config`, describe.

    Raises:
        ConfigError: they name a task that does not exist.
    """
    # Translation with a Transformer was the only task once, and had no name.
    name = _setting(tree, "data", "task", "translation")
    for task in _NAMES:
        if task == name:
            return RunKind(task, str(_setting(tree, "model", "architecture", "transformer")))
    raise ConfigError(f"{config}: `data.task`: there is no task `{name}`{suggest(str(name), list(_NAMES))}")


def read_run_settings(run: Path) -> tuple[Path, dict[str, Any]]:
    """Return where the settings of a run lie, in its folder or in a packed file, and all of them, unchecked.

    Raises:
        RunFolderError: there is no finished model.
        ConfigError: the settings cannot be read.
    """
    folder = RunFolder(run)
    # Without weights of its own a folder is what its packed model is.
    packed = folder.packed if folder.packed.is_file() and not folder.weights.is_file() else run
    if packed.is_file():
        content = read_inside(packed)[CONFIG]
        # What is packed is JSON, which is YAML too, but is read before a YAML parser is even imported.
        parse = parse_json if content.startswith(b"{") else parse_yaml
        return packed / CONFIG, parse(content, origin=str(packed / CONFIG))
    config = folder.require().config
    return config, read_yaml(config)


def expect_task(run: Path, task: Task) -> None:
    """Check that the model of a run folder, or of a packed file, was trained to do what is wanted of it.

    Raises:
        RunFolderError: it was trained for another task, or there is no finished model.
        ConfigError: its settings cannot be read, or name a task that does not exist.
    """
    check_task(run, run_kind(run), task)


def check_task(run: Path, kind: RunKind, task: Task) -> None:
    """Check that a run is of a task.

    Raises:
        RunFolderError: it is of another one.
    """
    if kind.task != task:
        raise RunFolderError(
            f"{run}: holds {kind.text}, but {_NAMES[task]} is needed here; use {_VERBS[kind.task]} with it"
        )


def _setting(tree: dict[str, Any], section: str, name: str, default: str) -> object:
    settings = tree.get(section)
    return settings.get(name, default) if isinstance(settings, dict) else default
