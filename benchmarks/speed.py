"""Measure translating sentences/s of this very checkout, and write them to `results/`.

    python benchmarks/speed.py --data DATA --run runs/multi30k-de-en

The test set of the run's recipe, in one call, as `attento evaluate` does it. Training: `training_speed.py`.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from facts import provenance, write_result
from training_cost import spread
from translation_quality import read_lines

from attento.config import load_settings
from attento.run_folder import RunFolder
from attento.training.config import RecipeConfig
from attento.training.process import keep_freed_memory
from attento.translator import Translator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--run", type=Path, required=True, help="a finished run to translate with")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    keep_freed_memory()
    result: dict[str, Any] = {"provenance": provenance(), "threads": torch.get_num_threads()}
    result["translating"] = measure_translating(options.run, options.data, options.rounds)
    write_result("speed", result, table(result))


def measure_translating(run: Path, data: Path, rounds: int) -> list[dict[str, Any]]:
    """Time the translation of the run's test set, greedy and by beam, in turn."""
    config = load_settings(RecipeConfig, RunFolder(run).config)
    assert config.data.test is not None and config.data.test.source
    sources = read_lines(data / config.data.test.source)
    translator = Translator.load(run)
    rates: dict[int, list[float]] = {1: [], config.search.beam_size: []}
    for _ in range(rounds):
        for beam_size, seen in rates.items():
            search = replace(config.search, beam_size=beam_size)
            started = time.perf_counter()
            translator.translate(sources, search=search, split_sentences=False)
            seen.append(len(sources) / (time.perf_counter() - started))
    return [{"run": run.name, "beam_size": beam_size, **spread(seen)} for beam_size, seen in rates.items()]


def table(result: dict[str, Any]) -> list[str]:
    """Return the result as Markdown lines."""
    lines = [
        f"# Translating speed, {result['threads']} threads",
        "",
        "| translating, fp32 | beam | sentences/s, median | least | most |",
        "|---|---|---|---|---|",
        *(
            f"| {each['run']} | {each['beam_size']} | {each['median']:.0f} | {each['least']:.0f} | {each['most']:.0f} |"
            for each in result["translating"]
        ),
    ]
    return lines


if __name__ == "__main__":
    main()
