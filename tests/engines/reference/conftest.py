"""What the packed file of a model says in numpy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attento.engines.reference.engine import ReferenceEngine


@pytest.fixture
def pack(packed: Callable[..., Path]) -> Callable[..., ReferenceEngine]:
    """Write a model into a file, in numbers of some kind, and load that."""

    def write(*model: Any) -> ReferenceEngine:
        return ReferenceEngine.load(packed(*model))

    return write
