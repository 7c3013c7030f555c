"""Measure what looking inside a model costs, on and off, and write `results/recording.*`.

    python benchmarks/recording.py            # 5 minutes
    python benchmarks/recording.py --short    # a quarter of the rounds

One thread, one process that does everything in turn, and its own processor time, so that what else the machine does
counts little. A pass is a batch read and its targets decoded in one go. Off: three copies of one model take turns, of
which one was recorded and let go before; each is held against the first in the same round. Two that were never
recorded tell how much of a ratio is noise. On: each choice of arrays is held against a pass of the same model in the
same round that records nothing. Memory is what a process of its own grew by at its peak in one pass (Linux), the
median of several: what the allocator holds in reserve differs from one to the next.
"""

import argparse
import copy
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from typing import Any

from facts import provenance, write_result
from training_cost import spread

SHAPE = {"encoder_layers": 3, "decoder_layers": 3, "d_model": 256, "d_ff": 1024, "num_heads": 4}
VOCABULARY, ROWS, LENGTH = 8000, 8, 32
# Enough that a pass is more than what the process holds in reserve.
MEMORY_ROWS = 64
PROCESSES = 5
ATTENTION = ("query", "key", "value", "scores", "weights", "context")
STATES = ("residual", "feed_forward", "logits")
CHOICES: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "weights": ("weights",),
    "all of attention": ATTENTION,
    "residual stream": ("residual",),
    "feed-forward activations": ("feed_forward",),
    "logits": ("logits",),
    "everything": (*ATTENTION, *STATES),
}
MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a quarter of the rounds")
    parser.add_argument("--rounds", type=int, help="rounds of each comparison")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory is not None:
        print(json.dumps(grown(CHOICES[options.memory])))
        return
    rounds = options.rounds or (50 if options.short else 200)
    result = {
        "provenance": provenance(),
        "shape": SHAPE,
        "batch": {"vocabulary": VOCABULARY, "rows": ROWS, "length": LENGTH},
        "load_average": os.getloadavg()[0],
        "off": off(rounds),
        "on": on(rounds // 4),
        "memory": {name: memory(name) for name in CHOICES},
    }
    write_result("recording-short" if options.short else "recording", result, table(result))


def off(rounds: int) -> dict[str, Any]:
    """Hold a model that was recorded before against one that never was."""
    from attento.inspection.record import record

    first = make_model()
    second, recorded = copy.deepcopy(first), copy.deepcopy(first)
    with record(recorded, CHOICES["everything"]):
        one_pass(recorded)()
    models = {"a model": first, "another, never recorded": second, "recorded before": recorded}
    return take_turns({name: one_pass(model) for name, model in models.items()}, rounds)


def on(rounds: int) -> dict[str, Any]:
    """Hold passes that record against passes that do not, of one model."""
    from attento.inspection.record import record

    model = make_model()
    run = one_pass(model)

    def recording(names: tuple[str, ...]) -> Callable[[], int]:
        def watched() -> int:
            with record(model, names) as trace:
                run()
            seen = [getattr(each, name) for each in trace.attentions for name in ATTENTION]
            return sum(array.nbytes for array in [*seen, *trace.arrays.values()] if array is not None)

        return watched

    runs = {name: recording(names) if names else run for name, names in CHOICES.items()}
    timed = take_turns(runs, rounds)
    return {name: {"kept_bytes": runs[name]()} | timed[name] for name in runs}


def take_turns(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Any]:
    """Time functions in turn, every round in another order; ratios are to the first one in the same round."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    names = list(runs)
    for number in range(rounds):
        turned = names[number % len(names) :] + names[: number % len(names)]
        for name in turned if number // len(names) % 2 else reversed(turned):
            started = time.process_time()
            runs[name]()
            times[name].append(time.process_time() - started)
    first = times[names[0]]
    told = {}
    for name, own in times.items():
        ratio = [mine / base for mine, base in zip(own, first, strict=True)]
        low, _, high = quantiles(ratio, n=4)
        told[name] = {"milliseconds": spread([1000 * each for each in own])} | {
            "ratio": spread(ratio) | {"quartiles": [low, high]},
            "ratio_of_least": min(own) / min(first),
        }
    return told


def memory(name: str) -> dict[str, Any]:
    """Measure in processes of their own what their peaks grow by, in MiB."""
    grew = []
    for _ in range(PROCESSES):
        command = [sys.executable, __file__, "--memory", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr}")
        grew.append(float(json.loads(done.stdout.splitlines()[-1])))
    return spread(grew)


def grown(names: tuple[str, ...]) -> float:
    from attento.inspection.record import record

    model = make_model()
    # What torch makes once, on a batch too small to count.
    one_pass(model, rows=1, length=2)()
    run = one_pass(model, rows=MEMORY_ROWS)
    # Linux forgets the peak so far, which importing torch and drawing weights have set.
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    if names:
        with record(model, names):
            run()
    else:
        run()
    return (status("VmHWM") - before) / 1024


def status(name: str) -> int:
    """Return what Linux tells of this process, in KiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name)))


def make_model() -> Any:
    import torch

    from attento.models.build import build_translation_model
    from attento.models.translation.config import TransformerConfig

    torch.set_num_threads(1)
    torch.manual_seed(1)
    return build_translation_model(TransformerConfig(**SHAPE), VOCABULARY, VOCABULARY).eval()


def one_pass(model: Any, rows: int = ROWS, length: int = LENGTH) -> Callable[[], None]:
    import torch

    ids = torch.randint(4, VOCABULARY, (2, rows, length), generator=torch.Generator().manual_seed(1))
    mask = torch.ones(rows, length, dtype=torch.bool)

    def run() -> None:
        with torch.no_grad():
            model.decode(ids[1], model.start(model.encode(ids[0], mask)))

    return run


def table(result: dict[str, Any]) -> list[str]:
    shape, off, on = result["shape"], result["off"], result["on"]
    text = ", ".join(f"{name} {value:,}" for name, value in shape.items())
    lines = [
        "# What looking inside costs",
        "",
        f"Transformer, {text}, a vocabulary of {VOCABULARY:,}.",
        f"A pass reads {ROWS} sentences of {LENGTH} tokens and decodes as many in one go. CPU, one thread,",
        f"processor time; load average {result['load_average']:.1f}.",
        "",
        "## While nothing is recorded",
        "",
        "| model | ms a pass, median (least to most) | ratio in a round, median (quartiles) | ratio of the least |",
        "|---|---|---|---|",
    ]
    lines += [f"| {name} | {_time(one)} | {_ratio(one)} | {one['ratio_of_least']:.3f} |" for name, one in off.items()]
    rounds = next(iter(off.values()))["ratio"]["timed"]
    lines += ["", f"{rounds} rounds.", "", "## While something is", ""]
    lines += [
        "| recorded | ms a pass, median (least to most) | ratio in a round, median (quartiles) "
        "| kept, MiB | peak, MiB, median (least to most) | of nothing's |",
        "|---|---|---|---|---|---|",
    ]
    peaks = result["memory"]
    for name, one in on.items():
        kept = "" if name == "nothing" else f"{one['kept_bytes'] / MIB:.1f}"
        own = peaks[name]
        peak = f"{own['median']:.0f} ({own['least']:.0f} to {own['most']:.0f})"
        peak += f" | {own['median'] / peaks['nothing']['median']:.2f}"
        lines.append(f"| {name} | {_time(one)} | {_ratio(one)} | {kept} | {peak} |")
    timed = next(iter(on.values()))["ratio"]["timed"]
    how = f"the peak is what each of {PROCESSES} processes grew by in a pass of {MEMORY_ROWS} such sentences"
    return [*lines, "", f"{timed} rounds. Kept are the arrays of the trace; {how}."]


def _time(one: dict[str, Any]) -> str:
    of = one["milliseconds"]
    return f"{of['median']:.1f} ({of['least']:.1f} to {of['most']:.1f})"


def _ratio(one: dict[str, Any]) -> str:
    low, high = one["ratio"]["quartiles"]
    return f"{one['ratio']['median']:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
