"""The average is the float64 mean, and weights are written whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from attento.errors import RunFolderError, TrainingError
from attento.training.records import averaging
from attento.training.records.averaging import average_weights, save_weights


def write(folder: Path, count: int, dtype: torch.dtype = torch.float32) -> tuple[list[Path], list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(count)
    weights = [(torch.randn(3, 7, generator=generator) * 10.0**index).to(dtype) for index in range(count)]
    paths = [folder / f"{index}.safetensors" for index in range(count)]
    for index, (path, weight) in enumerate(zip(paths, weights, strict=True)):
        save_file({"weight": weight, "other": weight[1].clone(), "counter": torch.tensor(index)}, path)
    return paths, weights


def test_is_the_float64_mean(tmp_path: Path) -> None:
    paths, weights = write(tmp_path, 5)
    mean = np.stack([weight.numpy().astype(np.float64) for weight in weights]).mean(axis=0)
    average = average_weights(paths)
    assert average["weight"].dtype == torch.float32
    assert np.array_equal(average["weight"].numpy(), mean.astype(np.float32))
    assert np.array_equal(average["other"].numpy(), mean[1].astype(np.float32))
    assert average["counter"].item() == 4


def test_half_precision_does_not_lose_small_parts(tmp_path: Path) -> None:
    # In float16, 2048 + 1 is 2048: adding up in the files' own dtype gives 819.2 -> 819.
    for index, value in enumerate([2048.0, 1.0, 1.0, 1.0, 2048.0]):
        save_file({"weight": torch.tensor([value], dtype=torch.float16)}, tmp_path / f"{index}.safetensors")
    average = average_weights(sorted(tmp_path.iterdir()))["weight"]
    assert average.dtype == torch.float16
    assert average.item() == torch.tensor(4099 / 5, dtype=torch.float64).half().item()


def test_one_file_is_its_own_average(tmp_path: Path) -> None:
    paths, weights = write(tmp_path, 1)
    assert torch.equal(average_weights(paths)["weight"], weights[0])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"weight": torch.zeros(2, 3)}, r"`weight` is torch.float32 \(2, 3\) here and torch.float32 \(3, 2\) there"),
        ({"weight": torch.zeros(3, 2).double()}, "torch.float64"),
        ({"bias": torch.zeros(3, 2)}, "has no `weight`, has `bias` besides"),
    ],
)
def test_weights_of_another_model_are_refused(tmp_path: Path, other: dict[str, torch.Tensor], message: str) -> None:
    save_file({"weight": torch.zeros(3, 2)}, tmp_path / "a")
    save_file(other, tmp_path / "b")
    with pytest.raises(RunFolderError, match=message):
        average_weights([tmp_path / "a", tmp_path / "b"])


def test_missing_damaged_and_no_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "damaged").write_bytes(b"no weights")
    for paths, message in (([], "no weights"), ([tmp_path / "gone"], "gone"), ([tmp_path / "damaged"], "damaged")):
        with pytest.raises(RunFolderError, match=message):
            average_weights(paths)


def test_saving_replaces_and_takes_shared_memory(tmp_path: Path) -> None:
    path = tmp_path / "new" / "model.safetensors"
    save_weights({"weight": torch.zeros(2)}, path)
    weight = torch.arange(6.0).reshape(2, 3)
    save_weights({"weight": weight, "tied": weight, "turned": weight.t()}, path)
    loaded = load_file(path)
    assert loaded.keys() == {"weight", "tied", "turned"}
    assert torch.equal(loaded["tied"], weight)
    assert torch.equal(loaded["turned"], weight.t())
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("problem", [KeyboardInterrupt, OSError("No space left on device")])
def test_a_failed_save_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: type[BaseException] | OSError
) -> None:
    path = tmp_path / "model.safetensors"
    save_weights({"weight": torch.ones(3)}, path)

    def fail(writing: Path, final: Path) -> None:
        raise problem

    monkeypatch.setattr(averaging, "replace_file", fail)
    with pytest.raises(TrainingError if isinstance(problem, OSError) else KeyboardInterrupt):
        save_weights({"weight": torch.zeros(3)}, path)
    assert torch.equal(load_file(path)["weight"], torch.ones(3))
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]
