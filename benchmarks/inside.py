"""Put every task of `attento probe` to a model of the built-in language, and write the answers to `results/`.

    python benchmarks/inside.py                      # trains what `attento demo` trains, then asks: 10 minutes
    python benchmarks/inside.py --run runs/demo/run  # asks a run that is there
    python benchmarks/inside.py --run RUN --contrasts anaphora.json   # an English-French contrastive set, too

What each task measures stands in docs/inside.md.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from facts import provenance, write_result

from attento.evaluation.report.forms import markdown
from attento.inspection.probes.choose import TASKS, Asking, probe
from attento.inspection.probes.result import Result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run folder of the built-in language; trained anew if left out")
    parser.add_argument("--contrasts", type=Path, help="a contrastive set of pronouns, English to French")
    parser.add_argument("--sentences", type=int, default=200, help="how many are asked")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.run is None:
            subprocess.run([sys.executable, "-m", "attento", "demo", "--output", folder], check=True)
        results = ask(options.run or Path(folder) / "run", options.sentences, options.contrasts)
    result: dict[str, Any] = {"provenance": provenance(), "sentences": options.sentences} | {
        name: json.loads(each.to_json()) for name, each in results.items()
    }
    write_result("inside", result, lines(results))


def ask(run: Path, sentences: int, contrasts: Path | None) -> dict[str, Result]:
    """Return what each task finds, by its name."""
    found = {}
    for name, task, data in [(task, task, None) for task in TASKS] + [("pronouns-file", "pronouns", contrasts)]:
        if name == task or data is not None:
            started = time.perf_counter()
            found[name] = probe(run, task, Asking(sentences, data, device="cpu"))
            print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return found


def lines(results: dict[str, Result]) -> list[str]:
    """Return the findings as Markdown lines."""
    text = ["# What attention does, asked of a model of the built-in language", ""]
    for name, each in results.items():
        inner = markdown(f"attento probe {name.partition('-')[0]}", each.sections())
        text += ["#" + line if line.startswith("#") else line for line in inner.splitlines()] + [""]
    return text


if __name__ == "__main__":
    main()
