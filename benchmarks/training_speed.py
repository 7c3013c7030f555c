"""Measure training tokens/s of Attento and of the trainers people use, in one run, and write them to `results/`.

    python benchmarks/training_speed.py --data DATA           # everything: an hour
    python benchmarks/training_speed.py --data DATA --short   # the tiny shape beside Hugging Face and torch: 8 minutes

All train the same Transformer on the same batches: Multi30k English-German, joint vocabulary of 8,000, steps of 7,034
tokens (source + target, no padding), dropout and label smoothing on. They take turns, round after round, a few steps at
a time, while all others are stopped; the first step of each turn is not counted. Every system runs through its own
model, loss and optimizer (see `peer_scripts/`), in a virtual environment of its own (see `peers.py`).
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from facts import provenance, write_result
from peers import SCRIPTS, PeerError, Worker, draw, peer_python
from training_cost import Shape, round_ratios, spread, training_flops
from training_table import table

from attento.cores import available_cores
from attento.data.pairs.batching import Batch, TokenBatches
from attento.data.pairs.config import CorpusConfig, DataConfig, TokenizerConfig
from attento.data.pairs.prepare import prepare
from attento.data.pairs.prepared import PreparedCorpus
from attento.text.special import BOS_ID, EOS_ID, PAD_ID

SHAPES = {
    "tiny": Shape(encoder_layers=3, decoder_layers=3, d_model=256, d_ff=1024, num_heads=4),
    "base": Shape(encoder_layers=6, decoder_layers=6, d_model=512, d_ff=2048, num_heads=8),
}
VOCAB_SIZE = 8000
TOKENS_PER_STEP = 7034
# What a user can set without touching a program: glibc keeps freed memory, and idle threads wait awake.
TUNED = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "MALLOC_TOP_PAD_": str(64 << 20),
    "OMP_WAIT_POLICY": "active",
}

# More cores than this, busy with something else, and the machine is not quiet.
_QUIET = 0.1
# Of the columns of /proc/stat.
_IDLE, _WAITING = 3, 4


@dataclass(frozen=True)
class System:
    """A trainer as it is measured: from which environment, by which script, with which settings of the process."""

    name: str
    peer: str | None
    """Key of `peers.PEERS`; None for Attento itself."""
    script: str
    precisions: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


BOTH = ("fp32", "bf16")
OURS = "Attento"
SYSTEMS = (
    System(OURS, None, "train_attento.py", BOTH),
    System("Hugging Face MarianMT", "huggingface", "train_huggingface.py", BOTH),
    System("Hugging Face MarianMT, tuned", "huggingface", "train_huggingface.py", BOTH, TUNED),
    System("torch nn.Transformer, tuned", "torch", "train_torch.py", BOTH, TUNED),
    System("eole, tuned", "eole", "train_eole.py", BOTH, TUNED),
    # These know no other precision on the CPU.
    System("OpenNMT-py, tuned", "opennmt-py", "train_opennmt_py.py", ("fp32",), TUNED),
    System("JoeyNMT, tuned", "joeynmt", "train_joeynmt.py", ("fp32",), TUNED),
    # It has threads of its own; the library that multiplies matrices for each needs no more.
    System("Marian", "marian", "train_marian.py", ("fp32",), {"OMP_NUM_THREADS": "1"}),
)
SHORT = ("huggingface", "torch")


def main() -> None:
    options = parse_options()
    busy = busy_cores()
    if busy > _QUIET:
        print(f"other programs keep {busy:.1f} cores busy: no figure will mean much", file=sys.stderr)
    result: dict[str, Any] = {
        "provenance": provenance(),
        "busy_cores": busy,
        "threads": options.threads,
        "tokens_per_step": TOKENS_PER_STEP,
        "settings": {"rounds": options.rounds, "steps": options.steps, "tuned": TUNED},
        "shapes": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        corpus = prepare(data_config(), options.data, Path(folder) / "prepared")
        batches = take_batches(corpus, options.rounds * (options.steps + 1))
        result["batches"] = describe(batches)
        write_batches(batches, Path(folder) / "batches.npz")
        for name in options.shapes:
            bench = Bench(name, options, Path(folder), batches)
            try:
                result["shapes"][name] = bench.measure()
            finally:
                bench.close()
    name = "training_speed-short" if options.short else "training_speed"
    write_result(name, result, table(result))
    draw(name, "plot_training_speed.py")


def parse_options() -> argparse.Namespace:
    """Read the command line; `--short` changes what is not given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, help="default: all")
    parser.add_argument("--peers", nargs="*", choices=sorted({s.peer for s in SYSTEMS if s.peer}), help="default: all")
    parser.add_argument("--rounds", type=int, help="turns of every system")
    parser.add_argument("--steps", type=int, default=2, help="timed steps a turn")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--limit", type=float, default=900, help="seconds after which a turn is given up")
    parser.add_argument("--short", action="store_true", help="tiny beside Hugging Face and torch, 3 rounds")
    options = parser.parse_args()
    options.shapes = options.shapes or (["tiny"] if options.short else list(SHAPES))
    options.rounds = options.rounds or (3 if options.short else 5)
    if options.peers is None:
        options.peers = SHORT if options.short else [system.peer for system in SYSTEMS]
    return options


def busy_cores(seconds: float = 3) -> float:
    """Return how many cores other programs keep busy, looked at for some seconds; 0 where the system does not tell."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return 0.0
    looks = []
    for wait in (seconds, 0):
        ticks = [int(each) for each in stat.read_text(encoding="utf-8").splitlines()[0].split()[1:]]
        looks.append(sum(ticks) - ticks[_IDLE] - ticks[_WAITING])
        time.sleep(wait)
    return float((looks[1] - looks[0]) / os.sysconf("SC_CLK_TCK") / seconds)


def data_config() -> DataConfig:
    """Return the text that all train on."""
    return DataConfig(
        source_language="en",
        target_language="de",
        train=(CorpusConfig(source="multi30k/train.en", target="multi30k/train.de"),),
        validation=CorpusConfig(source="multi30k/val.en", target="multi30k/val.de"),
        tokenizer=TokenizerConfig(vocab_size=VOCAB_SIZE),
    )


def take_batches(corpus: PreparedCorpus, count: int) -> list[Batch]:
    """Return the first batches of training."""
    stream = TokenBatches(corpus.train, TOKENS_PER_STEP, seed=1).from_position()
    return [batch for _, batch in islice(stream, count)]


def write_batches(batches: Sequence[Batch], path: Path) -> None:
    """Write batches as the workers read them."""
    arrays = {}
    for number, batch in enumerate(batches):
        for name in ("source", "target_input", "target_output"):
            arrays[f"{name}_{number}"] = getattr(batch, name).numpy()
    np.savez(path, **arrays)


def describe(batches: Sequence[Batch]) -> dict[str, Any]:
    """Return number, mean size and share of padding of the batches."""
    tokens = sum(batch.num_source_tokens + batch.num_target_tokens for batch in batches)
    places = sum(batch.source.numel() + batch.target_output.numel() for batch in batches)
    return {"number": len(batches), "tokens_each": tokens / len(batches), "padding": 1 - tokens / places}


class Bench:
    """The systems of one shape, taking turns."""

    def __init__(self, shape: str, options: argparse.Namespace, folder: Path, batches: Sequence[Batch]) -> None:
        self.name, self.shape, self.options, self.folder = shape, SHAPES[shape], options, folder
        self.systems = [system for system in SYSTEMS if system.peer is None or system.peer in options.peers]
        self.workers: dict[str, Worker] = {}
        self.absent: dict[str, str] = {}
        self.rounds: dict[tuple[str, str], list[list[dict[str, float]]]] = {}
        self.ceilings: list[dict[str, dict[str, float]]] = []
        lengths = [pair for batch in batches for pair in _lengths(batch)]
        tokens = sum(map(sum, lengths))
        self.flops_per_token = training_flops(self.shape, VOCAB_SIZE, lengths) / tokens

    def measure(self) -> dict[str, Any]:
        """Start every system and let them take turns; return all figures of the shape."""
        for system in self.systems:
            self._try(system, self._start)
        for number in range(self.options.rounds):
            self.ceilings.append(self._ceiling())
            for system in self.systems:
                for precision in system.precisions:
                    if system.name in self.workers:
                        self._try(system, self._turn, precision, number)
        return self._summary()

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers.values():
            worker.close()

    def _try(self, system: System, action: Callable[..., None], *arguments: Any) -> None:
        try:
            action(system, *arguments)
        except PeerError as problem:
            print(f"{self.name}: {system.name}: {problem}", file=sys.stderr)
            self.absent[system.name] = str(problem)
            if system.name in self.workers:
                self.workers.pop(system.name).close()

    def _start(self, system: System) -> None:
        python = peer_python(system.peer) if system.peer else Path(sys.executable)
        task = asdict(self.shape) | {
            "vocab_size": VOCAB_SIZE,
            "pad_id": PAD_ID,
            "bos_id": BOS_ID,
            "eos_id": EOS_ID,
            "dropout": 0.1,
            "label_smoothing": 0.1,
            "clip_norm": 1.0,
            # So small that the first losses are those of fresh weights; no step is faster for it.
            "learning_rate": 1e-6,
            "beta1": 0.9,
            "beta2": 0.98,
            "epsilon": 1e-9,
            "precisions": list(system.precisions),
            "threads": self.options.threads,
            "tokens_per_step": TOKENS_PER_STEP,
            "batches": str(self.folder / "batches.npz"),
            "corpus": str(self.folder / "prepared"),
            "folder": str(self.folder / self.name / system.name.replace(" ", "-")),
        }
        self.workers[system.name] = Worker(python, system.script, task, self._environment(system), self.options.limit)

    def _environment(self, system: System) -> dict[str, str]:
        return {"OMP_NUM_THREADS": str(self.options.threads)} | system.environment

    def _turn(self, system: System, precision: str, number: int) -> None:
        steps = self.options.steps + 1
        command = {"precision": precision, "first": number * steps, "steps": steps}
        answer = self.workers[system.name].ask(command)
        done = self.rounds.setdefault((system.name, precision), [])
        done.append(answer["steps"])
        rate = _rate(answer["steps"][1:])
        print(f"{self.name}, round {number + 1}: {system.name}, {precision}: {rate:,.0f} tokens/s", file=sys.stderr)

    def _ceiling(self) -> dict[str, dict[str, float]]:
        task = {"threads": self.options.threads, "vocab_size": VOCAB_SIZE, "tokens": TOKENS_PER_STEP // 2}
        task |= {"d_model": self.shape.d_model, "d_ff": self.shape.d_ff}
        environment = os.environ | {"OMP_NUM_THREADS": str(self.options.threads)} | TUNED
        command = [sys.executable, str(SCRIPTS / "matmul.py"), json.dumps(task)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        rates: dict[str, dict[str, float]] = json.loads(done.stdout)
        return rates

    def _summary(self) -> dict[str, Any]:
        ceilings = {
            precision: {kind: median(each[precision][kind] for each in self.ceilings) for kind in ("large", "model")}
            for precision in BOTH
        }
        # A system that gave up on the way has no full row of rounds.
        rates = {
            key: [_rate(steps[1:]) for steps in rounds] for key, rounds in self.rounds.items() if key[0] in self.workers
        }
        ours = [each for (name, _), each in rates.items() if name == OURS]
        theirs = {key: each for key, each in rates.items() if key[0] != OURS}
        best = max(theirs, key=lambda key: median(theirs[key]), default=None)
        return {
            "shape": asdict(self.shape),
            "flops_per_token": self.flops_per_token,
            "ceiling_flops": ceilings,
            "floor_tokens_per_second": {
                precision: max(kinds.values()) / self.flops_per_token for precision, kinds in ceilings.items()
            },
            "systems": [self._row(key, each, ours, ceilings) for key, each in rates.items()],
            "best_peer": None if best is None else list(best),
            "ahead_of_best_peer_each_round": spread(round_ratios(ours, list(theirs.values()))) if theirs else None,
            "absent": [{"name": name, "reason": reason} for name, reason in self.absent.items()],
        }

    def _row(
        self, key: tuple[str, str], rates: list[float], ours: list[list[float]], ceilings: dict[str, dict[str, float]]
    ) -> dict[str, Any]:
        name, precision = key
        facts = self.workers[name].facts
        return {
            "name": name,
            "precision": precision,
            "versions": facts["versions"],
            "parameters": facts["parameters"],
            "first_loss": self.rounds[key][0][0]["loss"],
            "loss_of_uniform_guess": math.log(VOCAB_SIZE),
            "tokens_each_step": mean(_tokens(step) for steps in self.rounds[key] for step in steps),
            "tokens_per_second": spread(rates),
            "attento_ahead": spread(round_ratios(ours, [rates])),
            "share_of_ceiling": median(rates) * self.flops_per_token / max(ceilings[precision].values()),
            "rounds": self.rounds[key],
        }


def _lengths(batch: Batch) -> Iterator[tuple[int, int]]:
    sources, targets = (mask.sum(dim=1).tolist() for mask in (batch.source_mask, batch.target_mask))
    yield from zip(sources, targets, strict=True)


def _tokens(step: dict[str, float]) -> float:
    return step["source_tokens"] + step["target_tokens"]


def _rate(steps: Sequence[dict[str, float]]) -> float:
    return sum(map(_tokens, steps)) / sum(step["seconds"] for step in steps)


if __name__ == "__main__":
    main()
