"""The one training loop. It drives anything that encodes, starts and decodes, and does not know which one it drives."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import nn

from attento.data.batching import Batch, TokenBatches
from attento.device import choose_device, has_fast_bf16
from attento.errors import TrainingError
from attento.models.base import EncoderDecoder
from attento.run_folder import RunFolder
from attento.training.averaging import save_weights
from attento.training.checkpoint import CheckpointStore, Snapshot, capture_random_state, restore_random_state
from attento.training.config import TrainingConfig
from attento.training.interrupt import StopRequest
from attento.training.loss import backward_in_chunks
from attento.training.optimizer import build_optimizer, load_optimizer_tensors, optimizer_tensors
from attento.training.progress import TrainingProgress
from attento.training.record import MetricsLog
from attento.training.schedules import learning_rate
from attento.training.validation import Validator


@dataclass
class RunState:
    """Where a run stands: with the weights, the optimizer and the random state, all that it goes on from."""

    text: str
    """Fingerprint of the text that the run trains on."""
    step: int = 0
    epoch: int = 0
    index: int = 0
    parts: int = 1
    best_score: float | None = None
    best_step: int = 0
    worse_validations: int = 0
    bad_steps: int = 0
    bad_steps_in_a_row: int = 0
    source_tokens: int = 0
    target_tokens: int = 0


@dataclass
class Meter:
    """What has been seen since the last report: nats (label-smoothed, summed), tokens, seconds spent on steps."""

    loss: float = 0.0
    source_tokens: int = 0
    target_tokens: int = 0
    seconds: float = 0.0
    gradient_norm: float = 0.0

    def report(self) -> dict[str, float]:
        """Return the mean loss of a target token, tokens a second, and the last step's gradient norm."""
        return {
            "loss": self.loss / max(1, self.target_tokens),
            "source_tokens_per_second": self.source_tokens / self.seconds,
            "target_tokens_per_second": self.target_tokens / self.seconds,
            "gradient_norm": self.gradient_norm,
        }


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
        self.store = CheckpointStore(folder.checkpoints, config.keep_last)
        self.state = RunState(text, parts=config.accumulation)

    def resume(self, say: Callable[[str], None]) -> None:
        """Go on from the newest good checkpoint, if there is one.

        Raises:
            RunFolderError: every checkpoint is damaged, or they do not fit the model.
        """
        snapshot = self.store.newest(say)
        if snapshot is None:
            return
        self.model.load_state_dict(snapshot.model)
        load_optimizer_tensors(self.optimizer, self.model, snapshot.optimizer)
        restore_random_state(snapshot.random_state)
        self.state = RunState(**snapshot.progress)
        say(f"going on from step {self.state.step}")

    def run(self, progress: TrainingProgress, metrics: MetricsLog) -> bool:
        """Train to the last step, to an early stop or to a request to leave; return False for the last.

        Raises:
            TrainingError: too many steps in a row were not finite, or one sentence pair alone does not fit in memory.
        """
        state, config = self.state, self.config
        stream = self.batches.from_position(state.epoch, state.index)
        meter = Meter()
        with StopRequest() as stop:
            while state.step < config.max_steps and not self.out_of_patience() and not stop.requested:
                started = time.perf_counter()
                position, batch = next(stream)
                self._step(batch.to(self.device), meter, progress.say)
                state.step, state.epoch, state.index = state.step + 1, position.epoch, position.index
                meter.seconds += time.perf_counter() - started
                if self._due(config.report_every):
                    self._report(meter, progress, metrics)
                    meter = Meter()
                if self._due(config.validate_every):
                    self._validate(progress, metrics)
                if self._due(config.checkpoint_every) or stop.requested or self.out_of_patience():
                    self.save()
        return not stop.requested

    def out_of_patience(self) -> bool:
        """Tell whether too many validations in a row were no better than the best."""
        patience = self.config.validation.patience
        return patience is not None and self.state.worse_validations >= patience

    def save(self) -> None:
        """Write a checkpoint of this very moment."""
        optimizer = optimizer_tensors(self.optimizer, self.model)
        progress = asdict(self.state)
        self.store.save(Snapshot(self.state.step, self._weights(), optimizer, capture_random_state(), progress))

    def _step(self, batch: Batch, meter: Meter, say: Callable[[str], None]) -> None:
        rate = learning_rate(self.config.schedule, self.state.step + 1, self.config.max_steps, self.model.d_model)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        meter.loss += self._gradients(batch, say)
        longest = self.config.clip_norm or math.inf
        meter.gradient_norm = nn.utils.clip_grad_norm_(self.model.parameters(), longest).item()
        if math.isfinite(meter.gradient_norm):
            self.optimizer.step()
            self.state.bad_steps_in_a_row = 0
        else:
            self._skip(say)
        self.optimizer.zero_grad()
        meter.source_tokens += batch.num_source_tokens
        meter.target_tokens += batch.num_target_tokens
        self.state.source_tokens += batch.num_source_tokens
        self.state.target_tokens += batch.num_target_tokens

    def _gradients(self, batch: Batch, say: Callable[[str], None]) -> float:
        """Put the gradient of the batch's mean loss into the parameters; return the sum of its tokens' losses."""
        while True:
            try:
                return sum(self._part(part, batch.num_target_tokens) for part in batch.split(self.state.parts))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as problem:
                if not is_out_of_memory(problem):
                    raise
                rows = len(batch.source)
            # Outside of `except`: the problem's traceback would keep the tensors of the failed attempt alive.
            self.optimizer.zero_grad()
            if self.state.parts >= rows:
                raise TrainingError(
                    f"step {self.state.step + 1}: one sentence pair alone does not fit in the memory of {self.device}; "
                    "lower `data.cleaning.max_tokens` or make the model smaller"
                )
            self.state.parts *= 2
            say(f"out of memory: each step's batch is now computed in {self.state.parts} parts and added up")

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

    def _report(self, meter: Meter, progress: TrainingProgress, metrics: MetricsLog) -> None:
        state = self.state
        rate = self.optimizer.param_groups[0]["lr"]
        values = meter.report()
        metrics.write(state.step, {
            **{f"train/{name}": value for name, value in values.items()},
            "train/learning_rate": rate,
            "train/epoch": state.epoch,
            "train/source_tokens": state.source_tokens,
            "train/target_tokens": state.target_tokens,
            "train/skipped_steps": state.bad_steps,
        })
        progress.update(
            state.step, values["loss"], rate, values["source_tokens_per_second"], values["target_tokens_per_second"]
        )

    def _validate(self, progress: TrainingProgress, metrics: MetricsLog) -> None:
        result = self.validator.validate(self.model, self.device)
        metrics.write(self.state.step, {"validation/loss": result.loss, "validation/bleu": result.bleu})
        if self.state.best_score is None or result.score() > self.state.best_score:
            self.state.best_score, self.state.best_step = result.score(), self.state.step
            self.state.worse_validations = 0
            save_weights(self._weights(), self.folder.weights)
            progress.say(f"step {self.state.step}: validation {result} (best so far)")
        else:
            self.state.worse_validations += 1
            progress.say(f"step {self.state.step}: validation {result} (best is step {self.state.best_step})")

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: tensor.detach() for name, tensor in self.model.state_dict().items()}

    def _due(self, every: int) -> bool:
        return self.state.step % every == 0 or self.state.step == self.config.max_steps


def is_out_of_memory(problem: BaseException) -> bool:
    """Tell whether an error means that memory ran out; on the CPU torch says so in words only."""
    return isinstance(problem, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(problem)
