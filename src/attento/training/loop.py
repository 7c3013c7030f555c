"""The one training loop. It drives anything that has an objective, and does not know which one it drives."""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from attento.data.batches import BatchStream, Position, TrainingBatch
from attento.data.prefetch import prefetched
from attento.device import choose_precision
from attento.errors import RunFolderError, TrainingError
from attento.run_folder import RunFolder
from attento.training.config import TrainingConfig
from attento.training.parallel.alone import Alone
from attento.training.process import StopRequest, is_out_of_memory
from attento.training.records.averaging import save_weights
from attento.training.records.checkpoint import CheckpointStore, Snapshot, capture_random_state, restore_random_state
from attento.training.records.metrics import MetricsLog
from attento.training.records.progress import TrainingProgress
from attento.training.update.compilation import compiled
from attento.training.update.objective import Objective, recompute_activations
from attento.training.update.optimizer import build_optimizer, load_optimizer_tensors, optimizer_tensors
from attento.training.update.schedules import learning_rate
from attento.training.validation import ValidationResult, Validator

_BATCHES_AHEAD = 4


@dataclass
class Meter:
    """What has been seen since the last report, skipped steps left out: nats (label-smoothed, summed), tokens."""

    loss: float = 0.0
    source_tokens: int = 0
    target_tokens: int = 0
    gradient_norm: float = 0.0
    seconds: float = 0.0
    """Spent on steps, skipped ones too."""

    def add(self, loss: float, batch: TrainingBatch, gradient_norm: float) -> None:
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
    position: Position = field(default_factory=Position)
    """The next batch."""
    parts: int = 1
    """In how many parts a step's batch had to be computed to fit into memory."""
    best_score: float | None = None
    best_step: int = 0
    worse_validations: int = 0
    bad_steps: int = 0
    bad_steps_in_a_row: int = 0
    source_tokens: int = 0
    target_tokens: int = 0
    seconds: float = 0.0
    """Spent on steps."""
    meter: Meter = field(default_factory=Meter)

    @classmethod
    def load(cls, progress: dict[str, Any]) -> "RunState":
        """Make the state again from what `asdict` made of it."""
        position, meter = Position(**progress["position"]), Meter(**progress["meter"])
        return cls(**progress | {"position": position, "meter": meter})


class Trainer:
    """Trains one model on one stream of batches, and keeps what is needed to go on after any interruption."""

    def __init__(
        self,
        config: TrainingConfig,
        objective: Objective[Any, Any],
        batches: BatchStream,
        validator: Validator,
        folder: RunFolder,
        text: str,
        world: Alone | None = None,
    ) -> None:
        self.config = config
        self.world = world or Alone(config)
        self.device = self.world.device
        self.objective = objective.to(self.device).train()
        self.model: nn.Module = objective.model
        self.weights = self.world.spread(self.objective, choose_precision(config.precision, self.device))
        if config.activation_checkpointing:
            recompute_activations(self.model)
        if config.compile:
            self.objective.features = compiled(self.objective.features)  # type: ignore[method-assign,assignment]
        self.d_model: int = objective.model.d_model
        self.batches = batches
        self.validator = validator
        self.folder = folder
        self.optimizer = build_optimizer(config.optimizer, self.weights.parameters())
        self.store = CheckpointStore(folder.checkpoints, config.keep_last, config.checkpoint_every)
        self.best_weights = folder.checkpoints / "best.safetensors"
        self.state = RunState(text)

    def resume(self, say: Callable[[str], None]) -> None:
        """Go on from the newest good checkpoint, if there is one.

        Raises:
            RunFolderError: every checkpoint is damaged, or the newest is of another text or model.
        """
        snapshot = self.world.after_first(lambda: self.store.newest(say))
        if snapshot is None:
            return
        if snapshot.progress.get("text") != self.state.text:
            raise RunFolderError(
                f"{self.folder.path}: was trained on other text than there is now; restore the text, or choose another "
                "--output"
            )
        try:
            self.weights.load(snapshot.model)
            load_optimizer_tensors(self.optimizer, self.weights.named, self.weights.shared_out(snapshot.optimizer))
            self.state = RunState.load(snapshot.progress)
        except (RuntimeError, KeyError, TypeError) as problem:
            raise RunFolderError(
                f"{self.store.folder}: the checkpoint of step {snapshot.step} does not fit this model: {problem}"
            ) from problem
        if not self.world.first:
            # The losses so far are those of all processes.
            self.state.meter.loss = 0.0
        self.world.restore_random_state(snapshot.random_state, snapshot.step, say)
        say(f"going on from step {self.state.step}")

    def run(self, progress: TrainingProgress, metrics: MetricsLog) -> bool:
        """Train to the last step, to an early stop or to a request to leave; return False for the last.

        Raises:
            TrainingError: too many steps in a row were not finite, or one sentence pair alone does not fit in memory.
        """
        state, config = self.state, self.config
        saved = state.step
        batches = prefetched(self.batches.from_position(state.position), _BATCHES_AHEAD)
        with closing(batches), StopRequest(answers=self.world.first) as stop:
            while not self.at_end() and not self.world.any(stop.requested):
                started = time.perf_counter()
                self.world.begin("reading a batch", state.step + 1)
                position, batch = next(batches)
                self.step(batch, progress.say)
                state.step, state.position = state.step + 1, position
                seconds = time.perf_counter() - started
                state.meter.seconds += seconds
                state.seconds += seconds
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
        return not self.world.any(stop.requested)

    def at_end(self) -> bool:
        """Tell whether the run has come to its last step, to the end of its time or to an early stop."""
        return self.state.step >= self.config.max_steps or self.out_of_time() or self.out_of_patience()

    def out_of_time(self) -> bool:
        """Tell whether steps have taken as long as they may, in any process."""
        minutes = self.config.max_minutes
        return minutes is not None and self.world.any(self.state.seconds >= 60 * minutes)

    def out_of_patience(self) -> bool:
        """Tell whether too many validations in a row were no better than the best."""
        patience = self.config.validation.patience
        return patience is not None and self.state.worse_validations >= patience

    def save(self) -> None:
        """Write a checkpoint of this very moment."""
        state = self.state
        self.world.begin("writing a checkpoint", state.step)
        state.meter.loss = self.world.gathered(state.meter.loss)
        optimizer = self.weights.whole(optimizer_tensors(self.optimizer, self.weights.named))
        snapshot = Snapshot(state.step, self.weights.tensors(), optimizer, self.world.random_state(), asdict(state))
        if self.world.first:
            self.store.save(snapshot)

    def step(self, batch: TrainingBatch, say: Callable[[str], None]) -> None:
        """Do one update by a batch; a gradient that is not finite changes nothing and is counted.

        Raises:
            TrainingError: too many steps in a row were not finite, or one sentence pair alone or the optimizer does
                not fit in memory.
        """
        state = self.state
        rate = learning_rate(self.config.schedule, state.step + 1, self.config.max_steps, self.d_model)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.world.begin("computing the gradient", state.step + 1)
        loss = self._gradients(batch, say)
        self.world.begin("changing the weights", state.step + 1)
        norm = self._update()
        if math.isfinite(norm):
            state.meter.add(loss, batch, norm)
            state.bad_steps_in_a_row = 0
        else:
            self._skip(say)
        state.source_tokens += batch.num_source_tokens
        state.target_tokens += batch.num_target_tokens

    def rehearse(self, batch: TrainingBatch) -> None:
        """Compute a batch's gradient and forget it: what does not fit shows now, and not in the middle of the run.

        Raises:
            TrainingError: one sentence pair alone does not fit in memory.
        """
        self.world.begin("trying the longest sentence pair", self.state.step)
        random_state, parts = capture_random_state(), self.state.parts
        self._gradients(batch, say=lambda message: None)
        self._forget_gradients()
        self.state.parts = parts
        restore_random_state(random_state)

    def judge(self) -> ValidationResult:
        """Judge the weights as they stand on the validation set."""
        self.world.begin("validating", self.state.step)
        with self.weights.in_full():
            return self.world.from_first(lambda: self.validator.validate(self.model, self.device))

    def _gradients(self, batch: TrainingBatch, say: Callable[[str], None]) -> float:
        """Put the gradient of the batch's mean loss into the parameters; return the sum of its tokens' losses."""
        random_state = capture_random_state()
        while True:
            parts = max(self.state.parts, self.config.accumulation)
            shares = self.world.shares(batch, parts)
            try:
                return sum(self._part(share, batch.num_target_tokens) for share in shares)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as problem:
                if not is_out_of_memory(problem):
                    raise
            # Outside of `except`: the problem's traceback would keep the tensors of the failed attempt alive.
            self._forget_gradients()
            if len(self.world.shares(batch, 2 * parts)) == len(shares):
                raise TrainingError(
                    f"step {self.state.step + 1}: one sentence pair alone does not fit in the memory of {self.device}; "
                    "lower `data.cleaning.max_tokens` or make the model smaller"
                )
            self.state.parts = 2 * parts
            say(f"out of memory: each step's batch is now computed in {self.state.parts} parts and added up")
            # The step shall come out as if it had been computed in so many parts at once.
            restore_random_state(random_state)

    def _part(self, batch: TrainingBatch | None, tokens: int) -> float:
        loss = self.world.loss(batch and batch.to(self.device))
        self.world.backward(loss / tokens)
        self.weights.take_gradients()
        value: float = loss.item()
        return value

    def _update(self) -> float:
        """Change the weights by the clipped gradient, where it is finite, and forget it; return its norm as it was."""
        longest = self.config.clip_norm or math.inf
        norm = nn.utils.clip_grad_norm_(self.weights.parameters(), longest).item()
        if math.isfinite(norm):
            try:
                self.optimizer.step()
            except (MemoryError, RuntimeError) as problem:
                if not is_out_of_memory(problem):
                    raise
                raise TrainingError(
                    f"step {self.state.step + 1}: the optimizer's moments do not fit in the memory of {self.device} "
                    "beside weights and gradients; make the model smaller (`model.d_model`, `model.encoder_layers`, "
                    "`model.decoder_layers`, `data.tokenizer.vocab_size`)"
                ) from problem
            self.weights.publish()
        self.optimizer.zero_grad()
        return norm

    def _forget_gradients(self) -> None:
        self.model.zero_grad()
        self.optimizer.zero_grad()

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
        state.meter.loss = self.world.gathered(state.meter.loss)
        values = state.meter.report()
        metrics.write(
            state.step,
            {
                **{f"train/{name}": value for name, value in values.items()},
                "train/learning_rate": rate,
                "train/epoch": state.position.epoch,
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
        result = self.judge()
        metrics.write(state.step, result.record("validation/"))
        score = result.score()
        if math.isfinite(score) and (state.best_score is None or score > state.best_score):
            state.best_score, state.best_step, state.worse_validations = score, state.step, 0
            weights = self.weights.tensors()
            for path in (self.best_weights, self.folder.weights) if self.world.first else ():
                save_weights(weights, path)
            progress.say(f"step {state.step}: validation {result} (best so far)")
        else:
            state.worse_validations += 1
            progress.say(f"step {state.step}: validation {result} (best is step {state.best_step})")

    def _due(self, every: int) -> bool:
        return self.state.step % every == 0 or self.state.step == self.config.max_steps or self.out_of_time()
