"""Plain settings: what pydantic would say of them, without it where nothing is wrong."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass
from typing import Any, ClassVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attento.config import check_settings
from attento.errors import ConfigError
from attento.plain_settings import PlainSettings, read_settings, setting


@dataclass(frozen=True)
class Hive(PlainSettings):
    bees: int = setting(11, "how many", gt=0)
    frames: int | None = setting(None, "how many", ge=2, le=13)
    honey: float = setting(0.5, "kilograms", ge=0, allow_inf_nan=False)


@dataclass(frozen=True)
class Meadow(PlainSettings):
    name: str
    hive: Hive = setting(Hive(), "the one hive")
    spare_hive: Hive | None = setting(None, "another one")


@dataclass(frozen=True)
class PartOfMeadow(PlainSettings):
    __pydantic_config__: ClassVar[Any] = {"extra": "ignore"}

    name: str
    hive: Hive = setting(Hive(), "the one hive")


def said(read: Any, kind: type, tree: dict[Any, Any]) -> tuple[Any, str]:
    try:
        return read(kind, tree, "meadow.yaml"), ""
    except ConfigError as problem:
        return None, str(problem)


NUMBERS = st.one_of(st.integers(-3, 17), st.floats(), st.none(), st.booleans(), st.sampled_from(["7", "bees", [], {}]))
HIVES = st.dictionaries(st.sampled_from(["bees", "frames", "honey", "beees", 7]), NUMBERS)
TREES = st.dictionaries(
    st.sampled_from(["name", "hive", "spare_hive", "hives"]), st.one_of(st.just("Au"), NUMBERS, HIVES)
)


@given(tree=TREES)
@example({"name": "Au", "hive": {"bees": 3, "frames": 5, "honey": 1}, "spare_hive": {}})
@example({"name": "Au", "hive": {"bees": True}})
def test_they_are_read_and_refused_as_by_pydantic(tree: dict[Any, Any]) -> None:
    for kind in (Meadow, PartOfMeadow):
        found, expected = said(read_settings, kind, tree), said(check_settings, kind, tree)
        assert found == expected
        assert repr(found) == repr(expected)


def test_right_ones_are_read_without_pydantic() -> None:
    code = (
        "import sys\n"
        "from attento.decoding.config import SamplingConfig, SearchConfig\n"
        "from attento.plain_settings import read_settings\n"
        "tree = {'beam_size': 3, 'length_penalty': 1, 'sampling': {'temperature': 0.7, 'top_k': None}}\n"
        "read = read_settings(SearchConfig, tree, 'recipe.yaml')\n"
        "assert read == SearchConfig(beam_size=3, length_penalty=1.0, sampling=SamplingConfig(temperature=0.7))\n"
        "sys.exit(', '.join({'pydantic', 'yaml', 'torch'} & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_wrong_is_told_by_name() -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings(Meadow, {"hive": {"bees": 0, "hnoey": 3}}, "meadow.yaml")
    first, *lines = str(caught.value).split("\n")
    assert first == "meadow.yaml: "
    assert sorted(line.strip() for line in lines) == [
        "`hive.bees`: input should be greater than 0, but got 0",
        "setting `name` is missing",
        "unknown setting `hive.hnoey` (did you mean `honey`?)",
    ]


def test_what_is_others_is_left_to_them() -> None:
    assert read_settings(PartOfMeadow, {"name": "Au", "fence": 3}, "meadow.yaml") == PartOfMeadow("Au")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"bees": 0}, "`bees`: input should be greater than 0, but got 0"),
        ({"bees": None}, "`bees`: must be int, but got None"),
        ({"bees": True}, "`bees`: must be int, but got True"),
        ({"bees": 3.0}, "`bees`: must be int, but got 3.0"),
        ({"frames": 1}, "`frames`: input should be greater than or equal to 2, but got 1"),
        ({"frames": 17}, "`frames`: input should be less than or equal to 13, but got 17"),
        ({"frames": "7"}, "`frames`: must be int or NoneType, but got '7'"),
        ({"honey": float("nan")}, "`honey`: input should be greater than or equal to 0, but got nan"),
        ({"honey": float("inf")}, "`honey`: input should be a finite number, but got inf"),
    ],
)
def test_wrong_values_are_refused_when_they_are_made(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError) as caught:
        Hive(**given)
    assert str(caught.value) == told


def test_a_whole_number_may_stand_for_a_real_one() -> None:
    honey = Hive(honey=3).honey
    assert (honey, type(honey)) == (3.0, float)


def test_they_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Hive().bees = 3  # type: ignore[misc]
