"""Measure what each thing that makes a training step fast is worth: by taking it away. Writes to `results/`.

    python benchmarks/levers.py --data DATA

The tiny shape (3+3 layers, d 256, FFN 1024) on Multi30k English-German, 7,034-token steps, bf16. The step as it is and
the step without one thing take turns, round after round; a ratio is always of two steps of one round on one batch.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from facts import provenance, write_result
from stepping import make_trainer
from torch import Tensor
from training_cost import spread
from training_speed import SHAPES, TOKENS_PER_STEP, VOCAB_SIZE, data_config

from attento.data.pairs.batching import Batch, Indices, TokenBatches
from attento.data.pairs.prepare import prepare
from attento.data.pairs.prepared import PreparedCorpus
from attento.nn import attention
from attento.nn.dropout import Dropout
from attento.training.loop import Trainer
from attento.training.process import keep_freed_memory
from attento.training.tasks.translation import TranslationObjective
from attento.training.update import objective
from attento.training.update.loss import chunked_cross_entropy

AS_IT_IS = "as it is"
SHAPE = {name: value for name, value in vars(SHAPES["tiny"]).items()}


def torch_dropout(self: Dropout, hidden: Tensor) -> Tensor:
    """A random number an element, and a Boolean mask."""
    return F.dropout(hidden, 0.1, self.training)


def softmax_in_own_format(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention whose softmax is in bfloat16."""
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1) @ value


def whole_logits(self: TranslationObjective, batch: Batch) -> Tensor:
    """All logits at once, and automatic differentiation through them."""
    features, _ = self.model.features(
        batch.target_input, self.model.start(self.model.encode(batch.source, batch.source_mask))
    )
    logits = self.model.project(features[batch.target_mask]).float()
    wanted = batch.target_output[batch.target_mask]
    return F.cross_entropy(logits, wanted, label_smoothing=self.label_smoothing, reduction="sum")


def rounded_cross_entropy(features: Tensor, weight: Tensor, bias: None, targets: Tensor, **settings: Any) -> Tensor:
    """The loss by chunks, of what autocast would make of its inputs."""
    with torch.autocast("cpu", enabled=False):
        return chunked_cross_entropy(features.bfloat16(), weight.bfloat16(), bias, targets, **settings)


@contextmanager
def autocast(trainer: Trainer) -> Iterator[None]:
    """float32 weights, each product's factors turned into bfloat16 where it stands."""
    with patch.object(objective, "chunked_cross_entropy", rounded_cross_entropy):
        forward = trainer.objective.forward

        def in_autocast(batch: Batch) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return forward(batch)

        with patch.object(trainer.objective, "forward", in_autocast):
            yield


LEVERS: dict[str, Callable[[Trainer], AbstractContextManager[Any]]] = {
    AS_IT_IS: lambda trainer: nullcontext(),
    "torch's dropout": lambda trainer: patch.object(Dropout, "forward", torch_dropout),
    "torch's fused attention": lambda trainer: patch.object(attention, "attend", attention.fused_attention),
    "softmax in bfloat16": lambda trainer: patch.object(attention, "attend", softmax_in_own_format),
    "whole logits": lambda trainer: patch.object(TranslationObjective, "forward", whole_logits),
    "autocast of float32 weights": autocast,
}
PROCESSES: dict[str, dict[str, Any]] = {
    "glibc gives freed memory back": {"keep": False},
    "threads wait by spinning": {"environment": {"OMP_WAIT_POLICY": "active"}},
    "threads wait by sleeping": {"environment": {"OMP_WAIT_POLICY": "passive"}},
    "one thread": {"environment": {"OMP_NUM_THREADS": "1"}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--short", action="store_true", help="3 rounds, nothing that needs a process of its own")
    parser.add_argument("--process", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.process:
        print(json.dumps(time_steps(**options.process)))
        return
    rounds = 3 if options.short else options.rounds
    with tempfile.TemporaryDirectory() as folder:
        corpus = prepare(data_config(), options.data, Path(folder) / "prepared")
        keep_freed_memory()
        ratios = {"inside": measure_inside(corpus, rounds)}
        ratios["batches"] = {"batches of random lengths": padding(corpus)}
        if not options.short:
            ratios["process"] = measure_processes(corpus.path, rounds)
    result = {"provenance": provenance(), "threads": torch.get_num_threads(), "rounds": rounds, "ratios": ratios}
    write_result("levers-short" if options.short else "levers", result, table(result))


def measure_inside(corpus: PreparedCorpus, rounds: int) -> dict[str, Any]:
    """Return for each lever without which a step can be made the spread of its time over that of the step as it is."""
    trainers = {name: new_trainer("fp32" if name.startswith("autocast") else "bf16") for name in LEVERS}
    seconds: dict[str, list[float]] = {name: [] for name in LEVERS}
    for batch in take_batches(corpus, rounds + 2):
        for name, lever in LEVERS.items():
            with lever(trainers[name]):
                seconds[name].append(timed(trainers[name], batch))
    # The first rounds find cold caches.
    kept = {name: values[2:] for name, values in seconds.items()}
    return {
        name: spread([one / base for one, base in zip(values, kept[AS_IT_IS], strict=True)])
        for name, values in kept.items()
        if name != AS_IT_IS
    }


def measure_processes(prepared: Path, rounds: int) -> dict[str, Any]:
    """Return the same for what belongs to a whole process; each round starts a process of each kind."""
    ratios: dict[str, list[float]] = {name: [] for name in PROCESSES}
    for _ in range(max(2, rounds // 2)):
        base = in_process(prepared, {})
        for name, changes in PROCESSES.items():
            ratios[name].append(in_process(prepared, changes) / base)
    return {name: spread(values) for name, values in ratios.items()}


def in_process(prepared: Path, changes: dict[str, Any]) -> float:
    """Return the median seconds of a step in a new process."""
    task = {"prepared": str(prepared), "keep": changes.get("keep", True)}
    command = [sys.executable, __file__, "--process", json.dumps(task)]
    environment = os.environ | changes.get("environment", {})
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return median(json.loads(done.stdout.splitlines()[-1]))


def time_steps(prepared: str, keep: bool) -> list[float]:
    """Time some steps in this process."""
    if keep:
        keep_freed_memory()
    trainer = new_trainer("bf16")
    return [timed(trainer, batch) for batch in take_batches(PreparedCorpus.open(Path(prepared)), 6)][2:]


def new_trainer(precision: str) -> Trainer:
    """Make the trainer of the tiny shape."""
    torch.manual_seed(1)
    return make_trainer(SHAPE, VOCAB_SIZE, precision=precision)


def take_batches(corpus: PreparedCorpus, count: int) -> list[Batch]:
    """Return the first batches of training."""
    stream = TokenBatches(corpus.train, TOKENS_PER_STEP, seed=1).from_position()
    return [batch for _, batch in islice(stream, count)]


def timed(trainer: Trainer, batch: Batch) -> float:
    """Return the seconds of a step."""
    started = time.perf_counter()
    trainer.step(batch, print)
    return time.perf_counter() - started


def padding(corpus: PreparedCorpus) -> dict[str, Any]:
    """Return how many places a token takes in batches of sentences as they come, over sorted ones (counted)."""

    def places(batches: list[Batch]) -> float:
        tokens = sum(batch.num_source_tokens + batch.num_target_tokens for batch in batches)
        return sum(batch.source.numel() + batch.target_output.numel() for batch in batches) / tokens

    def unsorted(self: TokenBatches, pool: Indices, *lengths: Any) -> Any:
        with patch("numpy.lexsort", lambda keys: np.arange(len(keys[0]))):
            return cut(self, pool, *lengths)

    cut = TokenBatches._cut
    sorted_places = places(take_batches(corpus, 100))
    with patch.object(TokenBatches, "_cut", unsorted):
        return spread([places(take_batches(corpus, 100)) / sorted_places])


def table(result: dict[str, Any]) -> list[str]:
    """Return the result as Markdown lines."""
    lines = [
        f"# What makes a training step fast, {result['threads']} threads",
        "",
        "The tiny shape in bf16, 7,034-token steps. Seconds of a step so changed, over those of the step as it is.",
        "",
        "| change | ratio, median | least | most |",
        "|---|---|---|---|",
    ]
    for group in result["ratios"].values():
        for name, ratio in group.items():
            lines.append(f"| {name} | {ratio['median']:.2f} | {ratio['least']:.2f} | {ratio['most']:.2f} |")
    lines += [
        "",
        "Batches of random lengths: places (tokens and padding) a token, over those of the batches as they are.",
    ]
    return lines


if __name__ == "__main__":
    main()
