"""Strict configuration: YAML in, checked records out, every problem told at once.

Holds the base class of most settings, loading with `--set` overrides, and complete saving. Knows no setting by name.
Settings that are needed where pydantic takes too long to import are dataclasses: see `plain_settings`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from attento.errors import ConfigError
from attento.setting_trees import apply_overrides, read_yaml, suggest


class Settings(BaseModel):
    """Base of a group of settings: frozen, unknown keys refused, defaults checked too."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


SettingsT = TypeVar("SettingsT")
"""Settings, or a dataclass of `plain_settings`."""


def load_settings(kind: type[SettingsT], path: Path, overrides: Sequence[str] = ()) -> SettingsT:
    """Load settings of one kind from a YAML file, then apply `key.path=value` overrides.

    Raises:
        ConfigError: the file is missing, is not YAML, or any setting is wrong (all problems in one message).
    """
    tree = apply_overrides(read_yaml(path), overrides)
    return check_settings(kind, tree, origin=str(path))


def check_settings(kind: type[SettingsT], tree: Mapping[str, Any], origin: str) -> SettingsT:
    """Turn a tree of plain values into checked settings.

    Raises:
        ConfigError: lists every unknown key (with the nearest known one) and every wrong value.
    """
    try:
        return TypeAdapter(kind).validate_python(dict(tree))
    except ValidationError as problem:
        lines = [_explain(kind, error) for error in _causes(problem.errors())]
        raise ConfigError(f"{origin}: " + ("\n  " if len(lines) > 1 else "") + "\n  ".join(lines)) from None


def dump_settings(settings: Settings) -> str:
    """Return settings as YAML, complete: every default is written out."""
    import yaml

    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def _causes(errors: Sequence[Any]) -> list[Any]:
    """Leave out that a list is too short where that only follows from what is wrong with its items."""
    places = [tuple(error["loc"]) for error in errors]
    return [
        error
        for error, place in zip(errors, places, strict=True)
        if error["type"] != "too_short" or not any(each[:-1][: len(place)] == place for each in places)
    ]


def _explain(kind: type, error: Any) -> str:
    path, kinds = _follow(kind, error["loc"])
    known = sorted({name for each in kinds for name in _annotations(each)})
    given = error["input"]
    # Of models, and of dataclasses.
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        places = list(_places(kind, path[0])) if len(path) == 1 else []
        others = [name for name in known if name != path[-1]]
        mend = f" (did you mean `{places[0]}`?)" if places else suggest(path[-1], others)
        return f"unknown setting `{'.'.join(path)}`{mend}"
    if error["type"] == "missing":
        return f"setting `{'.'.join(path)}` is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] in ("model_type", "dataclass_type"):
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


def _places(kind: type, name: str, prefix: str = "") -> Iterator[str]:
    """Yield the paths of all settings of this name."""
    for field_name, annotation in _annotations(kind).items():
        if field_name == name:
            yield prefix + name
        for inner in _settings_in(annotation):
            yield from _places(inner, name, f"{prefix}{field_name}.")


def _follow(kind: type, location: Sequence[str | int]) -> tuple[list[str], list[type]]:
    """Follow pydantic's location of a problem: the path as the file has it, and the kinds of settings it ends in."""
    path, kinds = [], [kind]
    for part in location:
        tagged = [each for each in kinds if any(get_args(a) == (part,) for a in _annotations(each).values())]
        if len(kinds) > 1 and tagged:
            # The value of a tagged union's tag is no key of the file.
            kinds = tagged
            continue
        path.append(str(part))
        annotations = [_annotations(each)[part] for each in kinds if part in _annotations(each)]
        # A list index and an unknown key lead nowhere by name: stay with the kinds we have.
        kinds = [inner for annotation in annotations for inner in _settings_in(annotation)] or kinds
    return path, kinds


def _settings_in(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type) and (issubclass(annotation, Settings) or is_dataclass(annotation)):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, list, tuple, dict) or get_args(annotation):
        for inner in get_args(annotation):
            yield from _settings_in(inner)


def _annotations(kind: Any) -> dict[Any, Any]:
    """Return what every setting of a kind may be, by its name."""
    if is_dataclass(kind):
        return {field.name: field.type for field in fields(kind)}
    return {name: field.annotation for name, field in kind.model_fields.items()}
