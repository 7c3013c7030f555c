"""Settings: what is wrong is told by the name that stands in the file, all of it at once."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field, PositiveInt, ValidationError, model_validator

from attento.config import (
    Settings,
    apply_overrides,
    check_settings,
    dump_settings,
    load_settings,
    read_yaml,
    suggest,
)
from attento.errors import ConfigError


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


class Farm(Settings):
    name: str = "Ñandú"
    hens: PositiveInt = 11
    soil: Soil = Soil()
    spare_soil: Soil | None = None
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


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("hens=7", {"hens": 7}),
        ("soil.acidity=6.5", {"soil": {"acidity": 6.5, "depth": 2}}),
        ("soil.acidity = 6.5", {"soil": {"acidity": 6.5, "depth": 2}}),
        ("a.b.c=true", {"a": {"b": {"c": True}}}),
        ("name=null", {"name": None}),
        ("name=", {"name": None}),
        ("name='7'", {"name": "7"}),
        ("name=a=b", {"name": "a=b"}),
        ("crates=[{fruit: fig}, {fruit: kiwi}]", {"crates": [{"fruit": "fig"}, {"fruit": "kiwi"}]}),
        ("soil={acidity: 3}", {"soil": {"acidity": 3}}),
        ("empty.depth=2", {"empty": {"depth": 2}}),
    ],
)
def test_overrides_are_paths_and_yaml(override: str, expected: dict[str, Any]) -> None:
    tree = {"hens": 3, "soil": {"acidity": 7, "depth": 2}, "empty": None}
    assert apply_overrides(tree, [override]) == tree | expected


def test_the_last_override_holds_and_the_tree_given_is_left_alone() -> None:
    tree = {"soil": {"acidity": 7}}
    assert apply_overrides(tree, ["soil.acidity=1", "soil.acidity=2", "soil.depth=3"]) == {
        "soil": {"acidity": 2, "depth": 3}
    }
    assert tree == {"soil": {"acidity": 7}}


@pytest.mark.parametrize("override", ["hens", "=3", " =3", "", "soil..acidity=3", ".hens=3", "soil.=3"])
def test_overrides_without_a_key_or_a_value_are_refused(override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_overrides({}, [override])
    assert str(caught.value) == f"--set {override}: must look like training.max_steps=500"


def test_overrides_that_are_not_yaml_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"--set hens=\[1: the value is not valid YAML"):
        apply_overrides({}, ["hens=[1"])


@pytest.mark.parametrize(("brown", "why"), [(3, "is a plain value and has no settings inside"), ([1, 2], "is a list")])
def test_overrides_through_what_is_no_group_are_refused(brown: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"--set hens\.brown\.old=3: `brown` {why}"):
        apply_overrides({"hens": {"brown": brown}}, ["hens.brown.old=3"])


def test_a_file_is_loaded_with_overrides_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "farm.yaml"
    path.write_text("name: Süd\nsoil:\n  acidity: 6\n", encoding="utf-8")
    farm = load_settings(Farm, path, ["hens=7", "land.plant=orchard", "soil.acidity=1e-3"])
    assert (farm.name, farm.hens, farm.soil.acidity, farm.land) == ("Süd", 7, 0.001, Orchard())
    with pytest.raises(ConfigError) as caught:
        load_settings(Farm, path, ["hnes=7"])
    assert str(caught.value) == f"{path}: unknown setting `hnes` (did you mean `hens`?)"


def test_a_missing_file_is_told_with_a_near_name(tmp_path: Path) -> None:
    (tmp_path / "multi30k-de-en.yaml").write_text("a: 1")
    path = tmp_path / "multi30k-de-en.yml"
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(caught.value) == f"{path}: no such file (did you mean `multi30k-de-en.yaml`?)"
    with pytest.raises(ConfigError, match=r"zzz: no such file$"):
        read_yaml(tmp_path / "zzz")
    nowhere = tmp_path / "recipes" / "farm.yaml"
    with pytest.raises(ConfigError) as caught:
        read_yaml(nowhere)
    assert str(caught.value) == f"{nowhere}: no such file (the folder {nowhere.parent} does not exist either)"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a: [1, 2", "is not valid YAML: "),
        (b"a: !!python/object:os.system {}", "is not valid YAML: "),
        (b"\xff\xfe\xfa", "cannot be read: "),
        (b"- 1\n- 2\n", "must hold a mapping of settings, but holds list"),
        (b"only words", "must hold a mapping of settings, but holds str"),
        (b"", "is empty, but must hold a mapping of settings"),
        (b"a: 1\nb: {c: 1, c: 2}\n", "is not valid YAML: `c` stands twice"),
    ],
)
def test_files_that_are_no_mapping_are_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "farm.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}: {expected}")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: .*directory"):
        read_yaml(tmp_path)


@pytest.mark.parametrize(
    "farm",
    [
        Farm(),
        Farm(hens=7, soil=Soil(acidity=float("0.1")), spare_soil=Soil(), land=Orchard(trees=13)),
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


def test_suggestions() -> None:
    assert suggest("hnes", ["geese", "hens"]) == " (did you mean `hens`?)"
    assert suggest("xyz", ["geese", "hens"]) == " (known: geese, hens)"
