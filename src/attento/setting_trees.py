"""Settings as they stand in files: YAML or JSON in, trees of plain values out, with `--set` overrides; unchecked.

Needs no pydantic, and YAML's parser only where there is YAML.
"""

import difflib
import json
from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attento.errors import ConfigError

if TYPE_CHECKING:
    import yaml


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Raises:
        ConfigError: the file is missing, unreadable, not YAML or not a mapping.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file{_near_files(path)}") from None
    except OSError as problem:
        raise ConfigError(f"{path}: cannot be read: {problem}") from problem
    return parse_yaml(content, origin=str(path))


def parse_json(content: bytes, origin: str) -> dict[str, Any]:
    """Read JSON whose top level is a mapping; `origin` is for messages alone. Far quicker than YAML.

    Raises:
        ConfigError: it is not JSON or not a mapping.
    """
    try:
        tree = json.loads(content)
    except ValueError as problem:
        raise ConfigError(f"{origin}: is not valid JSON: {problem}") from problem
    return _expect_mapping(tree, origin)


def parse_yaml(content: bytes, origin: str) -> dict[str, Any]:
    """Read YAML whose top level is a mapping; `origin` is for messages alone.

    Raises:
        ConfigError: it is not UTF-8, not YAML or not a mapping.
    """
    import yaml

    try:
        tree = yaml.load(content.decode("utf-8"), _strict_loader())
    except UnicodeDecodeError as problem:
        raise ConfigError(f"{origin}: cannot be read: {problem}") from problem
    except yaml.YAMLError as problem:
        raise ConfigError(f"{origin}: is not valid YAML: {problem}") from problem
    return _expect_mapping(tree, origin)


def _expect_mapping(tree: object, origin: str) -> dict[str, Any]:
    if tree is None:
        raise ConfigError(f"{origin}: is empty, but must hold a mapping of settings")
    if not isinstance(tree, dict):
        raise ConfigError(f"{origin}: must hold a mapping of settings, but holds {type(tree).__name__}")
    return tree


def apply_overrides(tree: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a copy of a settings tree with each `a.b.c=value` written into it; values are read as YAML.

    Raises:
        ConfigError: an override has no `=`, an empty key, a value that is not YAML, or goes through a plain value.
    """
    import yaml

    result = _copy_tree(tree)
    for override in overrides:
        key, equals, text = override.partition("=")
        path = key.strip().split(".")
        if not equals or not all(path):
            raise ConfigError(f"--set {override}: must look like training.max_steps=500")
        try:
            value = yaml.load(text, _strict_loader())
        except yaml.YAMLError as problem:
            raise ConfigError(f"--set {override}: the value is not valid YAML: {problem}") from problem
        *parents, leaf = path
        node = result
        for parent in parents:
            if node.get(parent) is None:  # not there, or there and empty
                node[parent] = {}
            node = node[parent]
            if isinstance(node, list):
                raise ConfigError(f"--set {override}: `{parent}` is a list; change it in the file")
            if not isinstance(node, dict):
                raise ConfigError(f"--set {override}: `{parent}` is a plain value and has no settings inside")
        node[leaf] = value
    return result


def suggest(word: str, known: Sequence[str]) -> str:
    """Return ' (did you mean `x`?)' for the nearest known word, or what is known where none is near."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" (did you mean `{near[0]}`?)" if near else f" (known: {', '.join(known)})"


@cache
def _strict_loader() -> "type[yaml.SafeLoader]":
    import yaml

    class Loader(yaml.SafeLoader):
        """Plain values only; a key that stands twice is refused, where YAML's own loader forgets the first."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"`{key.value}` stands twice", problem_mark=key.start_mark)
                seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
            return super().construct_mapping(node, deep)

    return Loader


def _copy_tree(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy_tree(value) if isinstance(value, Mapping) else value for key, value in tree.items()}


def _near_files(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (the folder {path.parent} does not exist either)"
    near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()], n=1)
    return f" (did you mean `{near[0]}`?)" if near else ""
