"""Measure what a decoder keeps of each token and what that costs a step, and write `results/cache.*`.

    python benchmarks/cache.py                   # a minute
    python benchmarks/cache.py --device cuda

One decoder-only shape; keys and values for every head, for groups of heads (Ainslie et al. 2023), for all heads
together (Shazeer 2019), and for every head in a sliding window (Beltagy et al. 2020). Bytes are those of the tensors in
a state that the model has made by reading a text, beside the formula: 2 * layers * key heads * width of a head * bytes
of a number, for each token that is kept. A step reads one more token of each row; the variants take turns.
"""

import argparse
import os
import time
from itertools import product
from typing import Any

import torch
from facts import provenance, write_result
from torch import Tensor
from training_cost import spread

from attento.models.language.config import DecoderOnlyConfig
from attento.models.language.decoder_only import DecoderOnly, DecoderOnlyState
from attento.nn.state import bytes_of
from attento.training.process import keep_freed_memory

SHAPE = {"layers": 4, "d_model": 512, "d_ff": 2048, "num_heads": 8}
VOCABULARY = 8000
WINDOW = 256
HEADS = SHAPE["num_heads"]
VARIANTS: dict[str, dict[str, int]] = {
    "multi-head": {},
    "grouped, 2 heads a key": {"num_kv_heads": HEADS // 2},
    "grouped, 4 heads a key": {"num_kv_heads": HEADS // 4},
    "multi-query": {"num_kv_heads": 1},
    f"multi-head, window of {WINDOW}": {"sliding_window": WINDOW},
}
LENGTHS, ROWS = (128, 1024), (1, 32)
KIB = 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="timed steps of each variant, length and number of rows")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    models = {name: make_model(changes).to(options.device) for name, changes in VARIANTS.items()}
    states = {length: {name: read(model, length) for name, model in models.items()} for length in LENGTHS}
    result = {
        "provenance": provenance(),
        "device": torch.cuda.get_device_name() if options.device == "cuda" else options.device,
        "threads": options.threads,
        "load_average": os.getloadavg()[0],
        "shape": SHAPE,
        "vocabulary": VOCABULARY,
        "variants": {name: weigh(name, {length: states[length][name] for length in LENGTHS}) for name in models},
        "steps": [
            {"length": length, "rows": rows, **each}
            for length, rows in product(LENGTHS, ROWS)
            for each in time_steps(models, states[length], rows, options.rounds)
        ],
    }
    write_result("cache" if options.device == "cpu" else f"cache-{options.device}", result, table(result))


def make_model(changes: dict[str, int]) -> DecoderOnly:
    config = DecoderOnlyConfig(architecture="decoder_only", positions="rotary", **SHAPE | changes)
    return DecoderOnly(config, VOCABULARY).eval()


@torch.no_grad()
def read(model: DecoderOnly, length: int) -> DecoderOnlyState:
    """Read one text of random tokens."""
    weight = model.output_layer()[0]
    text = torch.randint(4, VOCABULARY, (1, length), device=weight.device)
    return model.features(text, model.start(1))[1]


def weigh(name: str, states: dict[int, DecoderOnlyState]) -> dict[str, Any]:
    """Count the bytes that are kept of texts, and reckon them by the formula."""
    changes = VARIANTS[name]
    key_heads, kept = changes.get("num_kv_heads", HEADS), changes.get("sliding_window", max(LENGTHS) + 1) - 1
    token = 2 * SHAPE["layers"] * key_heads * (SHAPE["d_model"] // HEADS) * torch.float32.itemsize
    return {
        "key_heads": key_heads,
        "bytes": {length: bytes_of(state) for length, state in states.items()},
        "formula": {length: token * min(length, kept) for length in LENGTHS},
    }


@torch.no_grad()
def time_steps(
    models: dict[str, DecoderOnly], states: dict[str, DecoderOnlyState], rows: int, rounds: int
) -> list[dict[str, Any]]:
    """Time one more token of each row, every variant once a round; the first round is not counted."""
    device = next(iter(models.values())).output_layer()[0].device
    new = torch.randint(4, VOCABULARY, (rows, 1), device=device)
    same = torch.zeros(rows, dtype=torch.long, device=device)
    repeated = {name: state.select(same) for name, state in states.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds + 1):
        for name, model in models.items():
            _wait(new)
            started = time.perf_counter()
            model.decode(new, repeated[name])
            _wait(new)
            seconds[name].append(time.perf_counter() - started)
    return [{"variant": name, "milliseconds": spread([1000 * s for s in seen[1:]])} for name, seen in seconds.items()]


def _wait(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize()


def table(result: dict[str, Any]) -> list[str]:
    """Return the result as Markdown lines."""
    short, long = LENGTHS
    shape = ", ".join(f"{name} {value:,}" for name, value in result["shape"].items())
    lines = [
        "# What a decoder keeps of each token",
        "",
        f"Decoder-only, {shape}, rotary positions, float32.",
        "Bytes of one row's state as measured, and in brackets by the formula",
        "2 * layers * key heads * width of a head * 4.",
        "",
        f"| keys and values | key heads | bytes a token | a text of {short:,} tokens, KiB | of {long:,}, KiB | of "
        "multi-head's |",
        "|---|---|---|---|---|---|",
    ]
    whole = result["variants"]["multi-head"]["bytes"][long]
    for name, each in result["variants"].items():
        sizes, formula = each["bytes"], each["formula"]
        lines.append(
            f"| {name} | {each['key_heads']} | {sizes[short] / short:,.0f} ({formula[short] / short:,.0f}) | "
            f"{sizes[short] / KIB:,.0f} ({formula[short] / KIB:,.0f}) | "
            f"{sizes[long] / KIB:,.0f} ({formula[long] / KIB:,.0f}) | {sizes[long] / whole:.3f} |"
        )
    cases = list(product(LENGTHS, ROWS))
    times = {(each["length"], each["rows"], each["variant"]): each["milliseconds"] for each in result["steps"]}
    lines += [
        "",
        f"Milliseconds of a step that reads one more token of each row, median (least to most); {result['device']}, "
        f"threads: {result['threads']}. The machine's load average was {result['load_average']:.1f}.",
        "",
        "| keys and values | " + " | ".join(f"{rows} x {length:,} tokens" for length, rows in cases) + " |",
        "|---" * (len(cases) + 1) + "|",
    ]
    for name in result["variants"]:
        cells = (times[length, rows, name] for length, rows in cases)
        shown = " | ".join(f"{t['median']:.1f} ({t['least']:.1f} to {t['most']:.1f})" for t in cells)
        lines.append(f"| {name} | {shown} |")
    return lines


if __name__ == "__main__":
    main()
