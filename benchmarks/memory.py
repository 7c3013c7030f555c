"""Measure how many tokens of a training step fit in a GiB, and what saving memory costs; write `results/memory.*`.

    python benchmarks/memory.py            # 20 minutes
    python benchmarks/memory.py --short    # one timed step a point instead of five
    python benchmarks/memory.py --device cuda --threads 8

Two shapes, two vocabularies, the loss by chunks and with its logits whole, activation checkpointing on and off. Every
point is a process of its own, measured at two sizes of the step: the difference in peak memory over the difference in
tokens is what a token takes; the rest (weights, gradients, optimizer, a chunk of the loss) does not grow with the step.
On the CPU memory is what the process grew by, on a GPU what torch's tensors took. Variants of one shape and vocabulary
follow one another, so that their speeds compare.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from itertools import product
from typing import Any

from facts import RESULTS, provenance, write_result
from peers import SCRIPTS, PeerError, peer_python
from training_cost import spread

SHAPES = {
    "tiny": {"encoder_layers": 3, "decoder_layers": 3, "d_model": 256, "d_ff": 1024, "num_heads": 4},
    "base": {"encoder_layers": 6, "decoder_layers": 6, "d_model": 512, "d_ff": 2048, "num_heads": 8},
}
VOCABULARIES = (8000, 64000)
# Target tokens whose logits exist at once: the default, and more than a step has.
LOSSES = {"by chunks": 1024, "whole logits": 10**9}
TOKENS = (4096, 8192)
LENGTH = 32
GIB = 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="one timed step a point")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--point", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point:
        print(json.dumps(measure(**options.point)))
        return
    common = {"device": options.device, "steps": 1 if options.short else 5}
    rows = [
        row(common, options.threads, shape=shape, vocabulary=vocabulary, loss=loss, checkpointing=checkpointing)
        for shape, vocabulary, loss, checkpointing in product(options.shapes, VOCABULARIES, LOSSES, (False, True))
    ]
    result = {
        "provenance": provenance(),
        "threads": options.threads,
        "tokens": list(TOKENS),
        "length": LENGTH,
        "rows": rows,
    } | common
    write_result("memory", result, table(result))
    draw()


def row(common: dict[str, Any], threads: int, **variant: Any) -> dict[str, Any]:
    """Measure one variant at both sizes."""
    few, many = (point(threads, **common, **variant, tokens=tokens) for tokens in TOKENS)
    by_token = (many["peak"] - few["peak"]) / (many["tokens"] - few["tokens"])
    return variant | {
        "precision": many["precision"],
        "tokens_per_gib": GIB / by_token,
        "fixed_gib": (many["peak"] - by_token * many["tokens"]) / GIB,
        "peak_gib": many["peak"] / GIB,
        "tokens_per_second": spread([many["tokens"] / seconds for seconds in many["seconds"]]),
    }


def point(threads: int, **settings: Any) -> dict[str, Any]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--point", json.dumps(settings)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{settings}: {done.stderr}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(settings, measured, file=sys.stderr)
    return measured


def measure(
    shape: str, vocabulary: int, loss: str, checkpointing: bool, tokens: int, device: str, steps: int
) -> dict[str, Any]:
    """Do some steps; return the most memory they took, and the seconds of each but the first."""
    import torch
    from stepping import make_trainer, random_batch

    from attento.training.process import keep_freed_memory

    keep_freed_memory()
    torch.manual_seed(1)
    before = peak_memory(device)
    trainer = make_trainer(
        SHAPES[shape],
        vocabulary,
        device=device,
        loss_chunk_tokens=LOSSES[loss],
        activation_checkpointing=checkpointing,
    )
    seconds, count = [], 0
    for step in range(steps + 1):
        batch = random_batch(tokens, LENGTH, vocabulary, seed=step)
        count = batch.num_source_tokens + batch.num_target_tokens
        started = time.perf_counter()
        # It reads the loss's value, and so waits for the device.
        trainer.step(batch, print)
        seconds.append(time.perf_counter() - started)
    precision = str(trainer.weights.dtype).removeprefix("torch.")
    return {"peak": peak_memory(device) - before, "seconds": seconds[1:], "tokens": count, "precision": precision}


def peak_memory(device: str) -> int:
    """Return the most bytes so far: of this process, or of torch's tensors on the GPU."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    import torch

    return torch.cuda.max_memory_allocated(device)


def table(result: dict[str, Any]) -> list[str]:
    """Return the result as Markdown lines."""
    few, many = result["tokens"]
    lines = [
        "# Tokens of a training step for each GiB",
        "",
        f"Source and target tokens, sentences of {result['length']} tokens, {result['rows'][0]['precision']} on "
        f"{result['device']} with {result['threads']} threads. Memory that grows with the step is told from steps of "
        f"{few:,} and {many:,} tokens; fixed is what does not grow. Speed is that of the larger step. Tiny: 3+3 "
        "layers, d 256, FFN 1024. Base: 6+6, d 512, FFN 2048.",
        "",
        "| shape | vocabulary | loss | checkpointing | tokens/GiB | fixed, GiB | tokens/s, median | least | most |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    return lines + [_line(each) for each in result["rows"]]


def _line(each: dict[str, Any]) -> str:
    rate = each["tokens_per_second"]
    checkpointing = "yes" if each["checkpointing"] else "no"
    return (
        f"| {each['shape']} | {each['vocabulary']:,} | {each['loss']} | {checkpointing} "
        f"| {each['tokens_per_gib']:,.0f} | {each['fixed_gib']:.2f} "
        f"| {rate['median']:,.0f} | {rate['least']:,.0f} | {rate['most']:,.0f} |"
    )


def draw() -> None:
    """Draw the result; where matplotlib does not install, there is no plot, and it is said so."""
    try:
        python = peer_python("plots")
    except PeerError as problem:
        print(f"no plot: matplotlib {problem}", file=sys.stderr)
        return
    files = [RESULTS / "memory.json", RESULTS / "memory.png"]
    subprocess.run([python, SCRIPTS / "plot_memory.py", *files], check=True)


if __name__ == "__main__":
    main()
