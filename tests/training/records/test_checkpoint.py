"""Checkpoints come back bit for bit, and neither damage nor interruption ever costs more than the newest one."""

import hashlib
import json
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from attento.errors import ConfigError, RunFolderError, TrainingError
from attento.training.records import checkpoint
from attento.training.records.checkpoint import (
    CheckpointStore,
    Snapshot,
    capture_random_state,
    restore_random_state,
)

CONTENT = ["manifest.json", "model.safetensors", "progress.json", "training.safetensors"]


def snapshot(step: int, size: int = 7) -> Snapshot:
    generator = torch.Generator().manual_seed(step)
    weight = torch.randn(3, size, generator=generator)
    return Snapshot(
        step=step,
        model={
            "weight": weight,
            "turned": weight.t(),
            "half": torch.randn(5, generator=generator).bfloat16(),
            "odd": torch.tensor([float("nan"), -0.0, float("inf"), 1e-45]),
            "scalar": torch.tensor(float(step)),
        },
        optimizer={"exp_avg/weight": torch.randn(3, size, generator=generator), "step/weight": torch.tensor(step)},
        random_state={"cpu": generator.get_state()},
        progress={"epoch": 2, "index": 11, "best": 0.1 + 0.2, "skipped": 0, "tokens": 2**53 + 1, "worst": None},
    )


def bits(tensor: torch.Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    return tensor.dtype, tensor.shape, tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def assert_same(found: Snapshot | None, expected: Snapshot) -> None:
    assert found is not None
    assert (found.step, found.progress) == (expected.step, expected.progress)
    for name in ("model", "optimizer", "random_state"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert {key: bits(value) for key, value in ours.items()} == {key: bits(value) for key, value in theirs.items()}


def silent(text: str) -> None:
    raise AssertionError(f"nothing should be said, but: {text}")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "run" / "checkpoints", keep_last=3)


def test_round_trip_is_bit_for_bit(store: CheckpointStore) -> None:
    path = store.save(snapshot(1000))
    assert path == store.folder / "step-00001000"
    assert names(path) == CONTENT
    assert_same(store.newest(silent), snapshot(1000))


def test_a_loaded_snapshot_is_cut_off_from_its_file(store: CheckpointStore) -> None:
    store.save(snapshot(10))
    loaded = store.newest(silent)
    assert loaded is not None
    loaded.model["weight"].add_(1)
    assert_same(store.newest(silent), snapshot(10))


def test_nothing_there_is_no_error(store: CheckpointStore) -> None:
    assert store.newest(silent) is None
    assert store.paths() == []


def test_keeps_the_last_by_step(store: CheckpointStore) -> None:
    for step in (5, 90, 1000, 99_999_999, 100_000_000):
        store.save(snapshot(step))
    assert [path.name for path in store.paths()] == ["step-00001000", "step-99999999", "step-100000000"]
    assert names(store.folder) == sorted(path.name for path in store.paths())


def test_going_back_drops_the_later_story(store: CheckpointStore) -> None:
    for step in (100, 200, 300):
        store.save(snapshot(step))
    store.save(snapshot(150))
    assert [path.name for path in store.paths()] == ["step-00000100", "step-00000150"]


def test_the_same_step_is_replaced(store: CheckpointStore) -> None:
    store.save(snapshot(20, size=5))
    store.save(snapshot(20, size=13))
    assert_same(store.newest(silent), snapshot(20, size=13))
    assert names(store.folder) == ["step-00000020"]


def test_shared_memory_is_written_under_each_name(store: CheckpointStore) -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    store.save(Snapshot(1, {"a": weight, "b": weight, "c": weight[1]}, {}, {}, {}))
    loaded = store.newest(silent)
    assert loaded is not None
    assert torch.equal(loaded.model["a"], weight)
    assert torch.equal(loaded.model["b"], weight)
    assert torch.equal(loaded.model["c"], weight[1])


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("harm", [cut, empty, flip_last_byte, remove])
@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors", "progress.json"])
def test_a_damaged_newest_falls_back_aloud(store: CheckpointStore, name: str, harm: Callable[[Path], None]) -> None:
    store.save(snapshot(100))
    harm(store.save(snapshot(200)) / name)
    said: list[str] = []
    assert_same(store.newest(said.append), snapshot(100))
    assert len(said) == 2
    assert "step-00000200" in said[0]
    assert name in said[0]
    assert "step-00000100" in said[1]


@pytest.mark.parametrize(
    "manifest",
    ["", "{", "[]", "null", '{"format": 1}', '{"format": 1, "files": []}', '{"format": 1, "files": {}}'],
)
def test_a_damaged_manifest_falls_back(store: CheckpointStore, manifest: str) -> None:
    store.save(snapshot(100))
    (store.save(snapshot(200)) / "manifest.json").write_text(manifest)
    said: list[str] = []
    assert_same(store.newest(said.append), snapshot(100))
    assert "step-00000200" in said[0]


def test_a_format_of_the_future_is_named(store: CheckpointStore) -> None:
    (store.save(snapshot(200)) / "manifest.json").write_text('{"format": 2, "files": {}}')
    with pytest.raises(RunFolderError, match="written in format 2, and this version of attento reads format 1"):
        store.newest([].append)


def test_a_file_in_the_place_of_a_checkpoint_falls_back(store: CheckpointStore) -> None:
    store.save(snapshot(100))
    (store.folder / "step-00000200").write_text("not a folder")
    assert_same(store.newest([].append), snapshot(100))


def test_all_damaged_is_an_error_with_every_reason(store: CheckpointStore) -> None:
    for step in (100, 200):
        cut(store.save(snapshot(step)) / "model.safetensors")
    with pytest.raises(RunFolderError, match=r"(?s)every checkpoint is damaged.*step-00000200.*step-00000100"):
        store.newest([].append)


def test_weights_of_good_checkpoints_only(store: CheckpointStore) -> None:
    for step in (100, 200, 300):
        store.save(snapshot(step))
    cut(store.folder / "step-00000200" / "model.safetensors")
    said: list[str] = []
    assert [path.parent.name for path in store.good_weights(said.append)] == ["step-00000100", "step-00000300"]
    assert len(said) == 1
    assert "step-00000200" in said[0]


# A new step takes one renaming, the replacement of a step two.
@pytest.mark.parametrize(("same_step", "call"), [(False, 1), (True, 1), (True, 2)])
def test_an_interrupted_publication_keeps_the_older(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch, same_step: bool, call: int
) -> None:
    store.save(snapshot(100, size=5))
    calls = 0

    def interrupted(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        os.rename(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.save(snapshot(100 if same_step else 200, size=13))
    monkeypatch.undo()
    assert names(store.folder) == ["step-00000100"]
    assert_same(store.newest(silent), snapshot(100, size=5))


def test_an_interrupted_write_leaves_nothing(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save(snapshot(100))

    def interrupted(tree: object, path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "_write_json", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.save(snapshot(200))
    assert names(store.folder) == ["step-00000100"]


def test_leftovers_of_a_killed_process_are_cleared(store: CheckpointStore) -> None:
    path = store.save(snapshot(100))
    # Killed between the two renamings of a replacement, in a later write, and in a removal.
    path.rename(store.folder / ".step-00000100.replaced")
    for leftover in (".step-00000100.writing", ".step-00000200.writing", ".step-00000050.dropped"):
        (store.folder / leftover).mkdir()
        (store.folder / leftover / "model.safetensors").write_bytes(b"half")
    assert_same(store.newest(silent), snapshot(100))
    assert names(store.folder) == ["step-00000100"]


@pytest.fixture
def small_disk() -> Iterator[None]:
    # The kernel refuses to let any file grow beyond this, as a full disk would.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_names_the_path_and_keeps_the_older(store: CheckpointStore) -> None:
    store.save(snapshot(100))
    with pytest.raises(TrainingError, match=r"step-00000200.*could not be written"):
        store.save(snapshot(200, size=10_007))
    assert names(store.folder) == ["step-00000100"]
    assert_same(store.newest(silent), snapshot(100))


def test_a_folder_that_cannot_be_made_is_a_training_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match="could not be written"):
        CheckpointStore(tmp_path / "file" / "checkpoints", keep_last=1).save(snapshot(1))


def test_keep_last_must_keep_something(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 1, but got 0"):
        CheckpointStore(tmp_path, keep_last=0)


def test_the_manifest_says_what_sha256sum_would(store: CheckpointStore) -> None:
    path = store.save(snapshot(3))
    files = json.loads((path / "manifest.json").read_text())["files"]
    for name in CONTENT[1:]:
        data = (path / name).read_bytes()
        assert files[name] == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_random_state_goes_on_where_it_was(store: CheckpointStore) -> None:
    torch.manual_seed(17)
    torch.rand(3)
    # An odd count of normal draws leaves a cached value behind that belongs to the state.
    torch.randn(1)
    store.save(Snapshot(1, {}, {}, capture_random_state(), {}))
    expected = torch.randn(19), torch.rand(5), torch.randperm(23)
    torch.manual_seed(0)
    loaded = store.newest(silent)
    assert loaded is not None
    restore_random_state(loaded.random_state)
    found = torch.randn(19), torch.rand(5), torch.randperm(23)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("state", [{}, {"cpu": torch.zeros(3, dtype=torch.uint8)}])
def test_a_foreign_random_state_is_refused(state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(RunFolderError, match="random state"):
        restore_random_state(state)
