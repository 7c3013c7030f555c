"""Settings of others: what is not there has a default, and what ours cannot do is noted, all of it."""

from pathlib import Path

import pytest

from attento.errors import DataError
from attento.interop.foreign_config import ForeignConfig


def config(**values: object) -> ForeignConfig:
    return ForeignConfig(values, Path("config.json"))


def test_what_is_left_out_or_null_has_the_default() -> None:
    read = config(width=7, depth=None, zero=0)
    assert (read.get("width", 3), read.get("depth", 3), read.get("heads", 3), read.get("zero", 3)) == (7, 3, 3, 0)
    assert read.get("heads") is None


@pytest.mark.parametrize("value", ["7", 7.0, -1, True, [7]])
def test_what_must_be_a_number(value: object) -> None:
    assert (config(rows=7).number("rows", 3), config(rows=None).number("rows", 3)) == (7, 3)
    with pytest.raises(DataError, match=r"^config\.json: `rows` must be a whole number, but is "):
        config(rows=value).number("rows", 3)


def test_everything_that_cannot_be_is_noted() -> None:
    read = config(act="tanh", norm=True, architectures=["BartForQuestionAnswering", "BartModel"])
    assert read.need("width") is None
    read.expect("act", "relu", "gelu", default="relu")
    read.expect("norm", False, default=False)
    read.expect("bias", True, default=True)
    read.expect_architecture("BartModel", "BartForConditionalGeneration")
    assert read.problems == [
        "`width` is missing",
        "`act: tanh` is not supported; only relu or gelu",
        "`norm: True` is not supported; only False",
        "`architectures: BartForQuestionAnswering` is not supported; only BartModel or BartForConditionalGeneration",
    ]


def test_default_that_cannot_be_is_noted_too() -> None:
    read = config()
    read.expect("act", "relu", default="gelu")
    assert read.problems == ["`act: gelu` is not supported; only relu"]


def test_nothing_named_is_no_problem() -> None:
    read = config(width=7)
    assert read.need("width") == 7
    read.expect_architecture("BartModel")
    assert read.problems == []


def test_a_setting_of_another_kind_than_its_default_is_noted() -> None:
    read = config(width="7", rate=1, act=["relu"], norm=0, rope_scaling=3)
    assert (read.get("width", 3), read.get("rate", 0.5), read.get("rope_scaling", {})) == (3, 1, {})
    read.expect("act", "relu", default="relu")
    read.expect("norm", False, default=False)
    read.expect_architecture("BartModel")
    assert read.problems == [
        "`width: 7` must be a whole number",
        "`rope_scaling: 3` must be an object with names and values",
        "`act: ['relu']` must be a text",
        "`norm: 0` must be true or false",
    ]
