"""The mean of several sets of weights, and writing weights whole or not at all. Knows no model."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from attento.errors import RunFolderError, TrainingError
from attento.training.records.checkpoint import replace_file, write_tensors


def average_weights(paths: Sequence[Path]) -> dict[str, Tensor]:
    """Return the arithmetic mean of the weights in several safetensors files, added up in float64.

    Vaswani et al. 2017, section 6.1, average the last 5 (base) or 20 (big) checkpoints. The result has the files' own
    dtype; whole numbers and Booleans have no mean and are taken from the last file. Beside the result,
    one name's tensors are in memory at a time.

    Raises:
        RunFolderError: no file is given, one cannot be read, or names, shapes or dtypes differ between them.
    """
    if not paths:
        raise RunFolderError("there are no weights to average; train until at least one checkpoint is written")
    with contextlib.ExitStack() as stack:
        files = [(path, stack.enter_context(_open(path))) for path in paths]
        names = list(files[0][1].keys())
        for path, file in files[1:]:
            _require_same_names(set(names), set(file.keys()), paths[0], path)
        return {name: _average([(path, file.get_tensor(name)) for path, file in files], name) for name in names}


def save_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write weights as one safetensors file, whole or not at all: what stood there before is kept until then.

    Raises:
        TrainingError: the disk is full or the folder cannot be written.
    """
    writing = path.with_name(f".{path.name}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(weights, writing)
        replace_file(writing, path)
    except (OSError, SafetensorError) as problem:
        raise TrainingError(
            f"{path}: the weights could not be written ({problem}); free some space or mend the folder, "
            "then run the same command again"
        ) from problem
    finally:
        with contextlib.suppress(OSError):
            writing.unlink(missing_ok=True)


def _open(path: Path) -> safe_open:
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as problem:
        raise RunFolderError(f"{path}: holds no readable weights: {problem}") from problem


def _require_same_names(expected: set[str], found: set[str], first: Path, path: Path) -> None:
    problems = [f"has no `{name}`" for name in sorted(expected - found)]
    problems += [f"has `{name}` besides" for name in sorted(found - expected)]
    if problems:
        raise RunFolderError(
            f"{path}: cannot be averaged with {first}: {', '.join(problems)}; average checkpoints of one run only"
        )


def _average(tensors: Sequence[tuple[Path, Tensor]], name: str) -> Tensor:
    first_path, first = tensors[0]
    for path, tensor in tensors[1:]:
        if tensor.shape != first.shape or tensor.dtype != first.dtype:
            raise RunFolderError(
                f"{path}: cannot be averaged with {first_path}: `{name}` is {tensor.dtype} {tuple(tensor.shape)} here "
                f"and {first.dtype} {tuple(first.shape)} there; average checkpoints of one run only"
            )
    if not first.is_floating_point():
        return tensors[-1][1].clone()
    total = torch.zeros(first.shape, dtype=torch.float64)
    for _, tensor in tensors:
        total += tensor
    return (total / len(tensors)).to(first.dtype)
