"""Settings as frozen dataclasses: pydantic checks them in a recipe, and is not needed where all is as it should be.

To import pydantic takes longer than to translate a sentence. What a setting must be is told once, for both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from operator import ge, gt, le
from typing import Any, ClassVar, TypeVar, get_args

_LIMITS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "gt": (gt, "input should be greater than {}"),
    "ge": (ge, "input should be greater than or equal to {}"),
    "le": (le, "input should be less than or equal to {}"),
    "allow_inf_nan": (lambda value, allowed: allowed or isfinite(value), "input should be a finite number"),
}


@dataclass(frozen=True)
class PlainSettings:
    """Base of a group of plain settings: every value is checked by the type and the limits of its field.

    Raises:
        ValueError: a value is not of its type, or outside its limits.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for each in fields(self):
            value, types = getattr(self, each.name), get_args(each.type) or (each.type,)
            if float in types and type(value) is int:
                value = float(value)
                object.__setattr__(self, each.name, value)
            # To Python a truth value is a whole number.
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                raise ValueError(
                    f"`{each.name}`: must be {' or '.join(kind.__name__ for kind in types)}, but got {value!r}"
                )
            limits = {} if value is None else {name: each.metadata[name] for name in _LIMITS if name in each.metadata}
            for name, limit in limits.items():
                holds, words = _LIMITS[name]
                if not holds(value, limit):
                    raise ValueError(f"`{each.name}`: {words.format(limit)}, but got {value!r}")


PlainT = TypeVar("PlainT", bound=PlainSettings)


def setting(default: Any, description: str, **limits: float) -> Any:
    """Return a field of plain settings.

    Args:
        default: its value where none is given.
        description: what it means.
        limits: `gt`, `ge`, `le` and `allow_inf_nan`, as to pydantic's `Field`, which finds them here too.
    """
    return field(default=default, metadata={"description": description, **limits})


def read_settings(kind: type[PlainT], tree: Mapping[str, Any], origin: str) -> PlainT:
    """Turn a tree of plain values into settings, as `config.check_settings`, which tells what is wrong with them.

    Raises:
        ConfigError: lists every unknown key (with the nearest known one) and every wrong value.
    """
    try:
        return _build(kind, tree)
    except (TypeError, ValueError):
        from attento.config import check_settings

        return check_settings(kind, tree, origin)


def _build(kind: type[PlainT], tree: Mapping[str, Any]) -> PlainT:
    """Make settings of a tree in which nothing is wrong.

    Raises:
        TypeError: a setting is missing or unknown.
        ValueError: a value is wrong.
    """
    types = {each.name: get_args(each.type) or (each.type,) for each in fields(kind)}
    if kind.__pydantic_config__["extra"] == "ignore":
        tree = {name: value for name, value in tree.items() if name in types}
    values = dict(tree)
    for name, value in tree.items():
        inner = [each for each in types.get(name, ()) if issubclass(each, PlainSettings)]
        if inner and isinstance(value, Mapping):
            values[name] = _build(inner[0], value)
    return kind(**values)
