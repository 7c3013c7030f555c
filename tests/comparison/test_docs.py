"""The page on comparisons: its example is a good recipe, its table of settings is true."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import PydanticUndefined

from attento.comparison.config import BudgetConfig, MeasureConfig
from attento.comparison.recipe import load_comparison
from attento.config import Settings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "compare.md").read_text(encoding="utf-8")


def settings(kind: type[Settings], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, field in kind.model_fields.items():
        if isinstance(field.default, Settings):
            yield from settings(type(field.default), f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}", field.default


def test_the_example_is_a_good_recipe(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "ladder.yaml"
    path.write_text(example)
    comparison = load_comparison(path, tmp_path)
    assert list(comparison.systems) == ["lstm", "transformer"]
    assert comparison.systems["lstm"].training.schedule.peak == 0.001
    assert comparison.config.measure.recall is None


def test_the_table_of_settings_is_true() -> None:
    told = dict(re.findall(r"^\| `([\w.]+)` \| (.*?) \| ", PAGE, re.MULTILINE))
    there = {**dict(settings(BudgetConfig, "budget")), **dict(settings(MeasureConfig, "measure"))}
    assert told.keys() - there.keys() == {"systems.NAME.model", "systems.NAME.training", "systems.NAME.search"}
    assert there.keys() <= told.keys()
    for name, default in there.items():
        if default is None or default is PydanticUndefined or isinstance(default, dict):
            continue
        value = list(default) if isinstance(default, tuple) else default
        assert yaml.safe_load(told[name].strip("`")) == value, name
