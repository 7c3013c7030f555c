"""`attento doctor`: what is installed, what would be used, what is missing and the mend."""

import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import typer

from attento import __version__
from attento.cli.console import EXIT_FAILED, show_json, show_table
from attento.cli.options import Json
from attento.cores import available_cores

# What each package is for, and the extra that brings it; None where it belongs to every install.
_PACKAGES: tuple[tuple[str, str | None, str], ...] = (
    ("numpy", None, "arrays"),
    ("pyarrow", None, "prepared corpora"),
    ("pydantic", None, "settings"),
    ("PyYAML", None, "recipes"),
    ("rich", None, "terminal output"),
    ("sacrebleu", None, "BLEU and chrF"),
    ("safetensors", None, "weights"),
    ("sentencepiece", None, "tokenizers"),
    ("typer", None, "command line"),
    ("torch", "train", "training and translation"),
    ("jaxtyping", "train", "tensor shapes"),
    ("tensorboard", "train", "training curves"),
    ("attento-native", "native", "translation without torch, several times faster"),
    ("plotly", "compare", "reports of comparisons"),
    ("zstandard", "zstd", ".zst corpora"),
)
# Without these nothing can be trained, and of what was trained only packed models can be used.
_FOR_TRAINING = ("torch", "jaxtyping")


@dataclass(frozen=True)
class PackageReport:
    """One package: its version, or how to get it."""

    name: str
    purpose: str
    version: str | None
    mend: str | None


@dataclass(frozen=True)
class Ability:
    """Something that can be done with Attento: whether it works here, and what makes it work, or faster."""

    what: str
    here: Literal["yes", "slowly", "no"]
    mend: str | None


@dataclass(frozen=True)
class DoctorReport:
    """The state of this machine and install."""

    attento: str
    python: str
    platform: str
    cores: int
    memory_gib: float | None
    device: str | None
    precision: str | None
    native_kernels: str | None
    packages: tuple[PackageReport, ...]

    @property
    def problems(self) -> list[str]:
        """What is missing of this install, each with the mend.

        Without torch an install is whole where the native engine is there: for packed models it needs nothing more.
        """
        needed = [name for name, extra, _ in _PACKAGES if extra is None]
        if self.native_kernels is None or "torch" not in self._missing:
            needed += _FOR_TRAINING
        return [f"{name} is missing: {self._missing[name]}" for name in needed if name in self._missing]

    @property
    def abilities(self) -> tuple[Ability, ...]:
        """What works here, and what does not."""
        core = next((mend for name, mend in self._missing.items() if _is_core(name)), None)
        training = core or next((self._missing[name] for name in _FOR_TRAINING if name in self._missing), None)
        fast = self.native_kernels is not None
        packed = core or (None if fast else "pip install 'attento[native]'")
        return (
            Ability("prepare data, measure translations", "no" if core else "yes", core),
            Ability("train, use any run, export it", "no" if training else "yes", training),
            Ability("translate and write with packed models", "no" if core else "yes" if fast else "slowly", packed),
        )

    @property
    def _missing(self) -> dict[str, str]:
        return {each.name: each.mend for each in self.packages if each.mend is not None}


def doctor(as_json: Json = False) -> None:
    """Tell what is installed, which device and precision would be used, what works, what is missing and the mend.

    Leaves with status 1 when a package that every install has is missing, or both torch and the native engine are.
    """
    report = _examine()
    if as_json:
        abilities = [asdict(each) for each in report.abilities]
        show_json(asdict(report) | {"abilities": abilities, "problems": report.problems})
    else:
        _show(report)
    if report.problems:
        raise typer.Exit(EXIT_FAILED)


def _examine() -> DoctorReport:
    device, precision = _choose_device()
    return DoctorReport(
        attento=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        cores=available_cores(),
        memory_gib=_measure_memory(),
        device=device,
        precision=precision,
        native_kernels=_find_kernels(),
        packages=tuple(_examine_package(name, extra, purpose) for name, extra, purpose in _PACKAGES),
    )


def _is_core(name: str) -> bool:
    return any(name == package and extra is None for package, extra, _ in _PACKAGES)


def _examine_package(name: str, extra: str | None, purpose: str) -> PackageReport:
    try:
        return PackageReport(name, purpose, version(name), None)
    except PackageNotFoundError:
        wanted = "attento" if extra is None else f"attento[{extra}]"
        return PackageReport(name, purpose, None, f"pip install '{wanted}'")


def _choose_device() -> tuple[str | None, str | None]:
    try:
        import torch

        from attento.device import choose_device, has_fast_bf16
    except ImportError:
        return None, None
    device = choose_device()
    name = f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
    return name, "bf16" if has_fast_bf16(device) else "fp32"


def _find_kernels() -> str | None:
    """Return the set of kernels that the native engine would use on this processor, and those it could."""
    try:
        from attento_native import available_kernels
    except ImportError:
        return None
    best, *others = available_kernels()
    return f"{best} (could use {', '.join(others)})" if others else best


def _measure_memory() -> float | None:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    return round(total / 2**30, 1)


def _show(report: DoctorReport) -> None:
    memory = "unknown" if report.memory_gib is None else f"{report.memory_gib} GiB"
    machine = [
        ("attento", report.attento),
        ("python", report.python),
        ("platform", report.platform),
        ("cores", str(report.cores)),
        ("memory", memory),
        ("device", report.device or "none: torch cannot be imported"),
        ("training precision", report.precision or "none"),
        ("native engine", report.native_kernels or "none: attento_native cannot be imported"),
    ]
    show_table(("this machine", ""), machine)
    print()
    rows = [(each.name, each.version or "missing", each.mend or each.purpose) for each in report.packages]
    show_table(("package", "version", "for, or how to get it"), rows)
    print()
    show_table(("what", "works here", "mend"), [(each.what, each.here, each.mend or "") for each in report.abilities])
    print()
    print("\n".join(report.problems) if report.problems else f"All that {_whole(report)} is here.")


def _whole(report: DoctorReport) -> str:
    trains = not any(each.here == "no" for each in report.abilities)
    return "training and translation need" if trains else "packed models need"
