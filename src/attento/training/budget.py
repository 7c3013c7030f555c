"""How much memory there is, how much a training step takes of it, and the largest step that fits."""

import ctypes
import platform
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from attento.data.batches import TrainingBatch
from attento.errors import TrainingError
from attento.training.loop import Trainer

MOST_TOKENS = 25_000
"""The largest step that is chosen by itself: the paper's (Vaswani et al. 2017, section 5.1)."""

SHARE = 0.8
"""Of the free memory, what a step is planned to take: gaps between tensors grow, and libraries take some, too."""

_GIB = 2**30
_MEMINFO = Path("/proc/meminfo")
_STATUS = Path("/proc/self/status")
_FORGET_PEAK = Path("/proc/self/clear_refs")
_CANNOT_MEASURE = "this system does not tell how much memory a step takes; give `training.tokens_per_step` as a number"
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that this process can still take, of the GPU, or of machine and container; None if unknown."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch holds in reserve is free to the next tensor.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return None
    (available,) = (int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return min([available, *_left_in_cgroups()])


def _left_in_cgroups() -> list[int]:
    """Return the room in each control group around this process that has a limit (of cgroup v2, or v1's `memory`)."""
    try:
        own = [line.split(":", 2) for line in _OWN_CGROUP.read_text().splitlines()]
    except OSError:
        return []
    left = []
    for _, controllers, path in own:
        if controllers in ("", "memory"):
            root = _CGROUPS / controllers
            folder = root / path.lstrip("/")
            # A container often sees its own group as the root, whatever its path outside.
            for group in {root, folder, *(each for each in folder.parents if root in each.parents)}:
                left += _left_in_cgroup(group)
    return left


def _left_in_cgroup(group: Path) -> list[int]:
    for limit, usage in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        try:
            most, used = ((group / name).read_text().strip() for name in (limit, usage))
            statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        except OSError:
            continue
        if most.isdigit():
            # Cached files give way to whoever needs the memory.
            return [int(most) - int(used) + int(statistics.get("inactive_file", 0))]
    return []


class TakenMemory:
    """How many bytes this process takes for work on a device, counted from now on.

    On a GPU torch's own count of tensors; on a CPU the resident memory, which also holds the gaps between tensors.
    """

    def __init__(self, device: torch.device) -> None:
        """Begin to count.

        Raises:
            TrainingError: the system does not tell how much memory is taken.
        """
        self._device = device
        self._before = 0
        self._before = self.held()

    def held(self) -> int:
        """Return the bytes that are taken now."""
        if self._device.type == "cuda":
            return torch.cuda.memory_allocated(self._device) - self._before
        _give_memory_back()
        return _resident("VmRSS") - self._before

    def peak_of(self, action: Callable[[], object]) -> int:
        """Do something, and return the most bytes that were taken at once while it was done."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            action()
            return torch.cuda.max_memory_allocated(self._device) - self._before
        _give_memory_back()
        try:
            _FORGET_PEAK.write_text("5")
        except OSError as problem:
            raise TrainingError(_CANNOT_MEASURE) from problem
        action()
        return _resident("VmHWM") - self._before


def peak_memory(device: torch.device) -> int | None:
    """Return the most bytes ever taken: of the GPU by tensors, or of the machine by this process; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        return _resident("VmHWM")
    except TrainingError:
        return None


def _give_memory_back() -> None:
    """Let glibc give freed blocks to the system, so that taken again they count again."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _resident(name: str) -> int:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError as problem:
        raise TrainingError(_CANNOT_MEASURE) from problem
    (taken,) = (int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
    return taken


def largest_step(
    make_trainer: Callable[[], Trainer],
    device: torch.device,
    longest_batch: Callable[[int], TrainingBatch],
    free: int | None,
) -> int:
    """Return how many tokens a step of the longest pairs can have, by measuring some small ones.

    What is measured is real: steps of a trainer that is thrown away, the first of one pair, the others each twice as
    large as the one before, until the line through the last two tells of a step at most twice as large as the last.
    At most `MOST_TOKENS`, and rounded down to two digits; planned is `SHARE` of the free memory.

    Args:
        make_trainer: makes a trainer whose `accumulation` is 1.
        device: what it trains on.
        longest_batch: makes a batch of so many of the longest examples.
        free: what `free_memory` says.

    Raises:
        TrainingError: not one pair fits, or the system does not tell how much memory is free or taken.
    """
    memory = TakenMemory(device)
    if free is None:
        raise TrainingError(_CANNOT_MEASURE)
    trainer, limit = make_trainer(), round(SHARE * free)
    pair = _tokens(longest_batch(1))
    # Of the logits a chunk alone is in memory: up to there, each token takes more than beyond.
    some = 3 * trainer.config.loss_chunk_tokens // pair + 2
    points: list[tuple[int, int]] = []
    most, rows = free, 1
    while True:
        batch = longest_batch(rows).to(device)
        peak = memory.peak_of(partial(trainer.step, batch, _say_nothing))
        if trainer.state.parts > 1:
            # It ran out of memory, and went on with a part.
            most = rows * pair // trainer.state.parts
            break
        points = points or [(0, memory.held())]
        points.append((rows * pair, peak))
        reach = min(_fitting(points, limit), MOST_TOKENS)
        # After two real sizes; and the line is followed no further than to the double, since it may bend upwards.
        if reach < 2 * pair or (len(points) > 2 and 2 * rows * pair >= reach):
            break
        rows = min(max(2 * rows, some), reach // pair)
    fitting = min(_fitting(points, limit), most) if points else 0
    if fitting < pair:
        raise TrainingError(
            f"not even one pair of the longest sentences ({pair} tokens) fits in the {free / _GIB:.1f} GiB of memory "
            "that are free; set `training.activation_checkpointing: true`, lower `data.cleaning.max_tokens`, or make "
            "the model smaller"
        )
    return _round_down(min(fitting, MOST_TOKENS))


def _tokens(batch: TrainingBatch) -> int:
    return batch.num_source_tokens + batch.num_target_tokens


def _fitting(points: Sequence[tuple[int, int]], limit: int) -> int:
    """Return the tokens at which the line through the last two points (tokens, bytes) meets the limit."""
    (tokens_before, bytes_before), (tokens, taken) = points[-2:]
    by_token = max((taken - bytes_before) / (tokens - tokens_before), 1.0)
    return tokens + int((limit - taken) / by_token)


def _round_down(number: int) -> int:
    unit: int = 10 ** max(len(str(number)) - 2, 0)
    return number // unit * unit


def _say_nothing(message: str) -> None: ...
