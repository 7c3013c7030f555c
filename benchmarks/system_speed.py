"""Measure how fast the systems of a comparison train, beside each other. Writes to `results/`.

    python benchmarks/system_speed.py recipes/compare/modern.yaml --data DATA

Each system makes its step in turn, round after round, each round on one batch that all of them see; a ratio is always
of two steps of one round. Nothing is learned: the weights are as drawn, and the rate stays near 0.
"""

import argparse
import tempfile
import time
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from facts import provenance, write_result
from training_cost import spread

from attento.comparison.ladder import prepare_once
from attento.comparison.recipe import load_comparison
from attento.run_folder import RunFolder
from attento.training.build import build_trainer
from attento.training.loop import Trainer
from attento.training.parallel.alone import join
from attento.training.process import keep_freed_memory, use_available_cores
from attento.training.tasks.choose import task_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    keep_freed_memory()
    use_available_cores()
    comparison = load_comparison(options.recipe, options.data)
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text"
        prepare_once(comparison, text, lambda message: None)
        seconds, tokens = measure(comparison.systems, text, options.rounds)
    write(options.recipe.stem, seconds, tokens)


def measure(systems: dict[str, Any], text: Path, rounds: int) -> tuple[dict[str, list[float]], list[int]]:
    """Return each system's seconds a step, and the tokens of each round's batch; the first round is left out."""
    trainers = {name: make_trainer(config, text) for name, config in systems.items()}
    first = next(iter(trainers.values()))
    batches = [batch for _, batch in islice(first.batches.from_position(), rounds + 1)]
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for batch in batches:
        for name, trainer in trainers.items():
            started = time.perf_counter()
            trainer.step(batch, lambda message: None)
            seconds[name].append(time.perf_counter() - started)
    tokens = [batch.num_source_tokens + batch.num_target_tokens for batch in batches[1:]]
    return {name: taken[1:] for name, taken in seconds.items()}, tokens


def make_trainer(config: Any, text: Path) -> Trainer:
    corpus = task_of(config).open(text)
    with join(config) as world:
        return build_trainer(config, corpus, RunFolder(text.parent / "run"), world, Trainer)


def write(recipe: str, seconds: dict[str, list[float]], tokens: list[int]) -> None:
    reference = next(iter(seconds))
    systems = []
    lines = [
        f"# Training speed of the systems of `{recipe}`",
        "",
        f"Median of {len(tokens)} rounds, in brackets least to most; in a round every system steps on the same batch. "
        f"Ratio: speed over that of `{reference}` in the same round.",
        "",
        "| system | tokens/s | ratio |",
        "|---|---|---|",
    ]
    for name, taken in seconds.items():
        speeds = [count / each for count, each in zip(tokens, taken, strict=True)]
        ratios = [base / each for base, each in zip(seconds[reference], taken, strict=True)]
        systems.append({"name": name, "tokens_per_second": spread(speeds), "ratio": spread(ratios)})
        lines.append(
            f"| {name} | {median(speeds):,.0f} ({min(speeds):,.0f} to {max(speeds):,.0f}) | "
            f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
        )
    write_result(f"speed-{recipe}", {"provenance": provenance(), "systems": systems}, lines)


if __name__ == "__main__":
    main()
