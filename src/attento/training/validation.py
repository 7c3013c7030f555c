"""How good a model is by now: what every judgement has, and the search for a batch that memory can hold."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from attento.errors import TrainingError
from attento.training.process import is_out_of_memory

_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class ValidationResult:
    """What a validation found.

    Attributes:
        loss: nats a target token, or a label; without label smoothing.
        metrics: what else was measured, by name.
        by: the name of the metric that decides, or "loss".
    """

    loss: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    by: str = "loss"

    def score(self) -> float:
        """Return the number to make large."""
        return -self.loss if self.by == "loss" else self.metrics[self.by]

    def record(self, prefix: str) -> dict[str, float]:
        """Return all numbers, by names that begin with a prefix."""
        return {prefix + name: value for name, value in {"loss": self.loss, **self.metrics}.items()}

    def __str__(self) -> str:
        return ", ".join([f"loss {self.loss:.3f}", *(_shown(*metric) for metric in self.metrics.items())])


def _shown(name: str, value: float) -> str:
    match name:
        case "bleu":
            return f"BLEU {value:.2f}"
        case "accuracy":
            return f"accuracy {value:.1%}"
    return f"{name.replace('_', ' ')} {value:.3f}"


def perplexity(loss: float) -> float:
    """Return exp(loss): among how many equally probable tokens the model chooses; infinite where that overflows."""
    return math.exp(loss) if loss < 700 else math.inf


class Validator(ABC):
    """Judges a model on a validation set."""

    def __init__(self) -> None:
        self._batch_tokens = _BATCH_TOKENS

    def validate(self, model: nn.Module, device: torch.device) -> ValidationResult:
        """Judge the model as it stands; it is back in training mode afterwards if it was before.

        Batches have half as many tokens each time that memory runs out; later validations begin there.

        Raises:
            TrainingError: one row alone does not fit in memory.
        """
        training = model.training
        model.eval()
        try:
            while True:
                try:
                    return self.judge(model, device, self._batch_tokens)
                except (MemoryError, RuntimeError) as problem:
                    if not is_out_of_memory(problem):
                        raise
                # Outside of `except`: the problem's traceback would keep the tensors of the failed attempt alive.
                if self._batch_tokens == 1:
                    raise TrainingError(
                        "validation: one sentence alone does not fit in memory; leave the longest sentences out of "
                        "`data.validation`, or make the model smaller"
                    )
                self._batch_tokens //= 2
        finally:
            model.train(training)

    @abstractmethod
    def judge(self, model: Any, device: torch.device, batch_tokens: int) -> ValidationResult:
        """Judge a model in evaluation mode, in batches of so many tokens; `model` is of the validator's own task.

        Raises:
            RuntimeError: also out of memory.
        """
