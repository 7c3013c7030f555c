"""How data flows through a live model: boxes with real shapes and numbers, as plain data and as Mermaid text.

The boxes are the model's own modules, in the order in which they worked; what a Transformer's layer does between them
is drawn as in Vaswani et al. 2017, figures 1 and 2.
"""

import html
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from attento.inspection.trace import Attention
from attento.models.layers import DecoderLayer, EncoderLayer
from attento.nn.dropout import Dropout
from attento.nn.normalization import NoNormalization
from attento.nn.positions import LearnedPositions, NoPositions, SinusoidalPositions
from attento.nn.relation import NoRelations
from attento.nn.residual import LeftOut, Residual

LOGITS = "logits"
"""The name of the call that stands for the linear map to the vocabulary, which is no module."""
NUMBERS = 4
"""How many numbers of a vector are shown."""


_NOTHING = (Dropout, LeftOut, NoNormalization, NoPositions, NoRelations, nn.ModuleList, nn.Identity)


@dataclass
class Call:
    """What a module made: the shape for one sentence, and the first numbers of each row."""

    name: str
    kind: str
    phase: str
    shape: tuple[int, ...]
    rows: list[list[float]]
    inputs: tuple[int, ...] = ()


@dataclass
class Calls:
    """All that worked, in the order in which it began; `phase` is what the model is doing now."""

    phase: str = ""
    made: list[Call] = field(default_factory=list)

    def add_logits(self, logits: Tensor) -> None:
        """Note the scores of the vocabulary for one sentence."""
        self.made.append(Call(LOGITS, "a score for each token", self.phase, tuple(logits.shape), numbers_of(logits)))

    def of(self, phase: str, name: str) -> Call | None:
        """Return what a module made in a phase, or None."""
        return next((call for call in self.made if (call.phase, call.name) == (phase, name)), None)


@contextmanager
def watch(model: nn.Module) -> Iterator[Calls]:
    """Note what each module makes of the first row of the batch, while it is open; leaves nothing behind."""
    calls, handles = Calls(), []

    def before(name: str, kind: str) -> Any:
        def note(module: nn.Module, given: tuple[Any, ...]) -> None:
            if calls.of(calls.phase, name) is None:
                first = _first_tensor(given)
                inputs = () if first is None else tuple(first.shape[1:])
                calls.made.append(Call(name, kind, calls.phase, (), [], inputs))

        return note

    def after(name: str) -> Any:
        def note(module: nn.Module, given: tuple[Any, ...], made: Any) -> None:
            call, tensor = calls.of(calls.phase, name), _first_tensor(made)
            if call is not None and tensor is not None and tensor.dim() > 1:
                # Tables of positions are the same for every row of a batch.
                _note(call, tensor if isinstance(module, SinusoidalPositions | LearnedPositions) else tensor[0])

        return note

    for name, module in model.named_modules():
        if name and not isinstance(module, _NOTHING):
            handles.append(module.register_forward_pre_hook(before(name, type(module).__name__)))
            handles.append(module.register_forward_hook(after(name)))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _first_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, tuple):
        return next((found for each in value if (found := _first_tensor(each)) is not None), None)
    return None


def _note(call: Call, made: Tensor) -> None:
    if made.dim() == 1:
        # A module that is called for each word makes one row at a time.
        call.rows += numbers_of(made[None])
        call.shape = (len(call.rows), made.size(0))
    elif made.dim() == 2:
        call.shape, call.rows = tuple(made.shape), numbers_of(made)
    else:
        call.shape = tuple(made.shape)


def numbers_of(rows: Tensor) -> list[list[float]]:
    """Return the first few numbers of each row, rounded for reading."""
    return [[round(number, 3) for number in row] for row in rows[:, :NUMBERS].float().tolist()]


@dataclass(frozen=True)
class Box:
    """A box of a diagram.

    Attributes:
        name: how arrows call it.
        label: what it does.
        shape: of what comes out of it; empty where unknown.
        column: where it stands, from the left.
        row: where it stands, from the top.
        line: the text whose tokens its rows stand for; empty where they stand for none.
        across: the text whose tokens its columns stand for, in the same way.
        numbers: the first numbers of each row.
    """

    name: str
    label: str
    shape: tuple[int, ...] = ()
    column: int = 0
    row: int = 0
    line: str = ""
    across: str = ""
    numbers: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True)
class Arrow:
    """Data that goes from one box to another; `around` is a residual connection, past what is between."""

    start: str
    end: str
    around: bool = False


@dataclass
class Diagram:
    """Boxes and arrows under a title."""

    title: str
    words: str
    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)

    def add(self, label: str, call: Call | None = None, *, column: int = 0, row: int | None = None, **more: Any) -> Box:
        """Add a box, below the lowest one where no row is given."""
        row = max((box.row for box in self.boxes), default=-1) + 1 if row is None else row
        given = {} if call is None else {"shape": call.shape, "numbers": call.rows}
        box = Box(f"b{len(self.boxes)}", label, column=column, row=row, **(given | more))
        self.boxes.append(box)
        return box

    def link(self, start: Box, end: Box, *, around: bool = False) -> None:
        """Draw an arrow."""
        self.arrows.append(Arrow(start.name, end.name, around))


def draw_model(model: nn.Module, calls: Calls, lines: dict[str, str]) -> Diagram:
    """Draw the whole model: a column for each phase of its work, the parts of a stack as one box.

    Args:
        model: the model.
        calls: what its modules made.
        lines: for each phase the text whose tokens its rows stand for.
    """
    diagram = Diagram("The whole model", "Each box is a part of the model; below it the shape of what comes out of it.")
    last: Box | None = None
    for column, phase in enumerate(lines):
        above, entered = None, False
        for name, folded in _fold(model, calls, phase):
            call = folded[-1]
            label = f"{name}\n{f'{len(folded)} x ' if len(folded) > 1 else ''}{call.kind}"
            row = 0 if above is None else above.row + 1
            box = diagram.add(label, call, column=column, row=row, line=lines[phase])
            if above is not None:
                diagram.link(above, box)
            if last is not None and not entered and name.startswith("decoder"):
                diagram.link(last, box)
                entered = True
            above = box
        last = above
    return diagram


def _fold(model: nn.Module, calls: Calls, phase: str) -> list[tuple[str, list[Call]]]:
    """Return the parts that worked in a phase, the numbered ones of a stack together."""
    top, parts = {*_parts(model), LOGITS}, dict[str, list[Call]]()
    worked = [call for call in calls.made if call.phase == phase and call.shape and call.name in top]
    # Positions are looked up before or after the tokens' vectors, and added to them.
    worked.sort(key=lambda call: 0 if call.kind == "TokenEmbedding" else 1 if call.kind.endswith("Positions") else 2)
    for call in worked:
        parts.setdefault(re.sub(r"\.\d+$", "", call.name), []).append(call)
    return [(name if len(found) == 1 else f"{name}.0-{len(found) - 1}", found) for name, found in parts.items()]


def _parts(module: nn.Module, prefix: str = "") -> Iterator[str]:
    """Yield the names of the parts that a model is told by: the layers of its stacks, and what stands beside these."""
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList):
            yield from (f"{prefix}{name}.{number}" for number in range(len(child)))
        elif any(isinstance(part, nn.ModuleList) for part in child.modules()):
            yield from _parts(child, f"{prefix}{name}.")
        else:
            yield prefix + name


def draw_layers(model: nn.Module, calls: Calls, lines: dict[str, str]) -> list[Diagram]:
    """Draw the first Transformer layer of each phase, as in Vaswani et al. 2017, figure 1."""
    diagrams = []
    for phase in lines:
        found = [call for call in calls.made if call.phase == phase and call.kind in ("EncoderLayer", "DecoderLayer")]
        if found:
            layer = model.get_submodule(found[0].name)
            if isinstance(layer, EncoderLayer | DecoderLayer):
                diagrams.append(_draw_layer(layer, found[0], calls, phase, lines))
    return diagrams


def _draw_layer(
    layer: EncoderLayer | DecoderLayer, call: Call, calls: Calls, phase: str, lines: dict[str, str]
) -> Diagram:
    side = "decoder" if isinstance(layer, DecoderLayer) else "encoder"
    diagram = Diagram(
        f"One {side} layer: {call.name}",
        "Vectors come in above and go out below; the arrow around a sublayer is the residual connection.",
    )
    line = lines[phase]
    stream = diagram.add("vectors that come in", shape=call.inputs, line=line, column=1)
    for name in ("self_attention", "cross_attention", "feed_forward"):
        residual = getattr(layer, f"{name}_residual", None)
        if not isinstance(residual, Residual):
            continue
        entering = stream
        if residual.order == "pre":
            normed = diagram.add("normalize", calls.of(phase, f"{call.name}.{name}_residual.norm"), column=1, line=line)
            diagram.link(stream, normed)
            entering = normed
        made = _draw_sublayer(diagram, entering, f"{call.name}.{name}", calls, phase, line)
        whole = calls.of(phase, f"{call.name}.{name}_residual")
        label = {"post": "add and normalize", "pre": "add"}[residual.order]
        added = diagram.add(label if residual.connected else label.removeprefix("add and "), whole, column=1, line=line)
        diagram.link(made, added)
        if residual.connected:
            diagram.link(stream, added, around=True)
        stream = added
    return diagram


def _draw_sublayer(diagram: Diagram, entering: Box, name: str, calls: Calls, phase: str, line: str) -> Box:
    """Draw an attention or a feed-forward network, and return the box of what it makes."""
    made, kind = calls.of(phase, name), name.rpartition(".")[2]
    if kind == "feed_forward":
        box = diagram.add("feed-forward network", made, column=1, line=line)
        diagram.link(entering, box)
        return box
    row = entering.row + 1
    memory = None
    if kind == "cross_attention":
        keys = calls.of("start", f"{name}.key")
        memory = diagram.add(
            "what the encoder made",
            shape=() if keys is None else keys.inputs,
            column=2,
            row=entering.row,
            line="source",
        )
    boxes = []
    for column, (part, letter) in enumerate((("query", "Q"), ("key", "K"), ("value", "V"))):
        # The source is projected before the first step.
        call = calls.of(phase, f"{name}.{part}") or calls.of("start", f"{name}.{part}")
        of = line if memory is None or part == "query" else "source"
        box = diagram.add(f"{letter}: {part}", call, column=column, row=row, line=of)
        diagram.link(entering if memory is None or part == "query" else memory, box)
        boxes.append(box)
    box = diagram.add(kind.replace("_", "-") + ", all heads", made, column=1, row=row + 1, line=line)
    for each in boxes:
        diagram.link(each, box)
    return box


def draw_attention(attention: Attention, head: int, lines: tuple[str, str]) -> Diagram | None:
    """Draw how Q, K and V become the context of one head (Vaswani et al. 2017, figure 2 and eq. 1).

    None where the attention has no queries, keys and values, or nobody asked for them.
    """
    query, key, value = attention.query, attention.key, attention.value
    scores, context = attention.scores, attention.context
    if query is None or key is None or value is None or scores is None or context is None:
        return None
    group = head * key.size(1) // query.size(1)
    parts = [query[0, head], key[0, group], value[0, group], scores[0, head], attention.weights[0, head]]
    labels = ["Q", "K", "V", "Q Kᵀ, scaled", "softmax of each row", "weights times V"]
    rows, columns = lines
    diagram = Diagram(
        f"One head: {attention.name}, head {head}",
        "Each query is multiplied with all keys; the softmax makes weights of the scores, by which the values are "
        "added up.",
    )
    places = ((0, 0), (1, 0), (2, 0), (0, 1), (0, 2), (1, 3))
    boxes = [
        diagram.add(
            label,
            shape=tuple(part.shape),
            column=column,
            row=row,
            line=line,
            across=columns if row in (1, 2) else "",
            numbers=_finite(part),
        )
        for label, part, (column, row), line in zip(
            labels, [*parts, context[0, head]], places, (rows, columns, columns, rows, rows, rows), strict=True
        )
    ]
    for start, end in ((0, 3), (1, 3), (3, 4), (4, 5), (2, 5)):
        diagram.link(boxes[start], boxes[end])
    return diagram


def _finite(part: Tensor) -> list[list[float]]:
    # JSON has no infinity; where nothing may be attended to, a score this low says the same.
    return numbers_of(part.clamp(min=-1e9))


def mermaid(diagrams: Sequence[Diagram]) -> str:
    """Return diagrams as Markdown with Mermaid flowcharts, in which code hosts draw them."""
    return "\n".join(f"## {_plain(diagram.title)}\n\n```mermaid\n{_chart(diagram)}\n```\n" for diagram in diagrams)


def _chart(diagram: Diagram) -> str:
    lines = ["flowchart TD"]
    for box in diagram.boxes:
        shape = f"<br/>{' x '.join(map(str, box.shape))}" if box.shape else ""
        lines.append(f'    {box.name}["{"<br/>".join(map(_plain, box.label.split(chr(10))))}{shape}"]')
    lines += [f"    {arrow.start} {'-.->' if arrow.around else '-->'} {arrow.end}" for arrow in diagram.arrows]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Return text of which nothing is Mermaid's or HTML's own: its entities begin with # instead of &."""
    escaped = html.escape(text.replace("#", "#35;"), quote=False)
    return escaped.replace("&", "#").replace('"', "#quot;")
