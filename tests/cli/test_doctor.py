"""`attento doctor`: finds what is here and names the mend for what is not."""

import json
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from attento.cli import doctor as doctor_module
from attento.cli.app import app


def test_reports_versions_and_device() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    found = {package["name"]: package["version"] for package in report["packages"]}
    assert found["torch"] == version("torch")
    assert report["problems"] == []
    assert report["device"].startswith("cuda" if torch.cuda.is_available() else "cpu")
    assert report["cores"] >= 1


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch):
    """Let some packages be missing, and the native engine be there or not."""

    def without(*missing: str, native: bool) -> None:
        def find(name: str) -> str:
            if name in missing:
                raise PackageNotFoundError(name)
            return "7.11.13"

        monkeypatch.setattr(doctor_module, "version", find)
        package = ModuleType("attento_native")
        package.available_kernels = lambda: ["avx2", "portable"]  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "attento_native", package if native else None)

    return without


def examine() -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["doctor", "--json"], catch_exceptions=False)
    return result.exit_code, json.loads(result.stdout)


def test_missing_package_names_the_mend_and_fails(install) -> None:
    install("torch", "zstandard", native=False)
    status, report = examine()
    # Compressed corpora are a convenience, torch is not.
    assert (status, report["problems"]) == (1, ["torch is missing: pip install 'attento[train]'"])
    mends = {package["name"]: package["mend"] for package in report["packages"]}
    assert mends["zstandard"] == "pip install 'attento[zstd]'"


TRAIN, NATIVE, CORE = "pip install 'attento[train]'", "pip install 'attento[native]'", "pip install 'attento'"


@pytest.mark.parametrize(
    ("missing", "native", "status", "here"),
    [
        ((), True, 0, [("yes", None), ("yes", None), ("yes", None)]),
        ((), False, 0, [("yes", None), ("yes", None), ("slowly", NATIVE)]),
        # Who has the native engine may want no more than packed models.
        (("torch",), True, 0, [("yes", None), ("no", TRAIN), ("yes", None)]),
        (("torch", "jaxtyping"), True, 0, [("yes", None), ("no", TRAIN), ("yes", None)]),
        (("torch", "jaxtyping"), False, 1, [("yes", None), ("no", TRAIN), ("slowly", NATIVE)]),
        # Half of what training needs is a mistake.
        (("jaxtyping",), True, 1, [("yes", None), ("no", TRAIN), ("yes", None)]),
        (("numpy",), True, 1, [("no", CORE), ("no", CORE), ("no", CORE)]),
        (("tensorboard", "plotly"), True, 0, [("yes", None), ("yes", None), ("yes", None)]),
    ],
)
def test_tells_what_works_and_what_does_not(
    install, missing: tuple[str, ...], native: bool, status: int, here: list[tuple[str, str | None]]
) -> None:
    install(*missing, native=native)
    found, report = examine()
    assert found == status == bool(report["problems"])
    assert [(each["here"], each["mend"]) for each in report["abilities"]] == here


def test_text_form_says_what_works_without_torch(install) -> None:
    install("torch", "jaxtyping", native=True)
    result = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert result.exit_code == 0
    assert re.search(r"^train, .* no +pip install 'attento\[train\]'$", result.stdout, flags=re.MULTILINE)
    assert re.search(r"^translate .* packed models +yes *$", result.stdout, flags=re.MULTILINE)
    assert result.stdout.endswith("All that packed models need is here.\n")


def test_names_the_kernels_of_the_native_engine(install) -> None:
    install(native=True)
    assert examine()[1]["native_kernels"] == "avx2 (could use portable)"
    install(native=False)
    report = examine()[1]
    assert report["native_kernels"] is None
    assert report["problems"] == []


def test_text_form_says_that_all_is_well() -> None:
    result = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "All that training and translation need is here." in result.stdout
