"""Draw the figures of docs/inside.md, and put its diagrams and tables between their marks.

    python benchmarks/figures.py                                       # from results/figures.json and inside.json
    python benchmarks/figures.py --run RUN --german RUN --recurrent RUN    # looks into trained runs first

RUN: a run of the built-in language, as `attento demo` trains it. GERMAN, RECURRENT: German to English, a Transformer
and an RNN with attention. What is measured of the first stands in results/inside.json; run inside.py before.
"""

import argparse
import json
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import svg
import torch
from facts import RESULTS, provenance
from hand_aligned import GERMAN

from attento.inspection.alignment import align
from attento.inspection.flow import mermaid
from attento.inspection.reading import LoadedRun, Reading, force, load_run, read
from attento.inspection.source_attention import source_weights
from attento.inspection.tokens import Line, read_text
from attento.inspection.view import make_view
from attento.synthetic import sentences
from attento.text.special import EOS_ID

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "inside.md"
PAIR = {
    "The animal didn't cross the street because it was too tired.": (
        "L'animal n'a pas traversé la rue parce qu'il était trop fatigué."
    ),
    "The animal didn't cross the street because it was too wide.": (
        "L'animal n'a pas traversé la rue parce qu'elle était trop large."
    ),
}
ALIGNED = "Ein kleiner Junge, der einen roten Hut trägt, wirft einen Ball."
FLOW = "The animal didn't cross the street."
FARTHEST = 5
DARKEST = 0.6
"""The share of attention that is drawn darkest in the figures of all heads, where few have more."""
SEED = 20190525
READ = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("run", "german", "recurrent"):
        parser.add_argument(f"--{name}", type=Path)
    options = parser.parse_args()
    runs = (options.run, options.german, options.recurrent)
    if any(runs):
        if not all(runs):
            parser.error("give --run, --german and --recurrent, or none of them")
        print("looking into the runs", file=sys.stderr)
        seen = look(*(load_run(run, "cpu") for run in runs))
        (RESULTS / "figures.json").write_text(json.dumps(seen, ensure_ascii=False) + "\n", encoding="utf-8")
    (DOCS / "figures").mkdir(exist_ok=True)
    for name, text in figures().items():
        (DOCS / "figures" / name).write_text(text, encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def look(run: LoadedRun, german: LoadedRun, recurrent: LoadedRun) -> dict[str, Any]:
    """Return all that the figures show."""
    built_in = [(each.english, each.french) for each in islice(sentences(SEED), READ)]
    return {
        "provenance": provenance(),
        "it": list(pronouns(run)),
        "alignments": [alignment(german, "Transformer"), alignment(recurrent, "RNN with additive attention")],
        "heads": {
            "built-in": specialities(run, built_in),
            "german": specialities(german, [(source, target) for source, target, _ in GERMAN]),
        },
        "diagrams": diagrams(run),
    }


def forced(run: LoadedRun, source: str, target: str) -> Reading:
    pair = run.tokenizers
    lines = read_text(pair.source, source).before(EOS_ID), read_text(pair.target, target)
    with torch.inference_mode():
        return force(run, run.model.eval(), *lines)[0]


def pronouns(run: LoadedRun) -> Iterator[dict[str, Any]]:
    """Yield for each sentence of the pair where the heads look from "it", and from the step that translates it."""
    readings = [forced(run, *pair) for pair in PAIR.items()]
    written = [reading.lines["output"].ids for reading in readings]
    step = next(place for place, (one, other) in enumerate(zip(*written, strict=False)) if one != other)
    for reading in readings:
        source, rows = reading.lines["source"], []
        for head, why in chosen_heads():
            kind, _, place = head.rpartition(" ")
            layer, number = map(int, place.split("."))
            row = step if kind == "cross" else source.tokens.index("it")
            weights = reading.trace.find(kind, layer).weights[0, number, row]
            rows.append({"head": head, "why": why, "weights": [round(weight, 4) for weight in weights.tolist()]})
        yield {"tokens": source.tokens, "writes": reading.lines["output"].tokens[step], "rows": rows}


def chosen_heads() -> list[tuple[str, str]]:
    """Return the heads of the figure: those that the answer needs, and those that look most at what it turns on.

    A head is named once, with the first reason.
    """
    found = inside()["pronouns"]
    by = {side: [head for head in found["heads"] if head["head"].startswith(side)] for side in ("cross", "encoder")}
    carriers = [(name, "without it the answer is lost") for name in found["carriers"]["heads"]]

    def most(side: str, noun: str) -> str:
        name: str = max(by[side], key=lambda head: head[noun])["head"]
        return name

    wanted = [
        *carriers,
        (most("cross", "antecedent"), "most to the antecedent, on average"),
        (most("cross", "distractor"), "most to the other noun, on average"),
        (most("encoder", "antecedent"), "most to the antecedent, on average"),
        (most("encoder", "adjective"), "most to the adjective, on average"),
    ]
    reasons: dict[str, str] = {}
    for name, why in wanted:
        reasons.setdefault(name, why)
    return list(reasons.items())


def alignment(run: LoadedRun, name: str) -> dict[str, Any]:
    """Return how a model aligns the German sentence with its own translation, over all its layers."""
    reading = read(run, ALIGNED)
    source, output = reading.lines["source"], reading.lines["output"]
    found = align(source_weights(reading.trace, source.ids, output.ids), source, output)
    weights = np.round(found.weights, 4).tolist()
    return {"name": name, "source": found.source, "target": found.target, "weights": weights, "pairs": found.pairs}


def specialities(run: LoadedRun, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return how each head shares its attention out within its own text: by distance, and to certain tokens.

    The last two rows are what a head would have that looks at all it may look at alike.
    """
    sums: dict[str, list[np.ndarray]] = {}
    for source, target in pairs:
        reading = forced(run, source, target)
        for each in reading.trace.attentions:
            if each.rows == each.columns:
                line = reading.lines[each.rows]
                weights = each.weights[0].double().numpy()
                for head, matrix in enumerate(weights):
                    sums.setdefault(f"{each.kind} {each.layer}.{head}", []).append(shares(matrix, line))
                seen = np.ones_like(weights[0]) if each.kind == "encoder self" else np.tril(np.ones_like(weights[0]))
                alike = seen / seen.sum(axis=1, keepdims=True)
                sums.setdefault(f"{each.kind}, alike", []).append(shares(alike, line))
    order = sorted(sums, key=lambda name: (name.startswith("decoder"), name.endswith("alike")))
    return [{"head": name, "shares": np.round(np.concatenate(sums[name]).mean(axis=0), 4).tolist()} for name in order]


def shares(weights: np.ndarray, line: Line) -> np.ndarray:
    """Return for each row its attention by distance, to the first token, to punctuation and to the end of sentence."""
    places = np.arange(len(weights))
    distances = (places[None] - places[:, None]).clip(-FARTHEST, FARTHEST)
    by_distance = [(weights * (distances == d)).sum(axis=1) for d in range(-FARTHEST, FARTHEST + 1)]
    dots = [all(unicodedata.category(c).startswith("P") for c in token) for token in line.tokens]
    ends = [each == EOS_ID for each in line.ids]
    return np.stack([*by_distance, weights[:, 0], weights @ np.array(dots), weights @ np.array(ends)], axis=1)


def diagrams(run: LoadedRun) -> dict[str, str]:
    """Return the diagrams as Mermaid text by the beginning of their titles."""
    wanted = ("The whole model", "One encoder layer", "One decoder layer", "One head: encoder")
    charts = re.findall(
        r"## (.*?)\n\n(```mermaid\n.*?```)", mermaid(make_view(run, read(run, FLOW)).diagrams), re.DOTALL
    )
    return {start: next(chart for title, chart in charts if title.startswith(start)) for start in wanted}


def inside() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / "inside.json").read_text(encoding="utf-8"))
    return found


def seen() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / "figures.json").read_text(encoding="utf-8"))
    return found


def figures() -> dict[str, str]:
    """Return the files of the figures by name."""
    found = seen()
    return {
        "it.svg": draw_it(found["it"]),
        "alignment.svg": draw_alignments(found["alignments"]),
        "heads-built-in.svg": draw_heads(found["heads"]["built-in"], "the built-in language"),
        "heads-german.svg": draw_heads(found["heads"]["german"], "German to English"),
    }


def draw_it(sentences: Sequence[dict[str, Any]]) -> str:
    left, across, down = 232, 54, 30
    width, y, parts = left + across * len(sentences[0]["tokens"]) + 20, 34.0, list[str]()
    for sentence in sentences:
        parts.append(svg.words(16, y, f"The step that writes “{sentence['writes']}”", bold=True))
        y += 24
        for place, token in enumerate(sentence["tokens"]):
            bold = token in ("it", "animal", "street", "tired", "wide")
            x = left + across * (place + 0.5)
            parts.append(svg.words(x, y, token, "ink" if bold else "quiet", anchor="middle", size=12.5, bold=bold))
        y += 9
        for row in sentence["rows"]:
            who = f"{row['head']}{'' if row['head'].startswith('cross') else ', from “it”'}"
            parts += [svg.words(16, y + 12, who, size=12.5), svg.words(16, y + 25, row["why"], "quiet", size=10.5)]
            for place, weight in enumerate(row["weights"]):
                says = f"{weight:.2f}" if weight >= 0.1 else ""
                parts.append(svg.cell(left + across * place, y, across - 2, down - 2, weight, says))
            y += down
        y += 34
    parts.append(svg.scale(left, y - 14, "1: all of the head's attention"))
    return svg.picture(width, y + 4, "Where heads look when “it” is translated", parts)


def draw_alignments(found: Sequence[dict[str, Any]]) -> str:
    size, left, top, parts, x = 30, 84, 112, list[str](), 0.0
    for each in found:
        most = max(map(max, each["weights"]))
        parts.append(svg.words(x + 16, 26, each["name"], bold=True))
        for place, word in enumerate(each["source"]):
            parts.append(svg.words(x + left + size * (place + 0.5) + 4, top - 8, word, turned=True))
        for row, (word, weights) in enumerate(zip(each["target"], each["weights"], strict=True)):
            y = top + size * row
            parts.append(svg.words(x + left - 8, y + size / 2 + 4, word, anchor="end"))
            for column, weight in enumerate(weights):
                parts.append(svg.cell(x + left + size * column, y, size - 1, size - 1, weight / most))
        for column, row in each["pairs"]:
            parts.append(svg.ring(x + left + size * (column + 0.5) - 0.5, top + size * (row + 0.5) - 0.5, size * 0.28))
        bottom = top + size * len(each["target"]) + 26
        parts.append(svg.scale(x + left, bottom, f"{most:.2f}"))
        x += left + size * len(each["source"]) + 24
    height = top + size * max(len(each["target"]) for each in found) + 44
    return svg.picture(x, height, f"Attention from each word of the translation to “{ALIGNED}”", parts)


def draw_heads(heads: Sequence[dict[str, Any]], what: str) -> str:
    names = [*(f"{d:+d}" if d else "0" for d in range(-FARTHEST, FARTHEST + 1)), "first", "punct.", "</s>"]
    names[0], names[2 * FARTHEST] = f"≤{names[0]}", f"≥{names[2 * FARTHEST]}"
    left, across, down, apart = 150, 46, 22, 14
    xs = [left + across * place + (apart if place > 2 * FARTHEST else 0) for place in range(len(names))]
    parts = [svg.words(16, 26, f"Where each head looks within its own text: {what}", bold=True)]
    parts.append(svg.words(left, 48, "by distance: −1 is the token before", "quiet", size=11.5))
    parts.append(svg.words(xs[-3], 48, "to certain tokens", "quiet", size=11.5))
    parts += [
        svg.words(x + across / 2, 68, name, anchor="middle", size=11.5) for x, name in zip(xs, names, strict=True)
    ]
    y = 76.0
    for head in heads:
        alike = head["head"].endswith("alike")
        parts.append(svg.words(16, y + 15, head["head"], "quiet" if alike else "ink", size=12))
        hidden = head["head"].startswith("decoder")
        for place, (x, share) in enumerate(zip(xs, head["shares"], strict=True)):
            if hidden and (FARTHEST < place <= 2 * FARTHEST or names[place] == "</s>"):
                continue
            says = f"{share:.2f}" if share >= 0.2 else ""
            parts.append(svg.cell(x, y, across - 2, down - 2, share / DARKEST, says))
        y += down + (12 if alike else 0)
    parts.append(svg.scale(left, y + 14, f"{DARKEST} of the head's attention, and more"))
    return svg.picture(xs[-1] + across + 18, y + 32, f"Where each head looks: {what}", parts)


_MARKED = re.compile(r"<!-- (diagram|table): (.+?) -->\n.*?<!-- end -->", re.DOTALL)


def filled(text: str) -> str:
    """Return the page with its diagrams and tables as the results have them now."""

    def fill(mark: re.Match[str]) -> str:
        made = seen()["diagrams"][mark[2]] if mark[1] == "diagram" else "\n".join(TABLES[mark[2]]())
        return f"<!-- {mark[1]}: {mark[2]} -->\n{made}\n<!-- end -->"

    return _MARKED.sub(fill, text)


def hidden() -> Iterator[str]:
    yield from _header("hidden", "accuracy", "margin, nats")
    found = inside()["pronouns"]
    yield _row("nothing", f"{found['accuracy']:.1%}", f"{found['margin']:.2f}")
    for view in found["views"]:
        if view["noun"] == "antecedent":
            yield _row(f"the antecedent, {view['view']}", f"{view['accuracy']:.1%}", f"{view['margin']:.2f}")


def scaling() -> Iterator[str]:
    found = inside()["scale"]["fresh"]
    yield from _header("d_k", *(str(each["d_key"]) for each in found))
    for name, key in (("variance of q k", "variance"), ("variance, divided", "variance_divided")):
        yield _row(name, *(f"{each[key]:.3g}" for each in found))
    for name, key in (("entropy, undivided", "entropy"), ("entropy, divided", "entropy_divided")):
        yield _row(name, *(f"{each[key]:.2f}" for each in found))


def cost() -> Iterator[str]:
    found = inside()["cost"]
    yield from _header("growth with n", *(f"{name}, exponent" for name in ("time", "memory kept")))
    for form in found["forms"]:
        yield _row(form["form"], f"{form['time_exponent']:.1f}", f"{form['memory_exponent']:.1f}")


def layers() -> Iterator[str]:
    found = inside()["alignment"]
    means = {name: each for name, each in found["parts"].items() if name.endswith("mean")}
    heads = {name: each for name, each in found["parts"].items() if name not in means}
    best = min(heads, key=lambda name: heads[name]["error_rate"])
    ways = {"the mean of all heads of all layers": found["model"]} | means | {f"the best head, {best}": heads[best]}
    yield from _header("links by", "error rate", "precision", "recall")
    for name, each in (ways | {"the diagonal": found["diagonal"], "the first word": found["first"]}).items():
        yield _row(name, *(f"{each[key]:.3f}" for key in ("error_rate", "precision", "recall")))


def german() -> Iterator[str]:
    found = inside()["german"]
    columns = list(dict.fromkeys(part for each in found.values() for part in each))
    yield from _header("model", *columns)
    for name, parts in found.items():
        cells = (f"{parts[part]['error_rate']:.3f}" if part in parts else "-" for part in columns)
        yield _row(name, *cells)


TABLES = {"hidden": hidden, "scaling": scaling, "cost": cost, "layers": layers, "german": german}


def _header(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield _row(*("---" for _ in names))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
