"""A measured number with its spread, in words."""

from attento.comparison.results import Quantity
from attento.evaluation.report.section import NOTHING, number


def with_spread(quantity: Quantity | None, scale: float = 1.0) -> str:
    """Return a quantity as `28.11 [26.9, 29.3]`, in units of 1/scale."""
    if quantity is None:
        return NOTHING
    shown = number(quantity.value * scale)
    if quantity.low is None or quantity.high is None:
        return shown
    return f"{shown} [{number(quantity.low * scale)}, {number(quantity.high * scale)}]"
