"""Time `attento translate` as a whole command, from nothing to its first translation; write it to `results/`.

    python benchmarks/cold_start.py --run runs/multi30k-de-en --text "Ein Hund bellt."

The native engine with the run's own model, and with a base model (6+6 layers, d 512) of random weights behind the run's
tokenizer, both in int8; the torch engine with the run. Wall time and the most memory that the process held, in turn.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from facts import provenance, write_result

from attento.interop.export.native import NativeExporter
from attento.interop.exporting import load_trained
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a trained translation run")
    parser.add_argument("--text", required=True, help="a sentence of its language")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        own, base = pack(options.run, Path(folder))
        commands = {
            "native, the run's model": [str(own), "--engine", "native"],
            "native, base": [str(base), "--engine", "native"],
            "torch, the run's model": [str(options.run), "--engine", "torch"],
        }
        result = {"provenance": provenance(), "commands": measure(commands, options.text, options.rounds)}
    write_result("cold_start", result, table(result))


def pack(run: Path, folder: Path) -> tuple[Path, Path]:
    """Write the run's model, and a base model of random weights with its tokenizer."""
    trained = load_trained(run, "translation")
    config = TransformerConfig(norm="pre")
    vocabularies = trained.tokenizers.source.vocab_size, trained.tokenizers.target.vocab_size
    base = replace(trained, config=config, model=build_translation_model(config, *vocabularies).eval())
    paths = []
    for name, model in (("own", trained), ("base", base)):
        place = folder / name
        place.mkdir()
        NativeExporter("int8").write(model, place)
        paths.append(place / "model.attento")
    return paths[0], paths[1]


def measure(commands: dict[str, list[str]], text: str, rounds: int) -> dict[str, Any]:
    """Run every command once a round, and once before that."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, arguments in commands.items():
            found[name].append(once([sys.executable, "-m", "attento", "translate", *arguments, text]))
    return {
        name: {
            "seconds": statistics.median(seconds for seconds, _ in each[1:]),
            "least_seconds": min(seconds for seconds, _ in each[1:]),
            "most_seconds": max(seconds for seconds, _ in each[1:]),
            "mebibytes": statistics.median(kibibytes for _, kibibytes in each[1:]) / 1024,
        }
        for name, each in found.items()
    }


def once(command: list[str]) -> tuple[float, float]:
    """Return a command's seconds, and the most kibibytes that it held."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return seconds, usage.ru_maxrss


def table(result: dict[str, Any]) -> list[str]:
    """Return the result as Markdown lines."""
    lines = [
        "# `attento translate`, one sentence, the whole command",
        "",
        "| engine | seconds, median [least, most] | MiB at most |",
        "|---|---|---|",
    ]
    for name, each in result["commands"].items():
        spread = f"{each['seconds']:.2f} [{each['least_seconds']:.2f}, {each['most_seconds']:.2f}]"
        lines.append(f"| {name} | {spread} | {each['mebibytes']:.0f} |")
    return lines


if __name__ == "__main__":
    main()
