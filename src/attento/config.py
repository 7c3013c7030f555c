"""Strict configuration: YAML in, checked records out, every problem told at once.

Holds the base class of all settings, loading with `--set` overrides, and complete saving. Knows no setting by name.
"""

import difflib
import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from attento.errors import ConfigError

if TYPE_CHECKING:
    import yaml


class Settings(BaseModel):
    """Base of every group of settings: frozen, unknown keys refused, defaults checked too."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


SettingsT = TypeVar("SettingsT", bound=Settings)


def load_settings(kind: type[SettingsT], path: Path, overrides: Sequence[str] = ()) -> SettingsT:
    """Load settings of one kind from a YAML file, then apply `key.path=value` overrides.

    Raises:
        ConfigError: the file is missing, is not YAML, or any setting is wrong (all problems in one message).
    """
    tree = apply_overrides(read_yaml(path), overrides)
    return check_settings(kind, tree, origin=str(path))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Raises:
        ConfigError: the file is missing, unreadable, not YAML or not a mapping.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file{_near_files(path)}") from None
    except OSError as problem:
        raise ConfigError(f"{path}: cannot be read: {problem}") from problem
    return parse_yaml(content, origin=str(path))


def parse_json(content: bytes, origin: str) -> dict[str, Any]:
    """Read JSON whose top level is a mapping; `origin` is for messages alone. Far quicker than YAML.

    Raises:
        ConfigError: it is not JSON or not a mapping.
    """
    try:
        tree = json.loads(content)
    except ValueError as problem:
        raise ConfigError(f"{origin}: is not valid JSON: {problem}") from problem
    return _expect_mapping(tree, origin)


def parse_yaml(content: bytes, origin: str) -> dict[str, Any]:
    """Read YAML whose top level is a mapping; `origin` is for messages alone.

    Raises:
        ConfigError: it is not UTF-8, not YAML or not a mapping.
    """
    import yaml

    try:
        tree = yaml.load(content.decode("utf-8"), _strict_loader())
    except UnicodeDecodeError as problem:
        raise ConfigError(f"{origin}: cannot be read: {problem}") from problem
    except yaml.YAMLError as problem:
        raise ConfigError(f"{origin}: is not valid YAML: {problem}") from problem
    return _expect_mapping(tree, origin)


def _expect_mapping(tree: object, origin: str) -> dict[str, Any]:
    if tree is None:
        raise ConfigError(f"{origin}: is empty, but must hold a mapping of settings")
    if not isinstance(tree, dict):
        raise ConfigError(f"{origin}: must hold a mapping of settings, but holds {type(tree).__name__}")
    return tree


def apply_overrides(tree: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a copy of a settings tree with each `a.b.c=value` written into it; values are read as YAML.

    Raises:
        ConfigError: an override has no `=`, an empty key, a value that is not YAML, or goes through a plain value.
    """
    import yaml

    result = _copy_tree(tree)
    for override in overrides:
        key, equals, text = override.partition("=")
        path = key.strip().split(".")
        if not equals or not all(path):
            raise ConfigError(f"--set {override}: must look like training.max_steps=500")
        try:
            value = yaml.load(text, _strict_loader())
        except yaml.YAMLError as problem:
            raise ConfigError(f"--set {override}: the value is not valid YAML: {problem}") from problem
        *parents, leaf = path
        node = result
        for parent in parents:
            if node.get(parent) is None:  # not there, or there and empty
                node[parent] = {}
            node = node[parent]
            if isinstance(node, list):
                raise ConfigError(f"--set {override}: `{parent}` is a list; change it in the file")
            if not isinstance(node, dict):
                raise ConfigError(f"--set {override}: `{parent}` is a plain value and has no settings inside")
        node[leaf] = value
    return result


def check_settings(kind: type[SettingsT], tree: Mapping[str, Any], origin: str) -> SettingsT:
    """Turn a tree of plain values into checked settings.

    Raises:
        ConfigError: lists every unknown key (with the nearest known one) and every wrong value.
    """
    try:
        return kind.model_validate(dict(tree))
    except ValidationError as problem:
        lines = [_explain(kind, error) for error in _causes(problem.errors())]
        raise ConfigError(f"{origin}: " + ("\n  " if len(lines) > 1 else "") + "\n  ".join(lines)) from None


def dump_settings(settings: Settings) -> str:
    """Return settings as YAML, complete: every default is written out."""
    import yaml

    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def suggest(word: str, known: Sequence[str]) -> str:
    """Return ' (did you mean `x`?)' for the nearest known word, or what is known where none is near."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" (did you mean `{near[0]}`?)" if near else f" (known: {', '.join(known)})"


@cache
def _strict_loader() -> "type[yaml.SafeLoader]":
    import yaml

    class Loader(yaml.SafeLoader):
        """Plain values only; a key that stands twice is refused, where YAML's own loader forgets the first."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"`{key.value}` stands twice", problem_mark=key.start_mark)
                seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
            return super().construct_mapping(node, deep)

    return Loader


def _causes(errors: Sequence[Any]) -> list[Any]:
    """Leave out that a list is too short where that only follows from what is wrong with its items."""
    places = [tuple(error["loc"]) for error in errors]
    return [
        error
        for error, place in zip(errors, places, strict=True)
        if error["type"] != "too_short" or not any(each[:-1][: len(place)] == place for each in places)
    ]


def _explain(kind: type[Settings], error: Any) -> str:
    path, kinds = _follow(kind, error["loc"])
    known = sorted({name for each in kinds for name in each.model_fields})
    given = error["input"]
    if error["type"] == "extra_forbidden":
        places = list(_places(kind, path[0])) if len(path) == 1 else []
        others = [name for name in known if name != path[-1]]
        mend = f" (did you mean `{places[0]}`?)" if places else suggest(path[-1], others)
        return f"unknown setting `{'.'.join(path)}`{mend}"
    if error["type"] == "missing":
        return f"setting `{'.'.join(path)}` is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "model_type":
        message = f"must hold settings (known: {', '.join(known)})"
    elif error["type"] == "tuple_type":
        message = "must be a list"
    elif error["type"] == "too_short":
        message = f"must hold {error['ctx']['min_length']} or more"
    elif error["type"] == "string_type" and isinstance(given, bool | int | float):
        message = "must be text; put it in quotes if that is what is meant"
    if not path:
        return message
    shown = "" if isinstance(given, dict) else f", but got {'nothing' if given is None else repr(given)}"
    return f"`{'.'.join(path)}`: {message[:1].lower() + message[1:]}{shown}"


def _places(kind: type[Settings], name: str, prefix: str = "") -> Iterator[str]:
    """Yield the paths of all settings of this name."""
    for field_name, field in kind.model_fields.items():
        if field_name == name:
            yield prefix + name
        for inner in _settings_in(field.annotation):
            yield from _places(inner, name, f"{prefix}{field_name}.")


def _follow(kind: type[Settings], location: Sequence[str | int]) -> tuple[list[str], list[type[Settings]]]:
    """Follow pydantic's location of a problem: the path as the file has it, and the kinds of settings it ends in."""
    path, kinds = [], [kind]
    for part in location:
        tagged = [each for each in kinds if any(get_args(f.annotation) == (part,) for f in each.model_fields.values())]
        if len(kinds) > 1 and tagged:
            # The value of a tagged union's tag is no key of the file.
            kinds = tagged
            continue
        path.append(str(part))
        fields = [each.model_fields[part] for each in kinds if part in each.model_fields]
        # A list index and an unknown key lead nowhere by name: stay with the kinds we have.
        kinds = [inner for field in fields for inner in _settings_in(field.annotation)] or kinds
    return path, kinds


def _settings_in(annotation: Any) -> Iterator[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, list, tuple, dict) or get_args(annotation):
        for inner in get_args(annotation):
            yield from _settings_in(inner)


def _copy_tree(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy_tree(value) if isinstance(value, Mapping) else value for key, value in tree.items()}


def _near_files(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (the folder {path.parent} does not exist either)"
    near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()], n=1)
    return f" (did you mean `{near[0]}`?)" if near else ""
