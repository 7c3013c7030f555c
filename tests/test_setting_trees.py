"""Trees of settings: read from files and changed by `--set`, and every file that is none told by its name."""

from pathlib import Path
from typing import Any

import pytest

from attento.errors import ConfigError
from attento.setting_trees import apply_overrides, read_yaml, suggest


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


def test_suggestions() -> None:
    assert suggest("hnes", ["geese", "hens"]) == " (did you mean `hens`?)"
    assert suggest("xyz", ["geese", "hens"]) == " (known: geese, hens)"
