"""What a report is made of, in no form yet."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Grid:
    """A table: the first column names the rows, the others hold numbers or words."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    of_words: bool = False


@dataclass(frozen=True)
class Figure:
    """A figure as plotly.js takes it."""

    title: str
    traces: tuple[dict[str, Any], ...]
    x_title: str
    y_title: str
    logarithmic: bool = False
    """Whether both axes are."""


@dataclass(frozen=True)
class Section:
    """A heading, words, tables and figures; of a figure only the HTML form knows."""

    title: str
    words: str = ""
    grids: tuple[Grid, ...] = ()
    figures: tuple[Figure, ...] = ()


NOTHING = "-"
"""Stands where nothing was measured."""


def number(value: float | int | None) -> str:
    """Return a number with four digits that count, whole ones whole."""
    if value is None:
        return NOTHING
    if isinstance(value, int) or value.is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
