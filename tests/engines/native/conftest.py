"""Packed models in the native engine, and in numpy beside it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attento.engines.native import NativeEngine


@pytest.fixture
def shape() -> dict[str, int]:
    """Sizes that fill no panel, and heads as the engine takes them: of multiples of 8."""
    return {"d_model": 19, "num_heads": 6, "d_key": 8, "d_value": 16, "d_ff": 23}


@pytest.fixture
def load(packed: Callable[..., Path]) -> Callable[..., NativeEngine]:
    """Write a model into a file, in numbers of some kind, and load that."""

    def write(*model: Any, threads: int = 1, **settings: Any) -> NativeEngine:
        return NativeEngine.load(packed(*model), threads=threads, **settings)

    return write
