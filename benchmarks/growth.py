"""Measure how the cost of a training step grows with what it is made of, and write curves to `results/`.

    python benchmarks/growth.py            # 10 minutes
    python benchmarks/growth.py --short    # fewer points, fewer steps: 2 minutes

Around one shape (3+3 layers, d_model 256, FFN 1024, a vocabulary of 8,000, 4,096-token steps of 32-token sentences)
one thing at a time is changed: sentence length, tokens a step, vocabulary, layers, d_model, threads. Every point is a
process of its own, so that its peak memory is its own too. Then attention alone, forward and backward, readable and
fused, by length: its cost in time and memory grows with the square (Vaswani et al. 2017, Table 1).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from statistics import median
from typing import Any

from facts import provenance, write_result
from peers import draw

BASE = {"length": 32, "tokens": 4096, "vocabulary": 8000, "layers": 3, "d_model": 256, "threads": 1}
AXES: dict[str, list[int]] = {
    "length": [8, 16, 32, 64, 128, 256, 512, 1024],
    "tokens": [512, 1024, 2048, 4096, 8192, 16384],
    "vocabulary": [1000, 4000, 8000, 16000, 32000, 64000],
    "layers": [1, 2, 3, 6, 12],
    "d_model": [64, 128, 256, 512, 1024],
    "threads": list(range(1, len(os.sched_getaffinity(0)) + 1)),
}
ATTENTION_LENGTHS = [32, 64, 128, 256, 512, 1024, 2048, 4096]
HEADS, HEAD_SIZE = 8, 64
MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="every other point, two steps each")
    parser.add_argument("--steps", type=int, help="timed steps a point")
    parser.add_argument("--point", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point:
        print(json.dumps(measure_attention(**options.point) if "form" in options.point else measure(**options.point)))
        return
    steps = options.steps or (2 if options.short else 5)
    every = 2 if options.short else 1
    curves = {
        axis: [point(**BASE | {axis: value}, steps=steps) for value in values[::every]] for axis, values in AXES.items()
    }
    attention = [
        point(form=form, length=length, steps=steps)
        for form in ("readable", "fused")
        for length in ATTENTION_LENGTHS[::every]
    ]
    result = {"provenance": provenance(), "base": BASE, "steps": steps, "curves": curves, "attention": attention}
    name = "growth-short" if options.short else "growth"
    write_result(name, result, table(result))
    draw(name, "plot_growth.py")


def point(**settings: Any) -> dict[str, Any]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--point", json.dumps(settings)]
    environment = os.environ | {"OMP_NUM_THREADS": str(settings.get("threads", 1))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{settings}: {done.stderr}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(settings, measured, file=sys.stderr)
    return settings | measured


def measure(
    length: int, tokens: int, vocabulary: int, layers: int, d_model: int, threads: int, steps: int
) -> dict[str, Any]:
    """Time training steps, and read by how much the process has grown."""
    import torch
    from stepping import make_trainer, random_batch

    from attento.training.process import keep_freed_memory

    keep_freed_memory()
    torch.manual_seed(1)
    before = peak_memory()
    heads = max(1, d_model // 64)
    shape = {"encoder_layers": layers, "decoder_layers": layers, "d_model": d_model, "d_ff": 4 * d_model}
    trainer = make_trainer(shape | {"num_heads": heads}, vocabulary)
    seconds = []
    for step in range(steps + 1):
        batch = random_batch(tokens, length, vocabulary, seed=step)
        started = time.perf_counter()
        trainer.step(batch, print)
        seconds.append(time.perf_counter() - started)
    return summary(seconds[1:], before)


def measure_attention(form: str, length: int, steps: int) -> dict[str, Any]:
    """Time one sentence's attention, forward and backward."""
    import torch

    from attento.nn.attention import fused_attention, scaled_dot_product_attention

    torch.manual_seed(1)
    inputs = [torch.randn(1, HEADS, length, HEAD_SIZE, requires_grad=True) for _ in range(3)]
    before = peak_memory()
    seconds = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        context = fused_attention(*inputs) if form == "fused" else scaled_dot_product_attention(*inputs)[0]
        context.sum().backward()
        seconds.append(time.perf_counter() - started)
    return summary(seconds[1:], before)


def peak_memory() -> int:
    """Return the most memory that this process has had so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def summary(seconds: list[float], before: int) -> dict[str, Any]:
    """Return median, least and most seconds, and the growth of memory in MiB."""
    growth = (peak_memory() - before) / MIB
    return {"seconds": median(seconds), "least": min(seconds), "most": max(seconds), "memory_mib": growth}


def table(result: dict[str, Any]) -> list[str]:
    """Return the result as Markdown lines."""
    base = ", ".join(f"{name} {value:,}" for name, value in result["base"].items())
    lines = ["# How the cost of a training step grows", "", f"Where nothing else is said: {base}; bf16 where the"]
    lines[-1] += " processor is faster with it. Memory: what the process grew by."
    for axis, points in result["curves"].items():
        lines += ["", f"| {axis} | seconds a step, median | least | most | memory, MiB |", "|---|---|---|---|---|"]
        lines += [_row(each, f"{each[axis]:,}") for each in points]
    lines += ["", f"Attention alone, one sentence, {HEADS} heads of {HEAD_SIZE}, float32, forward and backward:", ""]
    lines += ["| form | length | seconds, median | least | most | memory, MiB |", "|---|---|---|---|---|---|"]
    lines += [_row(each, f"{each['form']} | {each['length']:,}") for each in result["attention"]]
    return lines


def _row(point: dict[str, Any], name: str) -> str:
    times = " | ".join(f"{point[key]:.4f}" for key in ("seconds", "least", "most"))
    return f"| {name} | {times} | {point['memory_mib']:,.0f} |"


if __name__ == "__main__":
    main()
