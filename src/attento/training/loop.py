"""The one training loop. It drives anything that encodes, starts and decodes, and does not know which one it drives."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from attento.data.batching import Batch, TokenBatches
from attento.device import choose_device, has_fast_bf16
from attento.errors import RunFolderError, TrainingError
from attento.models.base import EncoderDecoder
from attento.run_folder import RunFolder
from attento.training.averaging import save_weights
from attento.training.checkpoint import CheckpointStore, Snapshot, capture_random_state, restore_random_state
from attento.training.config import TrainingConfig
from attento.training.loss import backward_in_chunks
from attento.training.optimizer import build_optimizer, load_optimizer_tensors, optimizer_tensors
from attento.training.process import StopRequest
from attento.training.progress import TrainingProgress
from attento.training.record import MetricsLog
from attento.training.schedules import learning_rate
from attento.training.validation import Validator


@dataclass
class Meter:
    """What has been seen since the last report, skipped steps left out: nats (label-smoothed, summed), tokens."""

    loss: float = 0.0
    source_tokens: int = 0
    target_tokens: int = 0
    gradient_norm: float = 0.0
    seconds: float = 0.0
    """Spent on steps, skipped ones too."""

    def add(self, loss: float, batch: Batch, gradient_norm: float) -> None:
        """Count a step."""
        self.loss += loss
        self.source_tokens += batch.num_source_tokens
        self.target_tokens += batch.num_target_tokens
        self.gradient_norm = gradient_norm

    def report(self) -> dict[str, float]:
        """Return the mean loss of a target token, tokens a second, and the last gradient's norm before clipping."""
        return {
            "loss": self.loss / self.target_tokens if self.target_tokens else math.nan,
            "source_tokens_per_second": self.source_tokens / self.seconds,
            "target_tokens_per_second": self.target_tokens / self.seconds,
            "gradient_norm": self.gradient_norm,
        }


@dataclass
class RunState:
    """Where a run stands: with the weights, the optimizer and the random state, all that it goes on from."""

    text: str
    """Fingerprint of the text that the run trains on."""
    step: int = 0
    epoch: int = 0
    index: int = 0
    parts: int = 1
    """In how many parts a step's batch had to be computed to fit into memory."""
    best_score: float | None = None
    best_step: int = 0
    worse_validations: int = 0
    bad_steps: int = 0
    bad_steps_in_a_row: int = 0
    source_tokens: int = 0
    target_tokens: int = 0
    meter: Meter = field(default_factory=Meter)

    @classmethod
    def load(cls, progress: dict[str, Any]) -> "RunState":
        """Make the state again from what `asdict` made of it."""
        return cls(**progress | {"meter": Meter(**progress["meter"])})


class Trainer:
    """Trains one model on one stream of batches, and keeps what is needed to go on after any interruption."""

    def __init__(
        self,
        config: TrainingConfig,
        model: EncoderDecoder,
        batches: TokenBatches,
        validator: Validator,
        folder: RunFolder,
        text: str,
    ) -> None:
        self.config = config
        self.device = choose_device(config.device)
        bf16 = config.precision == "bf16" or (config.precision == "auto" and has_fast_bf16(self.device))
        self.precision = torch.bfloat16 if bf16 else torch.float32
        self.model = model.to(self.device).train()
        self.batches = batches
        self.validator = validator
        self.folder = folder
        self.optimizer = build_optimizer(config.optimizer, model)
        self.store = CheckpointStore(folder.checkpoints, config.keep_last, config.checkpoint_every)
        self.best_weights = folder.checkpoints / "best.safetensors"
        self.state = RunState(text)

    def resume(self, say: Callable[[str], None]) -> None:
        """Go on from the newest good checkpoint, if there is one.

        Raises:
            RunFolderError: every checkpoint is damaged, or the newest is of another text or model.
        """
        snapshot = self.store.newest(say)
        if snapshot is None:
            return
        if snapshot.progress.get("text") != self.state.text:
            raise RunFolderError(
                f"{self.folder.path}: was trained on other text than there is now; restore the text, or choose another "
                "--output"
            )
        try:
            self.model.load_state_dict(snapshot.model)
            load_optimizer_tensors(self.optimizer, self.model, snapshot.optimizer)
            self.state = RunState.load(snapshot.progress)
        except (RuntimeError, KeyError, TypeError) as problem:
            raise RunFolderError(
                f"{self.store.folder}: the checkpoint of step {snapshot.step} does not fit this model: {problem}"
            ) from problem
        restore_random_state(snapshot.random_state)
        say(f"going on from step {self.state.step}")

    def run(self, progress: TrainingProgress, metrics: MetricsLog) -> bool:
        """Train to the last step, to an early stop or to a request to leave; return False for the last.

        Raises:
            TrainingError: too many steps in a row were not finite, or one sentence pair alone does not fit in memory.
        """
        state, config = self.state, self.config
        stream = self.batches.from_position(state.epoch, state.index)
        saved = state.step
        with StopRequest() as stop:
            while not self.at_end() and not stop.requested:
                started = time.perf_counter()
                position, batch = next(stream)
                self.step(batch.to(self.device), progress.say)
                state.step, state.epoch, state.index = state.step + 1, position.epoch, position.index
                state.meter.seconds += time.perf_counter() - started
                if self._due(config.report_every):
                    self._report(progress, metrics)
                if self._due(config.validate_every):
                    self._validate(progress, metrics)
                # Not amid bad steps: they may mean that the weights are no longer good ones.
                if state.step % config.checkpoint_every == 0 and not state.bad_steps_in_a_row:
                    self.save()
                    saved = state.step
            if state.step != saved:
                self.save()
        return not stop.requested

    def at_end(self) -> bool:
        """Tell whether the run has come to its last step or to an early stop."""
        return self.state.step >= self.config.max_steps or self.out_of_patience()

    def out_of_patience(self) -> bool:
        """Tell whether too many validations in a row were no better than the best."""
        patience = self.config.validation.patience
        return patience is not None and self.state.worse_validations >= patience

    def save(self) -> None:
        """Write a checkpoint of this very moment."""
        optimizer = optimizer_tensors(self.optimizer, self.model)
        progress = asdict(self.state)
        self.store.save(Snapshot(self.state.step, self._weights(), optimizer, capture_random_state(), progress))

    def step(self, batch: Batch, say: Callable[[str], None]) -> None:
        """Do one update by a batch; a gradient that is not finite changes nothing and is counted.

        Raises:
            TrainingError: too many steps in a row were not finite, or one sentence pair alone does not fit in memory.
        """
        state = self.state
        rate = learning_rate(self.config.schedule, state.step + 1, self.config.max_steps, self.model.d_model)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self._gradients(batch, say)
        longest = self.config.clip_norm or math.inf
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), longest).item()
        if math.isfinite(norm):
            self.optimizer.step()
            state.meter.add(loss, batch, norm)
            state.bad_steps_in_a_row = 0
        else:
            self._skip(say)
        self.optimizer.zero_grad()
        state.source_tokens += batch.num_source_tokens
        state.target_tokens += batch.num_target_tokens

    def _gradients(self, batch: Batch, say: Callable[[str], None]) -> float:
        """Put the gradient of the batch's mean loss into the parameters; return the sum of its tokens' losses."""
        random_state = capture_random_state()
        while True:
            parts = max(self.state.parts, self.config.accumulation)
            try:
                return sum(self._part(part, batch.num_target_tokens) for part in batch.split(parts))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as problem:
                if not is_out_of_memory(problem):
                    raise
            # Outside of `except`: the problem's traceback would keep the tensors of the failed attempt alive.
            self.optimizer.zero_grad()
            if parts >= len(batch.source):
                raise TrainingError(
                    f"step {self.state.step + 1}: one sentence pair alone does not fit in the memory of {self.device}; "
                    "lower `data.cleaning.max_tokens` or make the model smaller"
                )
            self.state.parts = 2 * parts
            say(f"out of memory: each step's batch is now computed in {self.state.parts} parts and added up")
            # The step shall come out as if it had been computed in so many parts at once.
            restore_random_state(random_state)

    def _part(self, batch: Batch, tokens: int) -> float:
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            memory = self.model.encode(batch.source, batch.source_mask)
            features, _ = self.model.features(batch.target_input, self.model.start(memory))
            return backward_in_chunks(
                features,
                self.model.project,
                batch.target_output,
                batch.target_mask,
                smoothing=self.config.label_smoothing,
                scale=1 / tokens,
                chunk_tokens=self.config.loss_chunk_tokens,
            ).item()

    def _skip(self, say: Callable[[str], None]) -> None:
        state = self.state
        state.bad_steps += 1
        state.bad_steps_in_a_row += 1
        say(f"step {state.step + 1}: the gradient is not finite; this step is skipped ({state.bad_steps} in all)")
        if state.bad_steps_in_a_row >= self.config.max_bad_steps:
            raise TrainingError(
                f"step {state.step + 1}: {state.bad_steps_in_a_row} steps in a row had no finite gradient. The last "
                f"good checkpoints are in {self.folder.checkpoints}. Lower `training.schedule.peak`, raise "
                "`training.schedule.warmup`, or set `training.precision: fp32`, and run the same command again"
            )

    def _report(self, progress: TrainingProgress, metrics: MetricsLog) -> None:
        state = self.state
        rate = self.optimizer.param_groups[0]["lr"]
        values = state.meter.report()
        metrics.write(
            state.step,
            {
                **{f"train/{name}": value for name, value in values.items()},
                "train/learning_rate": rate,
                "train/epoch": state.epoch,
                "train/source_tokens": state.source_tokens,
                "train/target_tokens": state.target_tokens,
                "train/skipped_steps": state.bad_steps,
            },
        )
        progress.update(
            state.step, values["loss"], rate, values["source_tokens_per_second"], values["target_tokens_per_second"]
        )
        state.meter = Meter()

    def _validate(self, progress: TrainingProgress, metrics: MetricsLog) -> None:
        state = self.state
        result = self.validator.validate(self.model, self.device)
        metrics.write(state.step, {"validation/loss": result.loss, "validation/bleu": result.bleu})
        score = result.score()
        if math.isfinite(score) and (state.best_score is None or score > state.best_score):
            state.best_score, state.best_step, state.worse_validations = score, state.step, 0
            weights = self._weights()
            for path in (self.best_weights, self.folder.weights):
                save_weights(weights, path)
            progress.say(f"step {state.step}: validation {result} (best so far)")
        else:
            state.worse_validations += 1
            progress.say(f"step {state.step}: validation {result} (best is step {state.best_step})")

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: tensor.detach() for name, tensor in self.model.state_dict().items()}

    def _due(self, every: int) -> bool:
        return self.state.step % every == 0 or self.state.step == self.config.max_steps


# What torch says in words only: on the CPU, and where a library of CUDA finds no room for itself.
_OUT_OF_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_memory(problem: BaseException) -> bool:
    """Tell whether an error means that memory ran out."""
    if isinstance(problem, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(problem) for words in _OUT_OF_MEMORY)
