"""Run `attento demo` from nothing, time it as a user would, and write what it scored to `results/`.

python benchmarks/demo.py
"""

import re
import subprocess
import sys
import tempfile
import time
from typing import Any

from facts import provenance, write_result

from attento.cli.demo import SEED


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "attento", "demo", "--output", folder], capture_output=True, text=True, check=True
        )
        seconds = time.perf_counter() - started
    scores = {
        name: float(value)
        for name, value in re.findall(
            r"^(BLEU|pronoun agreement|exactly the reference) +([\d.]+)%?$", done.stdout, re.M
        )
    }
    shown = re.findall(r"^(.+)\n  -> (.+)  \((right|should be: .+)\)$", done.stdout, re.M)
    result: dict[str, Any] = {
        "provenance": provenance(),
        "seed": SEED,
        "seconds": seconds,
        "scores": scores,
        "shown": [{"english": english, "french": french, "verdict": verdict} for english, french, verdict in shown],
    }
    assert len(scores) == 3 and len(shown) == 2, done.stdout
    write_result("demo", result, table(result))


def table(result: dict[str, Any]) -> list[str]:
    """Return the result as Markdown lines."""
    return [
        "# attento demo",
        "",
        "| on unseen sentences | |",
        "|---|---|",
        *(f"| {name} | {value:.1f} |" for name, value in result["scores"].items()),
        f"| seconds, all in all | {result['seconds']:.0f} |",
        "",
        *(f"- {each['english']} -> {each['french']} ({each['verdict']})" for each in result["shown"]),
    ]


if __name__ == "__main__":
    main()
