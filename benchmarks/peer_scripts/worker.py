"""The other end of `training_speed.py`: a process that trains one system on given batches, a few steps at a time.

It runs in the system's own virtual environment and imports nothing of this project. One JSON object a line: the first
line in is the task, the first line out the facts of the system; then for each `{"precision", "first", "steps"}` a list
of steps. What the system itself prints goes to stderr.
"""

import ctypes
import importlib.metadata
import json
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Task:
    """What every system trains: one shape of the Transformer, on the same batches."""

    encoder_layers: int
    decoder_layers: int
    d_model: int
    d_ff: int
    num_heads: int
    vocab_size: int
    pad_id: int
    bos_id: int
    eos_id: int
    dropout: float
    label_smoothing: float
    clip_norm: float
    learning_rate: float
    beta1: float
    beta2: float
    epsilon: float
    precisions: list[str]
    threads: int
    tokens_per_step: int
    batches: str
    """An .npz of int64 arrays `source_N`, `target_input_N` and `target_output_N`: padded ids, one row a sentence."""
    corpus: str
    """The text of the batches, as `attento prepare` made it."""
    folder: str
    """A folder of its own."""


@dataclass(frozen=True)
class Step:
    """One step: wall-clock seconds, tokens trained on (without padding), mean loss of a target token in nats."""

    seconds: float
    source_tokens: int
    target_tokens: int
    loss: float


class System(Protocol):
    """One trainer of translation models."""

    packages: tuple[str, ...]
    """What it is made of, by the names of the registry."""
    parameters: int

    def run(self, precision: str, first: int, steps: int) -> list[Step]:
        """Train `steps` steps, from batch number `first` on; the batches are gone round and round."""
        ...


def parameter_count(model: Any) -> int:
    """Count a torch module's trained numbers, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


class TorchSystem:
    """A trainer written in torch, timed step by step from the same tensors."""

    packages: tuple[str, ...] = ("torch",)
    parameters: int

    def __init__(self, task: Task) -> None:
        import torch

        torch.set_num_threads(task.threads)
        torch.manual_seed(1)
        self.task = task
        arrays = np.load(task.batches)
        count = len(arrays.files) // 3
        names = ("source", "target_input", "target_output")
        self.batches = [[torch.from_numpy(arrays[f"{name}_{i}"]) for name in names] for i in range(count)]

    def step(self, batch: list[Any], precision: str) -> float:
        """Do one update and return the mean loss of a target token."""
        raise NotImplementedError

    def run(self, precision: str, first: int, steps: int) -> list[Step]:
        """Train `steps` steps and time each."""
        done = []
        for number in range(first, first + steps):
            batch = self.batches[number % len(self.batches)]
            started = time.perf_counter()
            loss = self.step(batch, precision)
            seconds = time.perf_counter() - started
            source_tokens, target_tokens = (int((ids != self.task.pad_id).sum()) for ids in (batch[0], batch[2]))
            done.append(Step(seconds, source_tokens, target_tokens, loss))
        return done


def serve(make: Callable[[Task], System]) -> None:
    """Answer commands until stdin ends; a failure is the last answer."""
    end_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=answers, flush=True)

    try:
        system = make(Task(**json.loads(sys.stdin.readline())))
        versions = {name: importlib.metadata.version(name) for name in system.packages}
        answer({"parameters": system.parameters, "versions": versions})
        for line in sys.stdin:
            steps = [asdict(step) for step in system.run(**json.loads(line))]
            _give_memory_back()
            # By this, the process is stopped.
            answer({"steps": steps})
    except Exception as problem:
        traceback.print_exc()
        answer({"error": f"{type(problem).__name__}: {problem}"})


def end_with_parent() -> None:
    """Have the system kill this process when the one that started it is gone: a stopped process cannot see that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _give_memory_back() -> None:
    # The others shall have it; the first step of the next visit, which finds it gone, is not counted.
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
