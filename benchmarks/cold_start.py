"""Time `attento translate` as a whole command, from nothing to its first translation; write it to `results/`.

    python benchmarks/cold_start.py --run runs/multi30k-de-en --text "Ein Hund bellt."

The native engine with the run's own model, and with a base model (6+6 layers, d 512) of random weights behind the run's
tokenizer, made to write five pieces, both in int8; the torch engine with the run. Wall time and the most memory that
the process held, in turn; and how much of the memory is the packed model, mapped from the disk, which processes share.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from facts import provenance, write_result

from attento.cli.translate import CHUNK_LINES
from attento.interop.export.native import NativeExporter
from attento.interop.exporting import load_trained
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig
from attento.text.special import EOS_ID


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
            "native, base": [str(base), "--engine", "native", "--min-length", "5"],
            "torch, the run's model": [str(options.run), "--engine", "torch"],
        }
        result = {"provenance": provenance(), "commands": measure(commands, options.text, options.rounds)}
    write_result("cold_start", result, table(result))


def pack(run: Path, folder: Path) -> tuple[Path, Path]:
    """Write the run's model, and a base model of random weights with its tokenizer."""
    trained = load_trained(run, "translation")
    config = TransformerConfig(norm="pre", output_bias=True)
    vocabularies = trained.tokenizers.source.vocab_size, trained.tokenizers.target.vocab_size
    model = build_translation_model(config, *vocabularies).eval()
    with torch.no_grad():
        # It ends as soon as it may.
        model.output_bias[EOS_ID] = 1e4
    base = replace(trained, config=config, model=model)
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
            found[name].append(once([*command(arguments), text]))
    return {
        name: {
            "seconds": statistics.median(seconds for seconds, _ in each[1:]),
            "least_seconds": min(seconds for seconds, _ in each[1:]),
            "most_seconds": max(seconds for seconds, _ in each[1:]),
            "mebibytes": statistics.median(kibibytes for _, kibibytes in each[1:]) / 1024,
            "mapped_mebibytes": mapped(command(commands[name]), text) / 1024,
        }
        for name, each in found.items()
    }


def command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "attento", "translate", *arguments]


def mapped(command: list[str], text: str) -> float:
    """Return how many kibibytes of the packed model are in a command's memory, once it has translated a text.

    It is looked at while it waits for a line beyond those that it reads at once.
    """
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(text.encode() + b"\n" * CHUNK_LINES)
        process.stdin.flush()
        for _ in range(CHUNK_LINES):
            process.stdout.readline()
        total, inside = 0.0, False
        for line in Path(f"/proc/{process.pid}/smaps").read_text().splitlines():
            name, value, *_ = line.split()
            if not name.endswith(":"):
                inside = line.endswith(".attento")
            elif inside and name == "Rss:":
                total += float(value)
    return total


# A process begins with the memory of the one that started it, as far as its record goes: so a small one starts it.
_STARTER = """
import os, sys, time
started = time.perf_counter()
silent = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=silent)
_, status, usage = os.wait4(child, 0)
print(status, time.perf_counter() - started, usage.ru_maxrss)
"""


def once(command: list[str]) -> tuple[float, float]:
    """Return a command's seconds, and the most kibibytes that it held."""
    done = subprocess.run([sys.executable, "-S", "-c", _STARTER, *command], capture_output=True, text=True, check=True)
    status, seconds, kibibytes = done.stdout.split()
    if status != "0":
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr}")
    return float(seconds), float(kibibytes)


def table(result: dict[str, Any]) -> list[str]:
    """Return the result as Markdown lines."""
    lines = [
        "# `attento translate`, one sentence, the whole command",
        "",
        "| engine | seconds, median [least, most] | MiB at most | of them the mapped model | the rest |",
        "|---|---|---|---|---|",
    ]
    for name, each in result["commands"].items():
        spread = f"{each['seconds']:.2f} [{each['least_seconds']:.2f}, {each['most_seconds']:.2f}]"
        most, shared = each["mebibytes"], each["mapped_mebibytes"]
        lines.append(f"| {name} | {spread} | {most:.0f} | {shared:.0f} | {most - shared:.0f} |")
    return lines


if __name__ == "__main__":
    main()
