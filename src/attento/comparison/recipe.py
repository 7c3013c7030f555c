"""From a comparison's recipe to one training recipe a system, all checked before anything is done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from attento.comparison.config import CompareConfig
from attento.comparison.results import Task
from attento.config import check_settings
from attento.errors import ConfigError
from attento.setting_trees import apply_overrides, read_yaml, suggest
from attento.training.config import RecipeConfig


@dataclass(frozen=True)
class Comparison:
    """A checked comparison: its settings, and the training recipe of each system, in the order of the file."""

    config: CompareConfig
    systems: dict[str, RecipeConfig]
    data_root: Path

    def only(self, names: Sequence[str]) -> "Comparison":
        """Return the comparison of some systems; no names leave it as it is.

        Raises:
            ConfigError: there is no system of one of the names.
        """
        for name in names:
            if name not in self.systems:
                raise ConfigError(f"--only {name}: there is no such system{suggest(name, list(self.systems))}")
        chosen = {name: recipe for name, recipe in self.systems.items() if not names or name in names}
        return Comparison(self.config, chosen, self.data_root)


def load_comparison(path: Path, data_root: Path, overrides: Sequence[str] = ()) -> Comparison:
    """Read a comparison's recipe.

    Raises:
        ConfigError: the recipe or an override is wrong; settings of a system are named as those of `systems.NAME`.
    """
    config = check_settings(CompareConfig, apply_overrides(read_yaml(path), overrides), origin=str(path))
    systems = {
        name: check_settings(RecipeConfig, _tree_of(config, name), origin=f"{path}, systems.{name}")
        for name in config.systems
    }
    tasks = {recipe.data.task for recipe in systems.values()}
    if foreign := sorted(tasks - set(get_args(Task))):
        raise ConfigError(
            f"{path}: `data.task: {foreign[0]}` is for `attento train` alone; tasks whose systems can be compared: "
            f"{', '.join(get_args(Task))}"
        )
    return Comparison(config, systems, data_root)


def _tree_of(config: CompareConfig, name: str) -> dict[str, Any]:
    system, budget = config.systems[name], config.budget
    training = _merged(config.training, system.training)
    if budget.updates is not None:
        training["max_steps"] = budget.updates
    if budget.minutes is not None:
        training["max_minutes"] = budget.minutes
    return {
        "data": config.data,
        "model": system.model,
        "search": _merged(config.search, system.search),
        "training": training,
    }


def _merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tree of settings in which one's own go before the common ones."""
    merged = dict(common)
    for key, value in own.items():
        before = merged.get(key)
        merged[key] = _merged(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return merged
