"""What a run is for: read from its settings, and told when it is for something else."""

import pytest
import yaml

from attento.engines.task import RunKind, expect_task, run_kind
from attento.errors import ConfigError, RunFolderError
from attento.run_folder import RunFolder

KINDS = [
    ("translation", "rnn_attention", "a translation model", "`attento translate`"),
    ("language_modeling", "ngram", "a language model", "`attento generate`"),
    ("classification", "self_attentive", "a sentence model", "`attento evaluate --labelled FILE`"),
    ("masked_language_modeling", "encoder_only", "a masked language model", "`attento embed`"),
    ("denoising", "transformer", "a denoising model", "`attento evaluate --text FILE`"),
]


@pytest.fixture
def make_run(tmp_path):
    def make(settings):
        folder = RunFolder(tmp_path)
        folder.config.write_text(yaml.safe_dump(settings))
        folder.weights.touch()
        return tmp_path

    return make


@pytest.mark.parametrize("settings", [{"data": {"train": []}, "model": {"d_model": 8}}, {"data": {}}, {"search": 3}])
def test_a_run_that_names_no_task_translates_with_a_transformer(make_run, settings):
    assert run_kind(make_run(settings)) == RunKind("translation", "transformer")


@pytest.mark.parametrize(("task", "architecture", "name", "verb"), KINDS)
def test_another_task_is_told_with_architecture_and_verb(make_run, task, architecture, name, verb):
    run = make_run({"data": {"task": task}, "model": {"architecture": architecture}})
    assert run_kind(run) == RunKind(task, architecture)
    expect_task(run, task)
    for other, _, wanted, _ in KINDS:
        if other == task:
            continue
        with pytest.raises(RunFolderError) as told:
            expect_task(run, other)
        message = str(told.value)
        for part in (str(run), name, f"`data.task: {task}`", f"`model.architecture: {architecture}`", wanted, verb):
            assert part in message


def test_an_unknown_task_is_told_with_the_nearest(make_run):
    with pytest.raises(ConfigError, match=r"`data\.task`: .*`clasification` \(did you mean `classification`"):
        run_kind(make_run({"data": {"task": "clasification"}}))


def test_a_folder_without_a_model_is_told(tmp_path):
    with pytest.raises(RunFolderError, match="no finished model"):
        run_kind(tmp_path)
