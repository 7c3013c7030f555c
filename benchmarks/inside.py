"""Put every task of `attento probe` to a model of the built-in language, and write the answers to `results/`.

    python benchmarks/inside.py                      # trains what `attento demo` trains, then asks: 4 minutes
    python benchmarks/inside.py --run runs/demo/run  # asks a run that is there
    python benchmarks/inside.py --run RUN --contrasts anaphora.json   # an English-French contrastive set, too
    python benchmarks/inside.py --run RUN --without-attention RUN     # a model of the same language without it, too
    python benchmarks/inside.py --run RUN --german RUN RUN            # and how well German-English runs align

The model without attention reads the text of `attento demo`, in as many updates:

    attento train runs/demo/text/recipe.yaml --data runs/demo/text --output runs/gru \\
      --set "model={architecture: rnn_encoder_decoder, cell: gru, d_model: 192, dropout: 0.0}"

German-English runs are made by recipes/multi30k-de-en.yaml and recipes/compare/multi30k-de-en.yaml. The German
sentences are those of hand_aligned.py. What each task measures stands in docs/inside.md.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from facts import provenance, write_result
from hand_aligned import GERMAN

from attento.evaluation.report.forms import markdown
from attento.inspection.probes.alignment import Agreement, agreement
from attento.inspection.probes.choose import TASKS, Asking, probe
from attento.inspection.probes.result import Result
from attento.inspection.reading import load_run, read
from attento.inspection.view import make_view


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run folder of the built-in language; trained anew if left out")
    parser.add_argument("--contrasts", type=Path, help="a contrastive set of pronouns, English to French")
    parser.add_argument("--without-attention", type=Path, help="a run of the built-in language without attention")
    parser.add_argument("--german", type=Path, nargs="*", default=[], help="runs from German to English")
    parser.add_argument("--sentences", type=int, default=200, help="how many are asked")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.run is None:
            subprocess.run([sys.executable, "-m", "attento", "demo", "--output", folder], check=True)
        results = ask(options.run or Path(folder) / "run", options.sentences, options.contrasts)
    if options.without_attention is not None:
        results["pronouns-without-attention"] = probe(
            options.without_attention, "pronouns", Asking(options.sentences, device="cpu")
        )
    german = dict(map(aligned_by_hand, options.german))
    result: dict[str, Any] = {"provenance": provenance(), "sentences": options.sentences} | {
        name: json.loads(each.to_json()) for name, each in results.items()
    }
    result["german"] = {run: {part: asdict(each) for part, each in parts.items()} for run, parts in german.items()}
    write_result("inside", result, lines(results) + german_lines(german))


def ask(run: Path, sentences: int, contrasts: Path | None) -> dict[str, Result]:
    """Return what each task finds, by its name."""
    found = {}
    for name, task, data in [(task, task, None) for task in TASKS] + [("pronouns-file", "pronouns", contrasts)]:
        if name == task or data is not None:
            started = time.perf_counter()
            found[name] = probe(run, task, Asking(sentences, data, device="cpu"))
            print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return found


def aligned_by_hand(run: Path) -> tuple[str, dict[str, Agreement]]:
    """Return the name of a run and how its layers agree with links made by hand, as the page's alignments show them."""
    loaded, found = load_run(run, "cpu"), dict[str, list[Any]]()
    for source, target, _ in GERMAN:
        for each in make_view(loaded, read(loaded, source, target)).to_json()["alignments"]:
            found.setdefault(each["name"], []).append(each["pairs"])
    known = [[tuple(map(int, link.split("-"))) for link in links.split()] for _, _, links in GERMAN]
    layers = len(found) - (len(found) > 1)
    name = f"{loaded.name}: {loaded.kind.architecture}, {layers} layer{'s' if layers > 1 else ''}"
    return name, {part: agreement(links, known) for part, links in found.items()}


def german_lines(german: dict[str, dict[str, Agreement]]) -> list[str]:
    """Return the error rates as Markdown lines."""
    if not german:
        return []
    text = [
        "## German sentences, linked by hand",
        "",
        f"{len(GERMAN)} sentences with given translations; `attento translate --alignment` takes all layers.",
        "",
        "| model | attention of | error rate | precision | recall |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for run, parts in german.items():
        for part, each in parts.items():
            text.append(f"| {run} | {part} | {each.error_rate:.3f} | {each.precision:.3f} | {each.recall:.3f} |")
    return text


def lines(results: dict[str, Result]) -> list[str]:
    """Return the findings as Markdown lines."""
    text = ["# What attention does, asked of a model of the built-in language", ""]
    for name, each in results.items():
        # pronouns-without-attention: pronouns, without attention
        title = f"attento probe {name.replace('-', ', ', 1).replace('-', ' ')}"
        inner = markdown(title, each.sections())
        text += ["#" + line if line.startswith("#") else line for line in inner.splitlines()] + [""]
    return text


if __name__ == "__main__":
    main()
