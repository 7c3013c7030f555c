"""The road out: nothing is written that is not whole and verified, and every reason against it is told."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from attento.config import check_settings, dump_settings
from attento.data.pairs.config import CleaningConfig, CorpusConfig, DataConfig, TokenizerConfig
from attento.data.pairs.prepare import prepare
from attento.decoding.config import SearchConfig
from attento.engines.packed.file import read_packed
from attento.engines.packed.panels import Number
from attento.errors import ConfigError, ExportError, InputError, MissingExtraError, RunFolderError
from attento.interop import exporting
from attento.interop.export import native
from attento.interop.export.base import Criterion, Exporter
from attento.interop.exporting import export_run, load_trained
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig
from attento.run_folder import RunFolder
from attento.setting_trees import read_yaml
from attento.text.tokenizer import TokenizerPair
from attento.training.config import RecipeConfig

LINES = [f"{word} {number}" for word in ("apple", "bridge", "cloud", "dog") for number in range(7)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of a tiny, untrained Transformer, with the text that it would have been trained on."""
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    data_root = tmp_path_factory.mktemp("data")
    for name in ("train.en", "train.fr", "dev.en", "dev.fr"):
        (data_root / name).write_text("".join(f"{line}\n" for line in LINES))
    data = DataConfig(
        source_language="en",
        target_language="fr",
        train=(CorpusConfig(source="train.en", target="train.fr"),),
        validation=CorpusConfig(source="dev.en", target="dev.fr"),
        tokenizer=TokenizerConfig(vocab_size=293),
        cleaning=CleaningConfig(drop_identical=False),
    )
    prepare(data, data_root, folder.prepared, workers=1)
    model = TransformerConfig(encoder_layers=1, decoder_layers=1, d_model=6, num_heads=2, d_ff=5)
    settings = RecipeConfig(data=data, model=model, search=SearchConfig(max_extra_length=2))
    folder.config.write_text(dump_settings(settings))
    tokenizers = TokenizerPair.load(folder.prepared)
    tokenizers.save(folder.path)
    built = build_translation_model(model, tokenizers.source.vocab_size, tokenizers.target.vocab_size)
    save_file(built.state_dict(), folder.weights)
    return folder.path


class Copier(Exporter):
    """Writes the run once more: a format in which all of it can be said."""

    packages = ("json",)
    reasons = ()
    shift = 0.0

    def problems(self, run):
        return list(self.reasons)

    def write(self, run, folder):
        shutil.copy(RunFolder(run.path).config, folder)
        run.tokenizers.save(folder)
        weights = load_file(RunFolder(run.path).weights)
        name = "decoder.0.feed_forward.outer.bias"
        weights[name] = weights[name] + self.shift * torch.arange(6)
        save_file(weights, RunFolder(folder).weights)

    def reread(self, folder):
        return load_trained(folder, "translation")


@pytest.fixture
def copier(monkeypatch):
    made = Copier()
    monkeypatch.setattr(exporting, "choose_exporter", lambda *choice: made)
    return made


def test_what_is_verified_is_put_in_place(whole, tmp_path, copier):
    stages = []
    found = export_run(whole, "onnx", tmp_path / "new" / "out", tell=lambda *stage: stages.append(stage))
    assert found.problems == []
    assert found.sentences == len(LINES)
    assert {path.name for path in (tmp_path / "new" / "out").iterdir()} == {
        "config.yaml",
        "model.safetensors",
        "tokenizer.model",
    }
    assert stages[0] == ("writing", 0, None)
    assert stages[-1] == ("verifying", len(LINES), len(LINES))


def test_sentences_can_be_given(whole, tmp_path, copier):
    found = export_run(whole, "onnx", tmp_path / "out", ["a cloud", "", "  ", "no dog"])
    assert found.sentences == 2


def test_another_model_is_told_and_nothing_of_it_is_kept(whole, tmp_path, copier):
    copier.shift = 0.5
    with pytest.raises(ExportError, match=r"out: the exported model is not the run's, and nothing of it is kept"):
        export_run(whole, "onnx", tmp_path / "new" / "out")
    assert list(tmp_path.iterdir()) == []


def test_every_reason_against_it_is_told_before_anything_is_written(whole, tmp_path, copier):
    copier.reasons = ("one reason", "another")
    with pytest.raises(ExportError) as told:
        export_run(whole, "onnx", tmp_path / "out")
    assert str(told.value) == f"{whole}: cannot be exported as onnx:\n  one reason\n  another"
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_touched(whole, tmp_path, copier):
    (tmp_path / "note").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        export_run(whole, "onnx", tmp_path)
    with pytest.raises(InputError, match="is a file"):
        export_run(whole, "onnx", tmp_path / "note")
    assert (tmp_path / "note").read_text() == "mine"


@pytest.mark.parametrize("package", ["no_such_package", "no_such_package.part"])
def test_a_missing_package_is_told(whole, tmp_path, copier, package):
    copier.packages = (package,)
    with pytest.raises(MissingExtraError, match=rf"{package}.*attento\[interop\]"):
        export_run(whole, "onnx", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_without_text_sentences_are_asked_for(whole, tmp_path, copier):
    run = tmp_path / "run"
    shutil.copytree(whole, run, ignore=shutil.ignore_patterns("prepared"))
    with pytest.raises(InputError, match="name a file of sentences, one a line, with --sentences"):
        export_run(run, "onnx", tmp_path / "out")
    with pytest.raises(InputError, match="there is no sentence"):
        export_run(run, "onnx", tmp_path / "out", ["", " "])


def test_a_run_without_a_model_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="no such run folder"):
        export_run(tmp_path / "none", "onnx", tmp_path / "out")


def test_a_run_that_knows_no_languages_is_exported(whole, tmp_path, copier):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    config = RunFolder(run).config
    kept = [line for line in config.read_text().splitlines() if "_language:" not in line]
    config.write_text("\n".join(kept))
    assert load_trained(whole, "translation").languages == ("en", "fr")
    assert load_trained(run, "translation").languages is None
    assert export_run(run, "onnx", tmp_path / "out", ["a cloud"]).problems == []


def test_other_formats_have_no_numbers_to_choose(whole, tmp_path, copier):
    with pytest.raises(ConfigError, match=r"a compute type \(bf16\) is for the format native, but the format is onnx"):
        export_run(whole, "onnx", tmp_path / "out", compute_type="bf16")
    with pytest.raises(ConfigError, match="the format onnx needs a folder to write to"):
        export_run(whole, "onnx", None)
    assert list(tmp_path.iterdir()) == []


def test_the_exporter_says_what_is_asked_and_of_how_many_sentences(whole, tmp_path, copier):
    copier.enough, copier.criterion = 2, Criterion(difference=None, cosine=0.9)
    found = export_run(whole, "onnx", tmp_path / "out")
    assert (found.sentences, found.criterion) == (2, copier.criterion)


@pytest.fixture
def wide(whole, tmp_path):
    """A run that the native engine knows: its heads are 8 wide."""
    run = RunFolder(tmp_path / "wide")
    shutil.copytree(whole, run.path)
    model = TransformerConfig(encoder_layers=1, decoder_layers=1, d_model=16, num_heads=2, d_ff=5)
    settings = check_settings(RecipeConfig, read_yaml(run.config), origin="config.yaml")
    run.config.write_text(dump_settings(settings.model_copy(update={"model": model})))
    size = TokenizerPair.load(run.path).source.vocab_size
    save_file(build_translation_model(model, size, size).state_dict(), run.weights)
    return run


def test_the_native_file_goes_into_the_run_folder_over_an_older_one(wide):
    before = set(wide.path.iterdir())
    found = export_run(wide.path, "native", None)
    assert found.problems == []
    assert found.sentences == 10
    assert set(wide.path.iterdir()) == before | {wide.packed}
    int8 = read_packed(wide.packed)
    assert int8.settings["compute_type"] == Number.INT8
    assert json.loads(int8.file("config.yaml")) == read_yaml(wide.config)
    export_run(wide.path, "native", None, compute_type="fp32")
    assert read_packed(wide.packed).settings["compute_type"] == Number.F32
    assert int8.settings["compute_type"] == Number.INT8  # who has the older file open keeps it
    assert set(wide.path.iterdir()) == before | {wide.packed}


def test_the_native_file_goes_into_a_new_folder(wide, tmp_path):
    export_run(wide.path, "native", tmp_path / "out", ["a cloud"], compute_type="bf16")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.attento"]
    assert read_packed(tmp_path / "out" / "model.attento").settings["compute_type"] == Number.BF16
    assert not wide.packed.exists()


def test_an_older_native_file_stays_where_the_new_one_is_another_model(wide, monkeypatch):
    wide.packed.write_text("the older one")
    before = set(wide.path.iterdir())
    monkeypatch.setattr(native, "ROUNDED", Criterion(difference=None, cosine=1.1))
    with pytest.raises(ExportError, match=r"model.attento: the exported model is not the run's, and nothing of it"):
        export_run(wide.path, "native", None, ["a cloud"])
    assert wide.packed.read_text() == "the older one"
    assert set(wide.path.iterdir()) == before
