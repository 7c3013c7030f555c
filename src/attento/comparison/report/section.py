"""What a report is made of, in no form yet."""

from dataclasses import dataclass
from typing import Any

from attento.comparison.results import Quantity


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


def with_spread(quantity: Quantity | None, scale: float = 1.0) -> str:
    """Return a quantity as `28.11 [26.9, 29.3]`, in units of 1/scale."""
    if quantity is None:
        return NOTHING
    shown = number(quantity.value * scale)
    if quantity.low is None or quantity.high is None:
        return shown
    return f"{shown} [{number(quantity.low * scale)}, {number(quantity.high * scale)}]"
