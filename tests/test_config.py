"""Settings: what is wrong is told by the name that stands in the file, all of it at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field, PositiveInt, ValidationError, model_validator

from attento.config import Settings, check_settings, dump_settings, load_settings
from attento.errors import ConfigError
from attento.plain_settings import PlainSettings, setting


class Garden(Settings):
    plant: Literal["garden"] = "garden"
    beds: PositiveInt = 3


class Orchard(Settings):
    plant: Literal["orchard"] = "orchard"
    trees: PositiveInt = 5
    soil: "Soil" = Field(default_factory=lambda: Soil())


class Soil(Settings):
    acidity: float = Field(7.0, ge=0, le=14)


class Crate(Settings):
    fruit: str
    weight: float = 1.0


@dataclass(frozen=True)
class Reed(PlainSettings):
    height: float = setting(1.5, "metres", gt=0)


@dataclass(frozen=True)
class Pond(PlainSettings):
    fish: int = setting(17, "how many", ge=0, le=100)
    reed: Reed | None = setting(None, "what grows in it")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fish == 13:
            raise ValueError("`fish` must not be 13")


class Farm(Settings):
    name: str = "Ñandú"
    hens: PositiveInt = 11
    soil: Soil = Soil()
    spare_soil: Soil | None = None
    pond: Pond = Pond()
    crates: tuple[Crate, ...] = ()
    land: Annotated[Garden | Orchard, Field(discriminator="plant")] = Garden()
    lands: tuple[Annotated[Garden | Orchard, Field(discriminator="plant")], ...] = ()

    @model_validator(mode="after")
    def _hens_have_room(self) -> "Farm":
        if self.hens > 100:
            raise ValueError(f"`hens` must be 100 at most, but got hens={self.hens}")
        return self


Orchard.model_rebuild()


def message(tree: dict[Any, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        check_settings(Farm, tree, origin="farm.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"hnes": 3}, "unknown setting `hnes` (did you mean `hens`?)"),
        ({"acidity": 3}, "unknown setting `acidity` (did you mean `soil.acidity`?)"),
        ({"soil": {"acidty": 3}}, "unknown setting `soil.acidty` (did you mean `acidity`?)"),
        ({"spare_soil": {"acidty": 3}}, "unknown setting `spare_soil.acidty` (did you mean `acidity`?)"),
        ({"height": 3}, "unknown setting `height` (did you mean `pond.reed.height`?)"),
        ({"pond": {"fsh": 3}}, "unknown setting `pond.fsh` (did you mean `fish`?)"),
        ({"pond": {"reed": {"xyz": 3}}}, "unknown setting `pond.reed.xyz` (known: height)"),
        (
            {"crates": [{"fruit": "fig"}, {"fruit": "fig", "wieght": 2}]},
            "unknown setting `crates.1.wieght` (did you mean `weight`?)",
        ),
        ({"crates": [{"fruit": "fig", "xyz": 2}]}, "unknown setting `crates.0.xyz` (known: fruit, weight)"),
        ({"land": {"plant": "orchard", "tres": 2}}, "unknown setting `land.tres` (did you mean `trees`?)"),
        ({"land": {"plant": "garden", "trees": 2}}, "unknown setting `land.trees` (known: beds, plant)"),
        (
            {"land": {"plant": "orchard", "soil": {"acidty": 2}}},
            "unknown setting `land.soil.acidty` (did you mean `acidity`?)",
        ),
        (
            {"lands": [{"plant": "garden"}, {"plant": "garden", "bed": 2}]},
            "unknown setting `lands.1.bed` (did you mean `beds`?)",
        ),
    ],
)
def test_unknown_keys_are_refused_at_any_depth_with_the_nearest_known(tree: dict[str, Any], expected: str) -> None:
    assert message(tree) == f"farm.yaml: {expected}"


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"hens": 0}, "`hens`: input should be greater than 0, but got 0"),
        ({"soil": {"acidity": 15}}, "`soil.acidity`: input should be less than or equal to 14, but got 15"),
        ({"crates": [{}]}, "setting `crates.0.fruit` is missing"),
        ({"lands": [{"plant": "orchard", "trees": -1}]}, "`lands.0.trees`: input should be greater than 0, but got -1"),
        ({"hens": 101}, "`hens` must be 100 at most, but got hens=101"),
        ({"soil": 7}, "`soil`: must hold settings (known: acidity), but got 7"),
        ({"soil": None}, "`soil`: must hold settings (known: acidity), but got nothing"),
        ({"pond": {"fish": 101}}, "`pond.fish`: input should be less than or equal to 100, but got 101"),
        ({"pond": {"fish": 13}}, "`pond`: `fish` must not be 13"),
        ({"pond": {"reed": {"height": 0}}}, "`pond.reed.height`: input should be greater than 0, but got 0"),
        ({"pond": 7}, "`pond`: must hold settings (known: fish, reed), but got 7"),
        ({"pond": None}, "`pond`: must hold settings (known: fish, reed), but got nothing"),
        ({"crates": "fig"}, "`crates`: must be a list, but got 'fig'"),
        ({"name": False}, "`name`: must be text; put it in quotes if that is what is meant, but got False"),
        ({"soil": {7: 3}}, "`soil.7`: keys should be strings, but got 7"),
    ],
)
def test_wrong_values_are_refused_by_name(tree: dict[Any, Any], expected: str) -> None:
    assert message(tree) == f"farm.yaml: {expected}"


def test_an_unknown_tag_is_told_with_the_known_ones() -> None:
    told = message({"land": {"plant": "lawn"}})
    assert told.startswith("farm.yaml: `land`: ")
    assert all(word in told for word in ("'plant'", "'lawn'", "'garden'", "'orchard'"))


def test_all_problems_are_told_at_once() -> None:
    told = message({"hnes": 3, "hens": 0, "crates": [{"wieght": 2}], "soil": {"acidity": "sour"}})
    first, *lines = told.split("\n")
    assert first == "farm.yaml: "
    assert sorted(line.strip() for line in lines) == [
        "`hens`: input should be greater than 0, but got 0",
        "`soil.acidity`: input should be a valid number, unable to parse string as a number, but got 'sour'",
        "setting `crates.0.fruit` is missing",
        "unknown setting `crates.0.wieght` (did you mean `weight`?)",
        "unknown setting `hnes` (did you mean `hens`?)",
    ]


def test_a_list_is_not_called_too_short_for_what_is_wrong_inside() -> None:
    class Barn(Settings):
        crates: tuple[Crate, ...] = Field(min_length=1)

    def told(crates: list[Any]) -> str:
        with pytest.raises(ConfigError) as caught:
            check_settings(Barn, {"crates": crates}, origin="barn.yaml")
        return str(caught.value)

    assert told([{"fruit": 3}]).count("\n") == 0
    assert "crates.0.fruit" in told([{"fruit": 3}])
    assert told([]) == "barn.yaml: `crates`: must hold 1 or more, but got []"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Farm().hens = 3  # type: ignore[misc]


def test_defaults_are_checked_too() -> None:
    class Wrong(Settings):
        hens: PositiveInt = -1

    with pytest.raises(ConfigError, match="`hens`: input should be greater than 0, but got -1"):
        check_settings(Wrong, {}, origin="farm.yaml")


def test_a_file_is_loaded_with_overrides_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "farm.yaml"
    path.write_text("name: Süd\nsoil:\n  acidity: 6\n", encoding="utf-8")
    farm = load_settings(Farm, path, ["hens=7", "land.plant=orchard", "soil.acidity=1e-3"])
    assert (farm.name, farm.hens, farm.soil.acidity, farm.land) == ("Süd", 7, 0.001, Orchard())
    with pytest.raises(ConfigError) as caught:
        load_settings(Farm, path, ["hnes=7"])
    assert str(caught.value) == f"{path}: unknown setting `hnes` (did you mean `hens`?)"


@pytest.mark.parametrize(
    "farm",
    [
        Farm(),
        Farm(hens=7, soil=Soil(acidity=float("0.1")), spare_soil=Soil(), land=Orchard(trees=13)),
        Farm(pond=Pond(fish=5, reed=Reed(height=2))),
        Farm(name="no: #1 'x'\n", crates=(Crate(fruit="fig"), Crate(fruit="null", weight=1e-9)), lands=(Orchard(),)),
    ],
)
def test_what_is_saved_is_complete_and_loads_again(tmp_path: Path, farm: Farm) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(dump_settings(farm), encoding="utf-8")
    assert load_settings(Farm, path) == farm
    saved = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert list(saved) == list(Farm.model_fields)
    assert saved["soil"] == {"acidity": farm.soil.acidity}


def test_text_is_saved_as_it_is_read() -> None:
    assert "name: Ñandú\n" in dump_settings(Farm())
