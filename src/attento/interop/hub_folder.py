"""A folder as Hugging Face's library saves it: settings, weights in one file or in shards, and what a person wrote.

Reads; judges nothing but whether the files are whole.
"""

import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError, safe_open
from torch import Tensor

from attento.errors import DataError
from attento.interop.foreign_config import ForeignConfig

_CONFIG, _GENERATION, _TOKENIZER_CONFIG = "config.json", "generation_config.json", "tokenizer_config.json"
_WEIGHTS, _INDEX, _PICKLE = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
_CONVERT = (
    "from transformers import {kind} as M; M.from_pretrained({here}).save_pretrained({there}, safe_serialization=True)"
)


@dataclass(frozen=True)
class HubFolder:
    """A foreign model's folder."""

    path: Path

    @property
    def config(self) -> ForeignConfig:
        """The settings of the model, read anew.

        Raises:
            DataError: there are none, or they are damaged.
        """
        if not self.path.is_dir():
            what = f"is a file; name the folder that {_CONFIG} lies in" if self.path.exists() else "no such folder"
            raise DataError(f"{self.path}: {what}")
        file = self.path / _CONFIG
        if not file.is_file():
            raise DataError(f"{self.path}: holds no {_CONFIG}; name the folder that a Hugging Face model lies in")
        return ForeignConfig(read_json(file), file)

    @property
    def generation(self) -> Mapping[str, Any]:
        """How texts are searched for; older folders have it among the settings of the model."""
        file = self.path / _GENERATION
        return read_json(file) if file.is_file() else self.config.values

    @property
    def tokenizer_config(self) -> Mapping[str, Any]:
        """The settings of the tokenizer; empty where there are none."""
        file = self.path / _TOKENIZER_CONFIG
        return read_json(file) if file.is_file() else {}

    @property
    def licence(self) -> str | None:
        """What the head of the folder's README names as licence."""
        try:
            head = (self.path / "README.md").read_text(encoding="utf-8").split("---\n")
            named = yaml.safe_load(head[1]) if len(head) > 2 and not head[0].strip() else None
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            # A README is for people: nothing hangs on it.
            return None
        licence = named.get("license") if isinstance(named, dict) else None
        return licence if isinstance(licence, str) else None

    @cached_property
    def files(self) -> dict[str, str]:
        """The file that each weight lies in.

        Raises:
            DataError: there are no weights, or only in a form that can run code, or a file is damaged.
        """
        if (self.path / _WEIGHTS).is_file():
            with self.open(_WEIGHTS) as file:
                return dict.fromkeys(file.keys(), _WEIGHTS)
        index = self.path / _INDEX
        if not index.is_file():
            raise DataError(self._no_weights())
        files = read_json(index).get("weight_map")
        if not isinstance(files, dict) or not all(_is_plain(name) for name in files.values()):
            raise DataError(f"{index}: names no file for each weight; download it again")
        self._check_shards(files)
        return files

    @contextmanager
    def open(self, name: str) -> Iterator[Any]:
        """Open a file of weights.

        Raises:
            DataError: it is missing or damaged.
        """
        path = self.path / name
        try:
            with safe_open(path, framework="pt") as file:
                yield file
        except (OSError, SafetensorError) as problem:
            raise DataError(f"{path}: is damaged or cut short ({problem}); download it again") from problem

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every weight with its name, file by file.

        Raises:
            DataError: a file is missing or damaged.
        """
        for name in sorted(set(self.files.values())):
            with self.open(name) as file:
                for weight in file.keys():
                    yield weight, file.get_tensor(weight)

    def _check_shards(self, files: Mapping[str, str]) -> None:
        missing = sorted(name for name in set(files.values()) if not (self.path / name).is_file())
        if missing:
            raise DataError(f"{self.path}: {_INDEX} names files that are missing: {', '.join(missing)}; download them")
        held: dict[str, str] = {}
        for name in sorted(set(files.values())):
            with self.open(name) as file:
                held |= dict.fromkeys(file.keys(), name)
        wrong = sorted(name for name in files.keys() | held.keys() if files.get(name) != held.get(name))
        if wrong:
            raise DataError(
                f"{self.path / _INDEX}: does not say what the files hold; download all of them again:\n  "
                + "\n  ".join(f"`{name}` is in {held.get(name)}, not in {files.get(name)}" for name in wrong)
            )

    def _no_weights(self) -> str:
        if not (self.path / _PICKLE).is_file():
            return f"{self.path}: holds no {_WEIGHTS}; download it"
        kind = str(next(iter(self.config.get("architectures", [])), ""))
        # The line is to be typed: nothing of theirs may be more in it than a name.
        kind = kind if kind.isidentifier() else "AutoModel"
        line = _CONVERT.format(kind=kind, here=json.dumps(str(self.path)), there=json.dumps(f"{self.path}-safe"))
        return (
            f"{self.path}: holds its weights as {_PICKLE} alone, a pickle, which can run any code when it is read. "
            f"Where you trust it, convert it, copy the tokenizer's files beside it, and import that folder: "
            f"python -c {shlex.quote(line)}"
        )


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object.

    Raises:
        DataError: it is missing, unreadable, or holds something else.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise DataError(f"{path}: cannot be read ({problem}); download it again") from problem
    if not isinstance(read, dict):
        raise DataError(f"{path}: must hold an object with names and values, but holds {type(read).__name__}")
    return read


def _is_plain(name: object) -> bool:
    return isinstance(name, str) and name == Path(name).name
