"""Measure how many tokens of a training step fit in a GiB, and what saving memory costs; write `results/memory.*`.

    python benchmarks/memory.py            # 20 minutes
    python benchmarks/memory.py --short    # two timed steps a variant instead of five
    python benchmarks/memory.py --device cuda --threads 8

Two shapes, two vocabularies, the loss by chunks and with its logits whole, activation checkpointing on and off. Memory
is that of a process of its own, at two sizes of the step: the difference in peak memory over the difference in tokens
is what a token takes; the rest (weights, gradients, optimizer, a chunk of the loss) does not grow with the step. On the
CPU it is what the process grew by, on a GPU what torch's tensors took. For speed, the variants of one shape and
vocabulary take turns in one process, and each is held against the defaults in the same round.
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

from facts import provenance, write_result
from peers import draw
from training_cost import spread

SHAPES = {
    "tiny": {"encoder_layers": 3, "decoder_layers": 3, "d_model": 256, "d_ff": 1024, "num_heads": 4},
    "base": {"encoder_layers": 6, "decoder_layers": 6, "d_model": 512, "d_ff": 2048, "num_heads": 8},
}
VOCABULARIES = (8000, 64000)
# Target tokens whose logits exist at once: the default, and more than a step has.
CHUNKS = {"by chunks": 1024, "whole logits": 10**9}
# Loss, and whether activations are computed again; the first one is the default.
VARIANTS = tuple(product(CHUNKS, (False, True)))
TOKENS = (4096, 8192)
LENGTH = 32
GIB = 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="two timed steps a variant")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--point", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point:
        print(json.dumps(measure_speed(**options.point) if "rounds" in options.point else measure(**options.point)))
        return
    rounds = 2 if options.short else 5
    rows: list[dict[str, Any]] = []
    for shape, vocabulary in product(options.shapes, VOCABULARIES):
        case = {"shape": shape, "vocabulary": vocabulary, "device": options.device}
        speeds = point(options.threads, **case, rounds=rounds)
        rows += [memory(options.threads, case, *variant) | speeds["variants"][n] for n, variant in enumerate(VARIANTS)]
    result = {
        "provenance": provenance(),
        "device": options.device,
        "threads": options.threads,
        "precision": rows[0]["precision"],
        "tokens": list(TOKENS),
        "length": LENGTH,
        "rounds": rounds,
        "rows": rows,
    }
    write_result("memory", result, table(result))
    draw("memory", "plot_memory.py")


def memory(threads: int, case: dict[str, Any], loss: str, checkpointing: bool) -> dict[str, Any]:
    """Measure what a token takes in one variant, and what does not grow."""
    variant = case | {"loss": loss, "checkpointing": checkpointing}
    few, many = (point(threads, **variant, tokens=tokens) for tokens in TOKENS)
    by_token = (many["peak"] - few["peak"]) / (many["tokens"] - few["tokens"])
    return variant | {
        "precision": many["precision"],
        "tokens_per_gib": GIB / by_token,
        "fixed_gib": (many["peak"] - by_token * many["tokens"]) / GIB,
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


def measure(shape: str, vocabulary: int, device: str, loss: str, checkpointing: bool, tokens: int) -> dict[str, Any]:
    """Do two steps, of which the second has all that a step finds; return the most memory they took."""
    from stepping import random_batch

    prepare()
    before = peak_memory(device)
    trainer = new_trainer(shape, vocabulary, device, loss, checkpointing)
    for seed in range(2):
        batch = random_batch(tokens, LENGTH, vocabulary, seed)
        trainer.step(batch, print)
    return {
        "peak": peak_memory(device) - before,
        "tokens": batch.num_source_tokens + batch.num_target_tokens,
        "precision": str(trainer.weights.dtype).removeprefix("torch."),
    }


def measure_speed(shape: str, vocabulary: int, device: str, rounds: int) -> dict[str, Any]:
    """Let all variants take turns with steps; return tokens a second, and time against the first variant's."""
    from stepping import random_batch

    prepare()
    trainers = [new_trainer(shape, vocabulary, device, *variant) for variant in VARIANTS]
    seconds: list[list[float]] = [[] for _ in trainers]
    for seed in range(rounds + 1):
        batch = random_batch(TOKENS[0], LENGTH, vocabulary, seed)
        for trainer, times in zip(trainers, seconds, strict=True):
            started = time.perf_counter()
            # It reads the loss's value, and so waits for the device.
            trainer.step(batch, print)
            times.append(time.perf_counter() - started)
    tokens = batch.num_source_tokens + batch.num_target_tokens
    # The first step takes memory and prepares kernels.
    first, *_ = timed = [times[1:] for times in seconds]
    return {
        "variants": [
            {
                "tokens_per_second": spread([tokens / each for each in times]),
                "time_against_default": spread([each / default for each, default in zip(times, first, strict=True)]),
            }
            for times in timed
        ]
    }


def prepare() -> None:
    """Make this process like one that trains."""
    import torch

    from attento.training.process import keep_freed_memory

    keep_freed_memory()
    torch.manual_seed(1)


def new_trainer(shape: str, vocabulary: int, device: str, loss: str, checkpointing: bool) -> Any:
    """Make a trainer of one variant."""
    from stepping import make_trainer

    return make_trainer(
        SHAPES[shape],
        vocabulary,
        device=device,
        loss_chunk_tokens=CHUNKS[loss],
        activation_checkpointing=checkpointing,
    )


def peak_memory(device: str) -> int:
    """Return the most bytes so far: of this process, or of torch's tensors on the GPU."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    import torch

    return torch.cuda.max_memory_allocated(device)


def table(result: dict[str, Any]) -> list[str]:
    """Return the result as Markdown lines."""
    few, many = result["tokens"]
    return [
        "# Tokens of a training step for each GiB",
        "",
        f"Source and target tokens, sentences of {result['length']} tokens, {result['precision']} on "
        f"{result['device']} with {result['threads']} threads. Memory that grows with the step is told from steps of "
        f"{few:,} and {many:,} tokens; fixed is what does not grow. Time is that of a step of {few:,} tokens against "
        f"the first variant's in the same round, the median of {result['rounds']}. Tiny: 3+3 layers, d 256, "
        "FFN 1024. Base: 6+6, d 512, FFN 2048.",
        "",
        "| shape | vocabulary | loss | checkpointing | tokens/GiB | fixed, GiB | time (least-most) | tokens/s |",
        "|---|---|---|---|---|---|---|---|",
        *(_line(each) for each in result["rows"]),
    ]


def _line(each: dict[str, Any]) -> str:
    checkpointing = "yes" if each["checkpointing"] else "no"
    cost, rate = each["time_against_default"], each["tokens_per_second"]["median"]
    return (
        f"| {each['shape']} | {each['vocabulary']:,} | {each['loss']} | {checkpointing} "
        f"| {each['tokens_per_gib']:,.0f} | {each['fixed_gib']:.2f} "
        f"| {cost['median']:.2f}x ({cost['least']:.2f}-{cost['most']:.2f}) | {rate:,.0f} |"
    )


if __name__ == "__main__":
    main()
