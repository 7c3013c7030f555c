"""Runs of training begun from a recipe, and their weights compared."""

from pathlib import Path

import torch
from torch import Tensor

from attento.training.run import load_recipe, train


def run(recipe: Path, output: Path, *overrides: str, prepared: Path | None = None) -> tuple[bool, list[str]]:
    said: list[str] = []
    finished = train(load_recipe(recipe, recipe.parent, overrides, prepared), output, said.append)
    return finished, said


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    different = [name for name in expected if not torch.equal(found[name], expected[name])]
    assert different == []
