"""One process alone, or several that share each step's batch: all that the training loop asks of the others.

`torchrun` starts the processes and tells each its number. All of them walk through the same batches, take their rows of
each, and make the same decisions. The first one alone prepares text, validates and writes files.
"""

import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from attento.data.batches import TrainingBatch
from attento.device import choose_device
from attento.errors import ConfigError
from attento.training.config import RecipeConfig, TrainingConfig
from attento.training.records.checkpoint import capture_random_state, restore_random_state
from attento.training.update.objective import Objective
from attento.training.update.precision import MasterWeights

Say = Callable[[str], None]
Made = TypeVar("Made")

COMMAND = "torchrun --nproc-per-node N -m attento train ..."


class Alone:
    """The only process of a run: every question is answered on the spot."""

    rank, size = 0, 1

    def __init__(self, config: TrainingConfig) -> None:
        """Choose the device.

        Raises:
            ConfigError: the device is not there.
        """
        self.config = config
        self.device = choose_device(config.device)
        self._module: nn.Module

    @property
    def first(self) -> bool:
        """Whether this is the process that prepares, validates, writes and speaks."""
        return self.rank == 0

    def __enter__(self) -> "Alone":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def begin(self, phase: str, step: int, *, unhurried: bool = False) -> None:
        """Note what begins, for a word on where a process stopped."""

    def voice(self, say: Say) -> Say:
        """Return `say` for the first process, and silence for the others."""
        return say if self.first else _silence

    def any(self, flag: bool) -> bool:
        """Tell whether the flag is true in any process."""
        return flag

    def gathered(self, number: float) -> float:
        """Return the sum over all processes to the first one, and zero to the others."""
        return number

    def from_first(self, make: Callable[[], Made]) -> Made:
        """Return what the first process makes; the others make nothing."""
        return make()

    def after_first(self, make: Callable[[], Made]) -> Made:
        """Return what each process makes, the first one before all others."""
        return make()

    def shares(self, batch: TrainingBatch, parts: int) -> list[TrainingBatch | None]:
        """Return this process's rows of a batch in at most so many parts: as many parts as in all other processes."""
        return [*batch.split(parts)]

    def spread(self, objective: Objective[Any, Any], dtype: torch.dtype) -> MasterWeights:
        """Make ready to compute `loss` in a number format; return the weights that an optimizer is to change."""
        self._module = objective
        return MasterWeights(objective.model, dtype)

    def loss(self, batch: TrainingBatch | None) -> Float[Tensor, ""]:
        """Compute the summed loss of this process's rows.

        Raises:
            RuntimeError: also out of memory, and then in all processes.
        """
        loss: Tensor = self._module(batch)
        return loss

    def backward(self, loss: Float[Tensor, ""]) -> None:
        """Add to each parameter's gradient that of the sum of all processes' losses."""
        loss.backward()  # type: ignore[no-untyped-call]

    def draw_anew(self, step: int) -> None:
        """Begin this process's random stream: a pure function of seed, step and rank."""
        seed = np.random.SeedSequence(self.config.seed, spawn_key=(step, self.rank)).generate_state(1, np.uint64)
        torch.manual_seed(int(seed[0]))

    def random_state(self) -> dict[str, UInt8[Tensor, " _"]]:
        """Return the states of all processes' random streams."""
        return capture_random_state()

    def restore_random_state(self, state: Mapping[str, UInt8[Tensor, " _"]], step: int, say: Say) -> None:
        """Put back what `random_state` returned; of another number of processes, streams begin anew.

        Raises:
            RunFolderError: the state does not fit.
        """
        found = 1 + max((int(name.partition("/")[0][4:]) for name in state if name.startswith("rank")), default=0)
        if found != self.size:
            say(
                f"the checkpoint is of a run in {found} processes, and this one has {self.size}: the same batches "
                "follow, but dropout's random streams begin anew, from seed, step and rank"
            )
            self.draw_anew(step)
            return
        restore_random_state(self._own_state(state))

    def _own_state(self, state: Mapping[str, UInt8[Tensor, " _"]]) -> Mapping[str, UInt8[Tensor, " _"]]:
        return state


def join(config: RecipeConfig, environment: Mapping[str, str] = os.environ) -> Alone:
    """Find out whether this process is one of several, and return what it asks the others through.

    Raises:
        ConfigError: settings, devices and what `torchrun` says do not fit together.
    """
    parallel = config.training.parallel
    several = environment.get("WORLD_SIZE", "1") != "1"
    if parallel == "auto" and not several:
        return Alone(config.training)
    if "RANK" not in environment and not several:
        raise ConfigError(
            f"`training.parallel: {parallel}` is for several processes; start them by `{COMMAND}`, or set it to auto"
        )
    if not torch.distributed.is_available():
        raise ConfigError("this torch is built without its distributed part; train with one process")
    # Here: one process alone has no need of what this takes along.
    from attento.training.parallel.ranks import Ranks

    return Ranks(config, environment)


def _silence(text: str) -> None:
    pass
