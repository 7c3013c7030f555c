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
from itertools import islice
from pathlib import Path
from typing import Any

from facts import provenance, write_result
from hand_aligned import GERMAN

from attento.evaluation.report.forms import markdown
from attento.evaluation.report.section import number
from attento.inspection.probes.alignment import Agreement, agreement
from attento.inspection.probes.choose import SEED, TASKS, Asking, probe
from attento.inspection.probes.contrasts import from_examples, tokenize
from attento.inspection.probes.pronouns import PronounResult, probe_pronouns
from attento.inspection.probes.result import Result
from attento.inspection.reading import load_run, read
from attento.inspection.view import make_view
from attento.models.base import EncoderDecoder
from attento.synthetic import sentences


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
        run = options.run or Path(folder) / "run"
        results = ask(run, options.sentences, options.contrasts)
        apart = told_apart(run, options.sentences)
    if options.without_attention is not None:
        results["pronouns-without-attention"] = probe(
            options.without_attention, "pronouns", Asking(options.sentences, device="cpu")
        )
    german = dict(map(aligned_by_hand, options.german))
    result: dict[str, Any] = {"provenance": provenance(), "sentences": options.sentences} | {
        name: json.loads(each.to_json()) for name, each in results.items()
    }
    result["pronouns-apart"] = {
        which: {"contrasts": each.contrasts, "accuracy": each.accuracy, "heads": [asdict(head) for head in each.heads]}
        for which, each in apart.items()
    }
    result["german"] = {run: {part: asdict(each) for part, each in parts.items()} for run, parts in german.items()}
    write_result("inside", result, lines(results) + apart_lines(apart) + german_lines(german))


def ask(run: Path, sentences: int, contrasts: Path | None) -> dict[str, Result]:
    """Return what each task finds, by its name."""
    found = {}
    for name, task, data in [(task, task, None) for task in TASKS] + [("pronouns-file", "pronouns", contrasts)]:
        if name == task or data is not None:
            started = time.perf_counter()
            found[name] = probe(run, task, Asking(sentences, data, device="cpu"))
            print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return found


def told_apart(run: Path, count: int) -> dict[str, PronounResult]:
    """Return what is found of the sentences in which the pronoun means the subject, and of those where the object.

    The subject is an animal, which the adjective tells: one that answers "the animal" always is right in all of the
    first and in none of the second.
    """
    loaded, found = load_run(run, "cpu"), {}
    assert isinstance(loaded.model, EncoderDecoder)
    asked = list(islice((each for each in sentences(SEED) if each.anaphora and each.anaphora.is_contrastive), count))
    for which in ("subject", "object"):
        contrasts = from_examples(each for each in asked if each.anaphora and each.anaphora.refers_to == which)
        tokens = tokenize(contrasts, loaded.tokenizers)
        found[which] = probe_pronouns(loaded.name, loaded.model, tokens, "the built-in language")
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


def apart_lines(apart: dict[str, PronounResult]) -> list[str]:
    """Return what the heads that look at the source do by what the pronoun means, as Markdown lines."""
    text = [
        "## Pronouns, by what they mean",
        "",
        "Of the same sentences those in which the pronoun means the subject, an animal, and those in which the object.",
        "",
        "| the pronoun means | head off | to antecedent | to distractor | to adjective | accuracy |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for which, each in apart.items():
        text.append(f"| the {which} ({each.contrasts}) | none | - | - | - | {each.accuracy:.3f} |")
        for head in each.heads:
            if head.head.startswith("cross"):
                looks = " | ".join(number(share) for share in (head.antecedent, head.distractor, head.adjective))
                text.append(f"| the {which} | {head.head} | {looks} | {head.accuracy:.3f} |")
    return [*text, ""]


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
