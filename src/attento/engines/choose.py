"""Which engine translates with a model: what is installed, what lies in the run folder, what is asked for."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

from attento.engines.task import Task, run_kind
from attento.errors import ConfigError, MissingExtraError
from attento.run_folder import RunFolder

PACKED: dict[Task, tuple[str, ...]] = {
    "translation": ("transformer", "decoder_only"),
    "language_modeling": ("decoder_only",),
}
"""The architectures that packed models can have, and with them the native engine and the reference engine."""

EngineName: TypeAlias = Literal["auto", "torch", "native", "reference"]
"""`torch` computes with the very model that was trained; `native` and `reference` with a packed one, without torch."""


@dataclass(frozen=True)
class EngineChoice:
    """An engine, and the model that it loads.

    Attributes:
        engine: the engine; never `auto`.
        model: the run folder for `torch`, the packed file for the others.
        why: what decided, in words.
        note: what the user should know of it; None where nothing is to be said.
    """

    engine: EngineName
    model: Path
    why: str
    note: str | None = None


def choose_engine(path: Path, wanted: EngineName = "auto", device: str | None = None) -> EngineChoice:
    """Choose the engine for a run folder, or for a packed model: its file, or a folder with nothing else.

    `auto` is the native engine where its package is installed and a packed model is there that is not older than the
    weights; else torch; but the reference engine, which is slow, where there is a packed model and no torch, or nothing
    but a packed model. A device other than the CPU is torch's alone.

    Raises:
        RunFolderError: there is neither a finished run nor a packed model.
        ConfigError: the engine that is asked for cannot be had from this folder or on this device, or the settings of
            the run cannot be read.
        MissingExtraError: its package is not installed.
    """
    found = _Found.at(path)
    if wanted == "auto":
        return _choose(found, device)
    if wanted == "torch":
        if found.run is None:
            raise ConfigError(f"{path}: is a packed model, but the engine `torch` needs the run folder it was made of")
        _require("torch", "train")
        return EngineChoice("torch", found.run, "it was asked for")
    if problem := found.no_packed or _no_such_device(device):
        raise ConfigError(f"{path}: the engine `{wanted}` cannot be used: {problem}")
    assert found.packed is not None
    if wanted == "native":
        _require("attento_native", "native")
    return EngineChoice(wanted, found.packed, "it was asked for")


@dataclass(frozen=True)
class _Found:
    """What there is to load: the run folder, the packed model, and what keeps the packed one from use."""

    run: Path | None
    packed: Path | None
    no_packed: str | None

    @classmethod
    def at(cls, path: Path) -> "_Found":
        if path.is_file():
            return cls(None, path, None)
        folder = RunFolder(path)
        packed = folder.packed if folder.packed.is_file() else None
        if packed is not None and not folder.weights.is_file():
            return cls(None, packed, None)
        folder.require()
        export = f"`attento export {path} --format native`"
        if packed is None:
            missing = f"there is no {folder.packed.name}; {export} makes it"
            return cls(path, None, _only_by_torch(path) or missing)
        if packed.stat().st_mtime_ns < folder.weights.stat().st_mtime_ns:
            stale = (
                f"{packed.name} is older than {folder.weights.name} and may hold another model; {export} makes it anew "
                f"(or name {packed} itself)"
            )
            return cls(path, packed, stale)
        return cls(path, packed, None)


def _choose(found: _Found, device: str | None) -> EngineChoice:
    if found.run is not None:
        # Only where torch can do the same is there something to choose.
        if problem := found.no_packed or _no_such_device(device):
            return EngineChoice("torch", found.run, problem)
    elif problem := _no_such_device(device):
        raise ConfigError(f"{found.packed}: is a packed model, and {problem}")
    assert found.packed is not None
    if _installed("attento_native"):
        return EngineChoice("native", found.packed, f"attento_native is installed and {found.packed.name} is there")
    missing = "attento_native is not installed: pip install 'attento[native]'"
    if found.run is not None and _installed("torch"):
        return EngineChoice("torch", found.run, missing)
    note = "the reference engine is used, which is slow; pip install 'attento[native]' brings the fast one"
    return EngineChoice("reference", found.packed, missing, note)


def _only_by_torch(run: Path) -> str | None:
    kind = run_kind(run)
    if kind.task not in PACKED:
        return f"the native and the reference engine do not run `data.task: {kind.task}`; torch does"
    if kind.architecture not in PACKED[kind.task]:
        return f"the native and the reference engine do not run `model.architecture: {kind.architecture}`; torch does"
    return None


def _no_such_device(device: str | None) -> str | None:
    if device is None or device == "cpu":
        return None
    return f"packed models are computed on the CPU, and the device {device} was asked for"


def _require(package: str, extra: str) -> None:
    if not _installed(package):
        raise MissingExtraError(package, extra)


def _installed(package: str) -> bool:
    return find_spec(package) is not None
