"""Show that training fast loses nothing: this trainer's loss curves beside a plain loop's. Writes to `results/`.

    python benchmarks/loss_curve.py --data DATA

The plain loop is written out below with torch's own parts in float32: dropout by `F.dropout`, whole logits,
`F.cross_entropy`, automatic differentiation all the way, Adam not fused. Both train the same model on the same batches;
a seed changes the first weights and the dropout. What is asked: do our bf16 curves lie within the spread of the plain
loop's seeds? Validation loss: mean cross-entropy of the validation set's tokens.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
import torch.nn.functional as F
from facts import provenance, write_result
from peers import draw
from stepping import make_trainer
from training_speed import data_config

from attento.data.pairs.batching import Batch, TokenBatches
from attento.data.pairs.prepare import prepare
from attento.data.pairs.prepared import PreparedCorpus
from attento.models.base import EncoderDecoder
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig
from attento.nn.dropout import Dropout
from attento.training.process import keep_freed_memory
from attento.training.tasks.translation import mean_loss

SHAPE = {"encoder_layers": 2, "decoder_layers": 2, "d_model": 128, "d_ff": 512, "num_heads": 4, "norm": "pre"}
VOCAB_SIZE, TOKENS_PER_STEP, WARMUP, PEAK = 8000, 2048, 100, 0.003
CPU = torch.device("cpu")
Step = Callable[[Batch], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--every", type=int, default=25, help="steps between two points of a curve")
    options = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        corpus = prepare(data_config(), options.data, Path(folder) / "prepared")
        runs = [
            run(corpus, kind, seed, options.steps, options.every)
            for seed in range(1, options.seeds + 1)
            for kind in ("plain fp32", "Attento fp32", "Attento bf16")
        ]
    result: dict[str, Any] = {"provenance": provenance(), "shape": SHAPE, "tokens_per_step": TOKENS_PER_STEP}
    result |= {"steps": options.steps, "every": options.every, "runs": runs, "verdict": verdict(runs)}
    write_result("loss_curve", result, table(result))
    draw("loss_curve", "plot_loss_curve.py")


def run(corpus: PreparedCorpus, kind: str, seed: int, steps: int, every: int) -> dict[str, Any]:
    """Train once and return the curve."""
    torch.manual_seed(seed)
    model, step = plain_loop(steps) if kind.startswith("plain") else our_loop(kind.split()[1], steps, seed)
    stream = TokenBatches(corpus.train, TOKENS_PER_STEP, seed=1).from_position()
    losses, curve, started = [], [], time.perf_counter()
    for number, (_, batch) in enumerate(islice(stream, steps), start=1):
        losses.append(step(batch))
        if number % every == 0:
            curve.append(mean(losses[-every:]))
    pairs = corpus.validation.take(range(len(corpus.validation)))
    model.float().eval()
    seconds = time.perf_counter() - started
    finished = {"kind": kind, "seed": seed, "curve": curve, "validation": mean_loss(model, pairs, CPU)}
    print(f"{kind}, seed {seed}: validation loss {finished['validation']:.4f}, {seconds:.0f} s", file=sys.stderr)
    return finished | {"seconds": seconds}


def our_loop(precision: str, steps: int, seed: int) -> tuple[EncoderDecoder, Step]:
    """Return model and step of this project's trainer."""
    schedule = {"name": "inverse_sqrt", "peak": PEAK, "warmup": WARMUP}
    trainer = make_trainer(SHAPE, VOCAB_SIZE, seed=seed, precision=precision, max_steps=steps, schedule=schedule)

    def step(batch: Batch) -> float:
        before = trainer.state.meter.loss
        trainer.step(batch, print)
        trainer.state.step += 1
        return (trainer.state.meter.loss - before) / batch.num_target_tokens

    return trainer.model, step


class PlainDropout(torch.nn.Module):
    """torch's."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Drop elements."""
        return F.dropout(hidden, self.p, self.training)


def plain_loop(steps: int) -> tuple[EncoderDecoder, Step]:
    """Return model and step of the loop that a textbook would write."""
    model = build_translation_model(TransformerConfig(**SHAPE), VOCAB_SIZE, VOCAB_SIZE).train()
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, Dropout):
                setattr(module, name, PlainDropout(TransformerConfig(**SHAPE).dropout))
    optimizer = torch.optim.Adam(model.parameters(), betas=(0.9, 0.98), eps=1e-9, foreach=False)
    done = 0

    def step(batch: Batch) -> float:
        nonlocal done
        done += 1
        optimizer.param_groups[0]["lr"] = PEAK * min(done / WARMUP, math.sqrt(WARMUP / done))
        logits, _ = model.decode(batch.target_input, model.start(model.encode(batch.source, batch.source_mask)))
        loss = F.cross_entropy(logits[batch.target_mask], batch.target_output[batch.target_mask], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return model, step


def verdict(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Compare the means of each kind's curves and validation losses with the plain loop's spread over seeds."""
    plain = [each for each in runs if each["kind"].startswith("plain")]
    kinds = [kind for kind in dict.fromkeys(each["kind"] for each in runs) if not kind.startswith("plain")]
    points = list(zip(*(each["curve"] for each in plain), strict=True))
    compared = {}
    for kind in kinds:
        curves = list(zip(*(each["curve"] for each in runs if each["kind"] == kind), strict=True))
        compared[kind] = {
            "points": len(points),
            "points_with_mean_within_plain_range": sum(
                min(theirs) <= mean(ours) <= max(theirs) for ours, theirs in zip(curves, points, strict=True)
            ),
            "largest_distance_of_means_in_plain_deviations": max(
                abs(mean(ours) - mean(theirs)) / stdev(theirs) for ours, theirs in zip(curves, points, strict=True)
            ),
        }
    return compared


def table(result: dict[str, Any]) -> list[str]:
    """Return the result as Markdown lines."""
    lines = [
        "# Training fast loses nothing",
        "",
        f"{result['steps']} steps of {result['tokens_per_step']:,} tokens, Multi30k English-German.",
        "",
        "| loop | validation loss of each seed | mean | training loss at the end, mean | seconds, mean |",
        "|---|---|---|---|---|",
    ]
    for kind in dict.fromkeys(each["kind"] for each in result["runs"]):
        runs = [each for each in result["runs"] if each["kind"] == kind]
        validation = [each["validation"] for each in runs]
        lines.append(
            f"| {kind} | {', '.join(f'{loss:.3f}' for loss in validation)} | {mean(validation):.3f} | "
            f"{mean(each['curve'][-1] for each in runs):.3f} | {mean(each['seconds'] for each in runs):.0f} |"
        )
    lines.append("")
    for kind, found in result["verdict"].items():
        lines.append(
            f"{kind}: at {found['points_with_mean_within_plain_range']} of {found['points']} points the mean of its "
            "curves lies between the plain loop's least and greatest; the means are at most "
            f"{found['largest_distance_of_means_in_plain_deviations']:.2f} of the plain loop's standard deviations "
            "(over seeds) apart."
        )
    return lines


if __name__ == "__main__":
    main()
