"""The run-time type checker of the test suite: as mypy sees it, so that an int may stand where a float is wanted."""

from collections.abc import Callable
from typing import TypeVar

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep673Exception

AnyCallable = TypeVar("AnyCallable", bound=Callable[..., object])
_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check(checked: AnyCallable) -> AnyCallable:
    """Check the calls of a function or class against its annotations."""
    try:
        return _check(checked)
    except BeartypeDecorHintPep673Exception:
        # `Self` means nothing to beartype where it is given the methods one by one.
        return checked
