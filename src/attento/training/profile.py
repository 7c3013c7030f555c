"""Where the time of a training step goes, how fast that is, and how near to what the machine can do.

The steps are those of a run, by the very trainer that it has, with its parts timed. Nothing is written.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from attento.cores import available_cores
from attento.data.batches import TrainingBatch
from attento.errors import ConfigError
from attento.models.language.config import NGramConfig
from attento.run_folder import RunFolder
from attento.training.budget import peak_memory
from attento.training.build import build_trainer, settle_step
from attento.training.loop import Trainer
from attento.training.parallel.alone import join
from attento.training.process import keep_freed_memory, use_available_cores
from attento.training.run import Recipe, Say
from attento.training.tasks.base import Corpus
from attento.training.tasks.choose import task_of
from attento.training.update.objective import Objective

PHASES = ("data", "forward", "loss", "backward", "optimizer")
WARM_UP = 3
"""Steps before the measured ones: memory is taken and kernels are chosen in them."""

_MATRIX = {"cpu": 2048, "cuda": 8192}
_LEAST_SECONDS, _LEAST_PRODUCTS = 0.5, 4


@dataclass(frozen=True)
class Profile:
    """What was measured over some steps; times are seconds a step, rates are a second."""

    device: torch.device
    dtype: torch.dtype
    threads: int
    tokens_per_step: int
    """As set; `tokens` is what the measured steps had."""
    steps: int
    warm_up: int
    """Steps before the measured ones."""
    phases: dict[str, float]
    """By the names of `PHASES`; the gradients' way to the master weights and clipping belong to the optimizer."""
    seconds: float
    """A whole step."""
    tokens: float
    """Source and target tokens of a step, without padding."""
    padding: float
    """Share of the places of the batches that are padding."""
    operations: float
    """Floating-point operations that a step's matrix products take, padding included, nothing computed twice."""
    ceiling: float
    """Operations a second of large matrix products in the same number format, measured before and after the steps."""
    peak_memory: int | None
    """Bytes: on a GPU of torch's tensors, otherwise of the whole process; None where the system does not tell."""

    @property
    def share_of_ceiling(self) -> float:
        """The rate of the steps' matrix products over that of large ones."""
        return self.operations / self.seconds / self.ceiling


class Stopwatch:
    """Adds up the seconds that are spent in each phase, a GPU's own work included."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, float] = defaultdict(float)

    def now(self) -> float:
        """Wait until the device has done all that it was given, and return the time."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Time what is done in the context as part of a phase."""
        started = self.now()
        yield
        self.seconds[phase] += self.now() - started


class TimedTrainer(Trainer):
    """A trainer of one process whose parts are timed; what it computes is the same."""

    watch: Stopwatch

    def _part(self, batch: TrainingBatch | None, tokens: int) -> float:
        assert batch is not None  # one process has a share of every batch
        with self.watch("data"):
            batch = batch.to(self.device)
        with self.watch("forward"):
            features = self.objective.features(batch)
        with self.watch("loss"):
            loss = self.objective.loss(features, batch)
        with self.watch("backward"):
            self.world.backward(loss / tokens)
        with self.watch("optimizer"):
            self.weights.take_gradients()
        value: float = loss.item()
        return value

    def _update(self) -> float:
        with self.watch("optimizer"):
            return super()._update()


def profile(recipe: Recipe, output: Path, steps: int, say: Say = print) -> Profile:
    """Measure steps of the run that `train` would make of a recipe; the run folder is read at most.

    Raises:
        ConfigError: settings are wrong, or there are several processes.
        DataError: the text cannot be prepared.
        InputError: BLEU cannot be computed in the way asked for.
        TrainingError: a step cannot be computed.
    """
    config, folder = recipe.config, RunFolder(output)
    keep_freed_memory()
    use_available_cores()
    with join(config) as world, _text(recipe, folder, say) as corpus:
        if isinstance(config.model, NGramConfig):
            raise ConfigError("`--profile` is for models that are trained by steps; n-grams are counted")
        if world.size > 1:
            raise ConfigError("`--profile` is for one process; call it without torchrun")
        config = settle_step(config, corpus, folder, say, world)
        torch.manual_seed(config.training.seed)
        return measure(build_trainer(config, corpus, folder, world, TimedTrainer), steps, say)


@contextmanager
def _text(recipe: Recipe, folder: RunFolder, say: Say) -> Iterator[Corpus]:
    """Open the text where it is prepared already; otherwise prepare it in a folder that is gone afterwards."""
    task = task_of(recipe.config)
    if recipe.prepared is not None:
        yield task.open(recipe.prepared)
    elif task.is_prepared(recipe.config, recipe.data_root, folder.prepared):
        yield task.open(folder.prepared)
    else:
        say("preparing the text in a temporary folder; with --prepared it is there already")
        with tempfile.TemporaryDirectory() as temporary:
            place = Path(temporary) / "prepared"
            yield task.prepare(recipe.config, recipe.data_root, place, workers=available_cores(), tell=_silent)


def _silent(stage: str, done: int, total: int | None) -> None: ...


def measure(trainer: TimedTrainer, steps: int, say: Callable[[str], None]) -> Profile:
    """Measure steps of a trainer, from its first batch on, after `WARM_UP` others; its weights change.

    Raises:
        TrainingError: a step cannot be computed.
    """
    device, dtype = trainer.device, trainer.weights.dtype
    trainer.watch = watch = Stopwatch(device)
    rates = matmul_rates(device, dtype)
    stream = trainer.batches.from_position()
    batches: list[TrainingBatch] = []
    started = 0.0
    for number in range(WARM_UP + steps):
        if number == WARM_UP:
            watch.seconds.clear()
            batches.clear()
            started = watch.now()
        with watch("data"):
            _, batch = next(stream)
        trainer.step(batch, say)
        batches.append(batch)
    seconds = watch.now() - started
    memory = peak_memory(device)
    tokens_per_step = trainer.config.tokens_per_step
    assert tokens_per_step != "auto"
    tokens = sum(batch.num_source_tokens + batch.num_target_tokens for batch in batches)
    places = sum(batch.num_places for batch in batches)
    return Profile(
        device=device,
        dtype=dtype,
        threads=torch.get_num_threads(),
        tokens_per_step=tokens_per_step,
        steps=steps,
        warm_up=WARM_UP,
        phases={phase: watch.seconds[phase] / steps for phase in PHASES},
        seconds=seconds / steps,
        tokens=tokens / steps,
        padding=1 - tokens / places,
        operations=sum(operations(trainer.objective, batch.to(device)) for batch in batches) / steps,
        ceiling=median(rates + matmul_rates(device, dtype)),
        peak_memory=memory,
    )


@torch.no_grad()
def operations(objective: Objective[Any, Any], batch: TrainingBatch) -> int:
    """Count the floating-point operations of the matrix products of a step, two for each multiply-add.

    The backward pass takes twice the forward pass, a product for the gradient of either factor. What activation
    checkpointing computes again is not counted: it brings training no further.
    """
    with FlopCounterMode(display=False) as forward:
        # Not by the instance's own, which may be compiled: what is fused cannot be counted.
        features = type(objective).features(objective, batch)
    # It makes the gradients along with the loss.
    with FlopCounterMode(display=False) as loss:
        objective.loss(features, batch)
    return int(3 * forward.get_total_flops() + loss.get_total_flops())


def matmul_rates(device: torch.device, dtype: torch.dtype) -> list[float]:
    """Multiply large matrices for half a second, and return each product's operations a second."""
    size = _MATRIX[device.type]
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    result = torch.empty_like(left)
    watch = Stopwatch(device)
    rates: list[float] = []
    begun = watch.now()
    while len(rates) < _LEAST_PRODUCTS or watch.now() - begun < _LEAST_SECONDS:
        started = watch.now()
        torch.mm(left, right, out=result)
        rates.append(2 * size**3 / (watch.now() - started))
    # The first one prepares the kernel.
    return rates[1:]
