"""`attento doctor`: finds what is here and names the mend for what is not."""

import json
import sys
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

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


def test_missing_package_names_the_mend_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_torch(name: str) -> str:
        if name in ("torch", "zstandard"):
            raise PackageNotFoundError(name)
        return "7.11.13"

    monkeypatch.setattr(doctor_module, "version", without_torch)
    result = CliRunner().invoke(app, ["doctor", "--json"], catch_exceptions=False)
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    # Compressed corpora are a convenience, torch is not.
    assert report["problems"] == ["torch is missing: pip install 'attento[train]'"]
    mends = {package["name"]: package["mend"] for package in report["packages"]}
    assert mends["zstandard"] == "pip install 'attento[zstd]'"


def test_names_the_kernels_of_the_native_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("attento_native")
    package.available_kernels = lambda: ["avx2", "portable"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "attento_native", package)
    report = json.loads(CliRunner().invoke(app, ["doctor", "--json"], catch_exceptions=False).stdout)
    assert report["native_kernels"] == "avx2 (could use portable)"
    monkeypatch.setitem(sys.modules, "attento_native", None)
    report = json.loads(CliRunner().invoke(app, ["doctor", "--json"], catch_exceptions=False).stdout)
    assert report["native_kernels"] is None
    assert report["problems"] == []


def test_text_form_says_that_all_is_well() -> None:
    result = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "All that training and translation need is here." in result.stdout
