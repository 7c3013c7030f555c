"""Compiling the model's forward and backward pass, its results kept from run to run."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from attento.errors import ConfigError, TrainingError

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
BACKEND = "inductor"


def compiled(features: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `Objective.features` compiled by torch (Ansel et al. 2024, "PyTorch 2"), for batches of any shape.

    The loss stays as it is: its products are as fast as can be, and its loop over chunks would be compiled anew for
    every number of chunks. Compilation happens at the first call.

    Raises:
        ConfigError: this system cannot keep what is compiled.
    """
    _keep_results()
    fast = torch.compile(features, dynamic=True, backend=BACKEND)

    def run(batch: Any) -> Any:
        # Here: it is imported along with the compiler.
        from torch._dynamo.exc import TorchDynamoException

        try:
            return fast(batch)
        except TorchDynamoException as problem:
            # What a backend met comes wrapped; the wrapping's first line tells nothing.
            cause = getattr(problem, "inner_exception", problem)
            first_line = f"{type(cause).__name__}: {cause}".partition("\n")[0]
            raise TrainingError(
                f"torch cannot compile this model here ({first_line}); set `training.compile: false`"
            ) from problem

    return run


def cache_folder() -> Path:
    """Return where compiled code is kept: in the user's cache, where torch's own choice is a temporary folder."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "attento" / "compiled"


def _keep_results() -> None:
    if CACHE_VARIABLE in os.environ:
        return
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigError(
            f"`training.compile` keeps what it compiles in {folder}, which cannot be made: {problem.strerror}; set "
            f"{CACHE_VARIABLE} to another folder, or `training.compile: false`"
        ) from problem
    os.environ[CACHE_VARIABLE] = str(folder)
