"""A run that cannot begin says why, leaves nothing in the way, and begins once that is mended."""

from pathlib import Path

import pytest
from training_runs import run

from attento.errors import ConfigError, DataError, RunFolderError, TrainingError
from attento.training import run as run_module
from attento.training.loop import Trainer
from attento.training.run import load_recipe, train


def test_missing_text_is_named(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.source"):
        train(load_recipe(recipe, tmp_path), tmp_path / "run", print)
    # Nothing half-made is in the way of the next attempt.
    assert not (tmp_path / "run" / "config.yaml").exists()
    assert run(recipe, tmp_path / "run", "training.max_steps=1")[0]


def test_a_folder_of_something_else_is_left_alone(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(RunFolderError, match="is not empty and holds no run; choose another --output"):
        run(recipe, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    with pytest.raises(RunFolderError, match="is no folder"):
        run(recipe, tmp_path / "README.md")


def test_settings_that_failed_may_be_mended(recipe: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    with pytest.raises(ConfigError, match=r"a training source has 7 tokens.*at most 5.*`model\.max_positions`"):
        run(recipe, output, "model.positions=learned", "model.max_positions=5")
    assert run(recipe, output, "model.positions=learned", "model.max_positions=7", "training.max_steps=1")[0]


def test_before_the_first_checkpoint_a_run_begins_anew_with_any_settings(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", die)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, tmp_path / "run")
    assert (tmp_path / "run" / "config.yaml").is_file()
    assert run(recipe, tmp_path / "run", "model.d_ff=17", "training.max_steps=2")[0]


def test_a_wrong_device_shows_before_the_text_is_prepared(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="device `tpu`"):
        run(recipe, tmp_path / "run", "training.device=tpu")
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_told_and_the_run_goes_on_later(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "sync_file", full)
        with pytest.raises(RunFolderError, match=r"config\.yaml: cannot be written: .*No space left"):
            run(recipe, tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()
    with monkeypatch.context() as patch:
        patch.setattr("attento.training.records.checkpoint.sync_file", full)
        with pytest.raises(TrainingError, match="No space left"):
            run(recipe, tmp_path / "run", "training.max_steps=4")
    assert run(recipe, tmp_path / "run", "training.max_steps=4")[0]
