"""Marian by its own command: text in, and its log read update by update.

Its batches are its own, cut from the same sentences to nearly as many tokens; they are sorted by length, like ours.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np
from worker import Step, Task, end_with_parent, serve

# So many that the remainder at the end of an epoch counts for nothing.
_COPIES = 20
_UPDATE = re.compile(r"Up\. \d+ .* Cost ([\d.]+) \* ([\d,]+) @.* Time ([\d.]+)s")
_MEMORY = re.compile(r"\[memory\] Reserving ([\d.]+) ([KMG]?B), device cpu0")
_UNITS = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
_BYTES_EACH = 4


class Marian:
    """The process, stopped but during a turn."""

    packages = ("pymarian",)

    def __init__(self, task: Task) -> None:
        folder = Path(task.folder)
        self.source_for_target, words = _write_text(task, folder)
        vocabulary = ["</s>: 0", "<unk>: 1", *(f"w{number}: {number}" for number in range(2, task.vocab_size))]
        (folder / "vocab.yml").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
        self.process = subprocess.Popen(
            _command(task, folder, words),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            preexec_fn=end_with_parent,
        )
        log: list[str] = []
        self._next_update(log)
        self._stop()
        reserved = next(match for match in map(_MEMORY.search, log) if match)
        # What it reserves for its weights, as it says it: rounded.
        self.parameters = int(float(reserved[1]) * _UNITS[reserved[2]]) // _BYTES_EACH

    def run(self, precision: str, first: int, steps: int) -> list[Step]:
        """Let it make `steps` updates, each timed by itself; the first was begun in the turn before."""
        self.process.send_signal(signal.SIGCONT)
        done = []
        for _ in range(steps):
            match = self._next_update([])
            tokens = int(match[2].replace(",", ""))
            done.append(Step(float(match[3]), round(tokens * self.source_for_target), tokens, float(match[1])))
        self._stop()
        return done

    def _stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        # What it said meanwhile is of steps that belong to no turn.
        pipe = self._pipe()
        os.set_blocking(pipe.fileno(), False)
        while pipe.read(1 << 16):
            pass
        os.set_blocking(pipe.fileno(), True)

    def _next_update(self, log: list[str]) -> re.Match[str]:
        for raw in self._pipe():
            line = raw.decode("utf-8", errors="replace")
            sys.stderr.write(line)
            log.append(line)
            match = _UPDATE.search(line)
            if match:
                return match
        raise RuntimeError("Marian ended: " + "".join(log[-3:]))

    def _pipe(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout


def _write_text(task: Task, folder: Path) -> tuple[float, int]:
    """Write the sentences of the batches; return source tokens for a target token, and source words in a batch."""
    arrays = np.load(task.batches)
    count = len(arrays.files) // 3
    tokens = {}
    for name in ("source", "target_output"):
        batches = [arrays[f"{name}_{number}"] for number in range(count)]
        tokens[name] = sum(int((ids != task.pad_id).sum()) for ids in batches)
        lines = [_words(row, task) for ids in batches for row in ids.tolist()]
        (folder / name).write_text("".join(lines * _COPIES), encoding="utf-8")
    # Marian cuts batches by words of the source.
    words = tokens["source"] - sum(len(arrays[f"source_{number}"]) for number in range(count))
    return tokens["source"] / tokens["target_output"], words // count


def _words(row: list[int], task: Task) -> str:
    return " ".join(f"w{each}" for each in row if each not in (task.pad_id, task.eos_id)) + "\n"


def _command(task: Task, folder: Path, words: int) -> list[Any]:
    settings = {
        "type": "transformer",
        "model": folder / "model.npz",
        "train-sets": [folder / "source", folder / "target_output"],
        "vocabs": 2 * [folder / "vocab.yml"],
        "dim-vocabs": 2 * [task.vocab_size],
        "dim-emb": task.d_model,
        "enc-depth": task.encoder_layers,
        "dec-depth": task.decoder_layers,
        "transformer-heads": task.num_heads,
        "transformer-dim-ffn": task.d_ff,
        "transformer-ffn-activation": "relu",
        "transformer-dropout": task.dropout,
        "label-smoothing": task.label_smoothing,
        "clip-norm": task.clip_norm,
        "optimizer": "adam",
        "optimizer-params": [task.beta1, task.beta2, task.epsilon],
        "learn-rate": task.learning_rate,
        "max-length": 1000,
        "mini-batch": 10_000,
        "mini-batch-words": words,
        "mini-batch-round-up": "false",
        "maxi-batch": 1000,
        "cpu-threads": task.threads,
        "tempdir": folder,
        "disp-freq": 1,
        "seed": 1,
    }
    flags = ["tied-embeddings-all", "sync-sgd", "no-restore-corpus"]
    line: list[Any] = [Path(sys.executable).parent / "pymarian", "train", *(f"--{flag}" for flag in flags)]
    for name, value in settings.items():
        line += [f"--{name}", *(value if isinstance(value, list) else [value])]
    return [str(each) for each in line]


if __name__ == "__main__":
    serve(Marian)
