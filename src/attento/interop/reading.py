"""Foreign weights to ours: every one that is missing, unexpected or wrong is found before anything is written."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from attento.errors import DataError
from attento.interop.family import Family, Weight, unchanged
from attento.interop.hub_folder import HubFolder


def read_weights(
    folder: HubFolder, family: Family, weights: Sequence[Weight], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Return the weights of ours, in float32.

    Args:
        folder: where theirs are.
        family: which of theirs say nothing, and what all names begin with.
        weights: which of theirs each of ours is; those that theirs may lack are not among the result then.
        shapes: the shapes that ours must have.

    Raises:
        DataError: lists every weight that is missing, unexpected, of another shape or not finite.
    """
    full = _full_names(folder.files, family.prefix, weights)
    present = set(full.values())
    plan, problems = _plan(weights, present)
    twice = {copy: weight for weight in weights for copy in weight.copies if copy in present and copy not in plan}
    problems += [
        f"`{name}` is unexpected" for name in sorted(present - plan.keys() - twice.keys()) if not family.ignores(name)
    ]
    found: dict[str, Tensor] = {}
    copies: dict[str, Tensor] = {}
    for name, tensor in folder.weights():
        name = full[name]
        if name in twice:
            copies[name] = tensor
        elif name in plan:
            problems += _read(name, tensor, plan[name], shapes, found)
    problems += [
        f"`{copy}` must be the same as `{weight.theirs}`, since it is tied to it, but is not"
        for copy, weight in sorted(twice.items(), key=lambda item: item[0])
        if weight.ours in found and not _same(weight, copies[copy], found[weight.ours])
    ]
    if problems:
        raise DataError(
            f"{folder.path}: its weights are not those that config.json describes; bring the files of one model "
            "together:\n  " + "\n  ".join(dict.fromkeys(problems))
        )
    return found


def _full_names(names: Collection[str], prefix: str, weights: Sequence[Weight]) -> dict[str, str]:
    """Return each name as it is in files of the model with its head; those of a bare model lack what all begin with."""
    known = {name for weight in weights for name in (weight.theirs, *weight.copies)}
    bare = bool(prefix) and not any(name.startswith(prefix) for name in names)
    return {name: prefix + name if bare and name not in known else name for name in names}


def _plan(weights: Sequence[Weight], present: set[str]) -> tuple[dict[str, list[Weight]], list[str]]:
    """Return what is to be read of each weight of theirs, and which are missing."""
    plan, problems = defaultdict[str, list[Weight]](list), []
    for weight in weights:
        name = next((each for each in (weight.theirs, *weight.copies) if each in present), None)
        if name is not None:
            plan[name].append(weight)
        elif not weight.optional:
            problems.append(f"`{weight.theirs}` is missing")
    return dict(plan), problems


def _read(
    name: str,
    tensor: Tensor,
    weights: Sequence[Weight],
    shapes: Mapping[str, tuple[int, ...]],
    found: dict[str, Tensor],
) -> list[str]:
    """Make weights of ours of one of theirs; return what is wrong with it."""
    if not tensor.is_floating_point():
        return [f"`{name}` holds {tensor.dtype} and not floating-point numbers: quantized weights are not supported"]
    if not tensor.isfinite().all():
        return [f"`{name}` holds values that are not finite"]
    problems = []
    for weight in weights:
        shape = shapes[weight.ours]
        try:
            ours = weight.read(tensor.float()).contiguous()
        except (ValueError, IndexError, RuntimeError) as problem:
            problems.append(f"`{name}` has shape {tuple(tensor.shape)}, which does not fit: {problem}")
            continue
        if tuple(ours.shape) == shape:
            found[weight.ours] = ours
        elif weight.read is unchanged:
            problems.append(f"`{name}` has shape {tuple(tensor.shape)}, but must have {shape}")
        else:
            problems.append(
                f"`{name}` has shape {tuple(tensor.shape)}, which makes {tuple(ours.shape)} of `{weight.ours}`, "
                f"but must make {shape}"
            )
    return problems


def _same(weight: Weight, copy: Tensor, ours: Tensor) -> bool:
    try:
        return torch.equal(weight.read(copy.float()), ours)
    except (ValueError, IndexError, RuntimeError):
        return False
