"""What is asked of a trained system on its test set, whatever the kind of work."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from attento.comparison.config import CostConfig, QualityConfig
from attento.comparison.results import LengthScore, Quantity
from attento.training.config import RecipeConfig


@dataclass(frozen=True)
class Subject:
    """A trained system: its recipe, its text, its model with the weights that training left."""

    config: RecipeConfig
    corpus: Any
    model: nn.Module
    device: torch.device
    data_root: Path


@dataclass(frozen=True)
class Quality:
    """The scores of a system by name, and BLEU by source length where there are sources."""

    scores: dict[str, Quantity]
    by_length: tuple[LengthScore, ...] = ()


class Examination(ABC):
    """A test set, and a system that is to be examined on it."""

    speed_name: str
    """What is counted in a second."""

    def __init__(self, subject: Subject, batch_tokens: int) -> None:
        """Read the test set.

        Args:
            subject: the system.
            batch_tokens: tokens of one batch, the same for all systems.

        Raises:
            DataError: the test set cannot be read as it stands.
        """
        self.subject = subject
        self.batch_tokens = batch_tokens

    @abstractmethod
    def quality(self, config: QualityConfig, seed: int) -> Quality:
        """Score the system.

        Raises:
            InputError: the test set cannot be scored.
        """

    @abstractmethod
    def work(self, config: CostConfig) -> tuple[Callable[[], object], int]:
        """Return the work whose speed is measured, and how many of `speed_name` it does."""

    def speed(self, config: CostConfig) -> Quantity:
        """Measure how many of `speed_name` are done in a second; the work is done once before, untimed."""
        work, count = self.work(config)
        rates = [count / self._seconds(work) for _ in range(config.repeats + 1)][1:]
        return Quantity(
            value=median(rates),
            low=min(rates),
            high=max(rates),
            spread=f"lowest and highest of {len(rates)} runs",
            runs=len(rates),
            note=f"{count:,} at a time, batches of at most {self.batch_tokens:,} tokens, on {self.subject.device}",
        )

    def _seconds(self, work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        if self.subject.device.type == "cuda":
            torch.cuda.synchronize(self.subject.device)
        return time.perf_counter() - started
