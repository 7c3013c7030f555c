"""What goes on the page, as plain data: texts, attentions, diagrams, alignment and steps."""

import base64
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attento.errors import InputError
from attento.inspection.alignment import align
from attento.inspection.flow import Diagram, draw_attention, draw_layers, draw_model
from attento.inspection.reading import LoadedRun, Reading, load_run, read
from attento.inspection.source_attention import looks_at_source, source_weights
from attento.inspection.steps import BeamTree
from attento.inspection.tokens import Line, readable
from attento.inspection.trace import Attention, as_numpy
from attento.text.special import EOS_ID
from attento.text.tokenizer import Tokenizer

LEVELS = 65535
"""Weights from 0 to 1 are kept as whole numbers from 0 to this: 16 bits, an error of less than 0.00001."""


@dataclass(frozen=True)
class Group:
    """All attentions of one kind: the weights of every layer and head between the same two lines.

    Attributes:
        kind: what looks at what.
        rows: the name of the line that looks.
        columns: the name of the line that is looked at.
        names: each layer's module.
        layers: the number of each layer, counted from 0.
        weights: (layers, heads, rows, columns).
    """

    kind: str
    rows: str
    columns: str
    names: tuple[str, ...]
    layers: tuple[int, ...]
    weights: NDArray[np.float32]

    def to_json(self) -> dict[str, Any]:
        """Return plain values, the weights as 16-bit numbers in base 64."""
        whole = np.rint(self.weights.clip(0, 1) * LEVELS).astype("<u2")
        return {
            "kind": self.kind,
            "rows": self.rows,
            "columns": self.columns,
            "names": self.names,
            "layers": self.layers,
            "shape": whole.shape,
            "weights": base64.b64encode(whole.tobytes()).decode(),
        }


@dataclass(frozen=True)
class Opened:
    """What the page shows first."""

    group: int
    layer: int
    head: int


@dataclass(frozen=True)
class View:
    """All that a page shows."""

    run: LoadedRun
    reading: Reading
    groups: tuple[Group, ...]
    diagrams: tuple[Diagram, ...]
    opened: Opened

    def to_json(self) -> dict[str, Any]:
        """Return the same as values that JSON has."""
        reading = self.reading
        return {
            "run": self.run.name,
            "kind": self.run.kind.text.partition(" (")[0],
            "architecture": self.run.kind.architecture,
            "parameters": sum(weight.numel() for weight in self.run.model.parameters()),
            "texts": reading.texts,
            "said": reading.said,
            "given": reading.given,
            "notes": reading.notes,
            "lines": {name: _line_json(line) for name, line in reading.lines.items()},
            "groups": [group.to_json() for group in self.groups],
            "opened": asdict(self.opened),
            "levels": LEVELS,
            "diagrams": [asdict(diagram) for diagram in self.diagrams],
            "alignments": _alignments(reading),
            "written": reading.written,
            "steps": [asdict(step) for step in reading.steps],
            "tree": None if reading.tree is None else _tree_json(reading.tree, self.run.tokenizers.target),
        }


def inspect(
    path: Path,
    sentence: str,
    second: str | None = None,
    *,
    device: str | None = None,
    layer: int | None = None,
    head: int | None = None,
) -> View:
    """Let the model of a run folder read a sentence, and lay out what can be seen of it.

    Args:
        path: the run folder.
        sentence: what the model reads.
        second: the translation to look at in place of the model's own, or the second sentence of a pair.
        device: where to compute, as torch names it; None for the best there is.
        layer: the layer to open first, counted from 0; the last if None.
        head: the head to open first, counted from 0; the first if None.

    Raises:
        InputError: the model cannot read this, or there is no such layer or head.
        RunFolderError: the folder holds no finished model.
    """
    run = load_run(path, device)
    return make_view(run, read(run, sentence, second), layer, head)


def make_view(run: LoadedRun, reading: Reading, layer: int | None = None, head: int | None = None) -> View:
    """Lay out what was seen.

    Raises:
        InputError: there is no such layer or head; the message names what exists.
    """
    groups = _groups(reading)
    opened = _open(run, groups, layer, head)
    diagrams = [draw_model(run.model, reading.calls, reading.phases)] if reading.calls.made else []
    diagrams += draw_layers(run.model, reading.calls, reading.phases)
    for number, group in enumerate(groups):
        asked = opened.layer if number == opened.group else 0
        attention = next(each for each in reading.trace.attentions if each.name == group.names[asked])
        drawn = draw_attention(attention, opened.head if number == opened.group else 0, (group.rows, group.columns))
        diagrams += [] if drawn is None else [drawn]
    return View(run, reading, tuple(groups), tuple(diagrams), opened)


def _alignments(reading: Reading) -> list[dict[str, Any]]:
    """Return what all layers that look at the source tell of the alignment, then each alone."""
    if "output" not in reading.lines:
        return []
    looks, source, output = looks_at_source(reading.trace), reading.lines["source"], reading.lines["output"]
    layers = source_weights(reading.trace, source.ids, output.ids)
    parts = {"all layers": (f"{len(looks)} layers", layers)} if len(looks) > 1 else {}
    parts |= {f"layer {each.layer}": (each.name, [layer]) for each, layer in zip(looks, layers, strict=True)}
    found = []
    for name, (where, part) in parts.items():
        aligned, heads = align(part, source, output), sum(map(len, part))
        found.append(
            {
                "name": name,
                "source": aligned.source,
                "target": aligned.target,
                "weights": np.round(aligned.weights, 4).tolist(),
                "pairs": aligned.pairs,
                "pharaoh": aligned.pharaoh,
                "from": f"the mean of {heads} heads of {where}" if heads > 1 else where,
            }
        )
    return found


def _groups(reading: Reading) -> list[Group]:
    """Put the attentions of one kind that are between the same lines together."""
    found: dict[tuple[str, str, str, int], list[Attention]] = {}
    for attention in reading.trace.attentions:
        key = (attention.kind, *_lines_of(attention, reading), attention.heads)
        found.setdefault(key, []).append(attention)
    return [
        Group(
            kind,
            rows,
            columns,
            tuple(each.name for each in same),
            tuple(each.layer for each in same),
            np.stack([as_numpy(each.weights[0].float()) for each in same]),
        )
        for (kind, rows, columns, _), same in found.items()
    ]


def _lines_of(attention: Attention, reading: Reading) -> tuple[str, str]:
    """Return the names of the lines whose tokens the rows and columns are.

    Rows of attention to the source are steps, so they are called by what each step writes.
    """
    steps = attention.kind == "cross" and attention.rows == "target"
    return "output" if steps else attention.rows, attention.columns


def _open(run: LoadedRun, groups: list[Group], layer: int | None, head: int | None) -> Opened:
    """Choose what is shown first: attention to the source where there is one, in its last layer."""
    if not groups:
        if layer is not None or head is not None:
            raise InputError(f"{run.name}: holds {run.kind.text}, which has no attention; leave --layer and --head out")
        return Opened(0, 0, 0)
    number = next((place for place, group in enumerate(groups) if group.kind == "cross"), 0)
    layers, heads = groups[number].weights.shape[:2]
    for asked, count, name in ((layer, layers, "layer"), (head, heads, "head")):
        if asked is not None and not 0 <= asked < count:
            raise InputError(
                f"there is no {name} {asked} of `{groups[number].kind}` attention in {run.name}; there are {count}, "
                f"counted from 0: 0 to {count - 1}"
            )
    return Opened(number, layers - 1 if layer is None else layer, head or 0)


def _line_json(line: Line) -> dict[str, Any]:
    return {"tokens": line.tokens, "words": line.words, "text": line.text}


def _tree_json(tree: BeamTree, tokenizer: Tokenizer) -> dict[str, Any]:
    paths: list[tuple[int, ...]] = []
    nodes = []
    for node in tree.nodes:
        before = () if node.parent is None else paths[node.parent]
        paths.append((*before, node.token))
        text = readable(tokenizer, [token for token in before if token != EOS_ID], node.token)
        nodes.append([node.parent, text, round(node.log_probability, 4), node.finished])
    best = [
        {"text": tokenizer.decode(each.ids), "score": each.score, "logProbability": each.log_probability, "end": end}
        for each, end in zip(tree.best, tree.ends, strict=True)
    ]
    return {"nodes": nodes, "best": best}
