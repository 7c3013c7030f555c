"""Which engine is chosen: by what is installed, what lies there, and what is asked for."""

import os
import re
from pathlib import Path
from typing import get_args

import pytest

from attento.engines import choose
from attento.engines.choose import PACKED, choose_engine
from attento.errors import ConfigError, MissingExtraError, RunFolderError
from attento.interop.export.native_tensors import NativeConfig
from attento.models.config import LanguageModelConfig, TranslationModelConfig
from attento.run_folder import RunFolder


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch):
    def only(*packages: str) -> None:
        monkeypatch.setattr(choose, "_installed", lambda package: package in packages)

    return only


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run with a packed model beside it, younger than the weights."""
    folder = RunFolder(tmp_path)
    for number, file in enumerate((folder.config, folder.weights, folder.packed)):
        file.write_text("model: {architecture: transformer}\n" if file == folder.config else "")
        os.utime(file, (1_000_000 + number,) * 2)
    return folder


@pytest.mark.parametrize(
    ("packages", "engine"),
    [
        (("torch", "attento_native"), "native"),
        (("attento_native",), "native"),
        (("torch",), "torch"),
        ((), "reference"),
    ],
)
def test_the_fastest_that_is_installed(run: RunFolder, install, packages: tuple[str, ...], engine: str) -> None:
    install(*packages)
    choice = choose_engine(run.path)
    assert (choice.engine, choice.model) == (engine, run.path if engine == "torch" else run.packed)
    # Only what is slow is worth a word.
    assert (choice.note is not None) == (engine == "reference")


@pytest.mark.parametrize(("packages", "engine"), [(("torch", "attento_native"), "native"), (("torch",), "reference")])
@pytest.mark.parametrize("named", ["file", "folder"])
def test_a_packed_model_alone_needs_no_torch(
    run: RunFolder, install, packages: tuple[str, ...], engine: str, named: str
) -> None:
    run.weights.unlink()
    run.config.unlink()
    install(*packages)
    choice = choose_engine(run.packed if named == "file" else run.path)
    assert (choice.engine, choice.model) == (engine, run.packed)


def test_a_file_is_taken_at_its_word_whatever_lies_beside_it(run: RunFolder, install) -> None:
    install("torch", "attento_native")
    os.utime(run.packed, (1, 1))
    assert choose_engine(run.packed).engine == "native"


@pytest.mark.parametrize("spoil", ["missing", "old"])
def test_torch_where_the_packed_model_cannot_be_used(run: RunFolder, install, spoil: str) -> None:
    install("torch", "attento_native")
    if spoil == "missing":
        run.packed.unlink()
    else:
        os.utime(run.packed, (1, 1))
    choice = choose_engine(run.path)
    assert (choice.engine, choice.model) == ("torch", run.path)
    problem = "there is no model.attento" if spoil == "missing" else "model.attento is older than model.safetensors"
    assert choice.why.startswith(problem)
    for engine in ("native", "reference"):
        with pytest.raises(
            ConfigError, match=rf"`{engine}` cannot be used: {problem}.*`attento export .* --format nat"
        ):
            choose_engine(run.path, engine)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("model: {architecture: convs2s}", "model.architecture: convs2s"),
        ("data: {task: translation}\nmodel: {architecture: rnn_attention}", "model.architecture: rnn_attention"),
        ("data: {task: language_modeling}\nmodel: {architecture: ngram}", "model.architecture: ngram"),
        ("data: {task: language_modeling}\nmodel: {architecture: transformer}", "model.architecture: transformer"),
        ("data: {task: denoising}\nmodel: {architecture: transformer}", "data.task: denoising"),
    ],
)
def test_what_torch_alone_runs_is_not_to_be_exported(run: RunFolder, install, settings: str, told: str) -> None:
    install("torch", "attento_native")
    run.packed.unlink()
    run.config.write_text(settings)
    choice = choose_engine(run.path)
    assert (choice.engine, choice.model) == ("torch", run.path)
    assert choice.why == f"the native and the reference engine do not run `{told}`; torch does"
    for engine in ("native", "reference"):
        with pytest.raises(ConfigError, match=rf"`{engine}` cannot be used: {re.escape(choice.why)}$"):
            choose_engine(run.path, engine)


def test_what_can_be_packed_is_what_the_exporter_takes() -> None:
    for task, family in (("translation", TranslationModelConfig), ("language_modeling", LanguageModelConfig)):
        kinds = set(get_args(family)) & set(get_args(NativeConfig))
        assert kinds
        assert {kind.model_fields["architecture"].annotation.__args__[0] for kind in kinds} == set(PACKED[task])


def test_a_model_as_old_as_its_weights_is_of_them(run: RunFolder, install) -> None:
    install("attento_native")
    os.utime(run.packed, (1_000_001, 1_000_001))
    assert choose_engine(run.path).engine == "native"


@pytest.mark.parametrize(("device", "engine"), [("cuda", "torch"), ("cuda:1", "torch"), ("cpu", "native")])
def test_other_devices_are_torchs(run: RunFolder, install, device: str, engine: str) -> None:
    install("torch", "attento_native")
    assert choose_engine(run.path, device=device).engine == engine
    assert choose_engine(run.path, "torch", device).engine == "torch"
    if engine == "torch":
        for call in (
            lambda: choose_engine(run.path, "native", device),
            lambda: choose_engine(run.packed, device=device),
        ):
            with pytest.raises(ConfigError, match=f"on the CPU, and the device {device} was asked for"):
                call()


@pytest.mark.parametrize("engine", ["torch", "native", "reference"])
def test_what_is_asked_for_is_taken(run: RunFolder, install, engine: str) -> None:
    install("torch", "attento_native")
    choice = choose_engine(run.path, engine)
    assert (choice.engine, choice.note) == (engine, None)


@pytest.mark.parametrize(("engine", "extra"), [("torch", "train"), ("native", "native")])
def test_a_missing_package_is_named_with_its_extra(run: RunFolder, install, engine: str, extra: str) -> None:
    install()
    with pytest.raises(MissingExtraError, match=rf"attento\[{extra}\]"):
        choose_engine(run.path, engine)


def test_torch_needs_the_run(run: RunFolder, install) -> None:
    install("torch")
    with pytest.raises(ConfigError, match="needs the run folder"):
        choose_engine(run.packed, "torch")


def test_neither_run_nor_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"config\.yaml, model\.safetensors missing"):
        choose_engine(tmp_path)
    with pytest.raises(RunFolderError, match="no such run folder"):
        choose_engine(tmp_path / "nowhere")
