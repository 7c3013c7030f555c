"""The section on Table 1 of "Attention Is All You Need" (Vaswani et al. 2017): as printed, and as measured here."""

from collections.abc import Callable, Sequence
from typing import Any

from attento.comparison.report.spread import with_spread
from attento.comparison.results import Counts, Growth, Report, SystemResult, Table
from attento.evaluation.report.section import NOTHING, Figure, Grid, Section, number

_PRINTED = Grid(
    ("layer type", "complexity per layer", "sequential operations", "maximum path length"),
    (
        ("self-attention", "O(n² d)", "O(1)", "O(1)"),
        ("recurrent", "O(n d²)", "O(n)", "O(n)"),
        ("convolutional", "O(k n d²)", "O(1)", "O(log_k n)"),
        ("self-attention (restricted)", "O(r n d)", "O(1)", "O(n/r)"),
    ),
    of_words=True,
)
_NEVER = "never"


def table_section(report: Report) -> Section | None:
    """Return the printed and the measured table; None where it was not measured."""
    systems = [(each, each.table) for each in report.systems if each.table is not None]
    if not systems:
        return None
    settings = report.recipe["measure"]["table"]
    words = (
        "First as the paper prints it, of one layer (n: length, d: width, k: kernel width, r: neighbourhood), then as "
        f"measured of whole systems at their own size. Time: forward and backward pass of {settings['rows']} sentences "
        "of n tokens (a translation system reads n and writes n), the output layer left out; median of "
        f"{settings['repeats']} runs, in brackets the lowest and the highest. Memory: what the forward pass keeps for "
        "the backward pass, counted. The exponent is the slope of the least-squares line through the logarithms: 1 is "
        "linear growth, 2 quadratic; at small n fixed costs hide it. Sequential operations: the longest chain of "
        "operations that need each other's results, under teacher forcing (writing without a target to read takes n "
        "steps in every system). Path length: the fewest operations through which a gradient flows, at the worst pair "
        f"of positions; “{_NEVER}”: some pair is not joined at all. Additions and moves of data do not count."
    )
    grids = (
        _PRINTED,
        _growth_grid("milliseconds a step", systems, lambda table: table.seconds, 1000),
        _growth_grid("MiB kept", systems, lambda table: table.memory, 2**-20),
        _counts_grid(systems),
    )
    figures = (
        _growth_figure("Time of a step", systems, lambda table: table.seconds, 1000, "milliseconds"),
        _growth_figure("Memory of a step", systems, lambda table: table.memory, 2**-20, "MiB"),
        _counts_figure("Sequential operations", [(s.name, t.sequential) for s, t in systems], "operations"),
        _counts_figure(
            "Maximum path length",
            [(f"{s.name}, {way}", counts) for s, t in systems for way, counts in t.paths.items()],
            "operations",
        ),
    )
    return Section("Table 1, printed and measured", words, grids, figures)


_Systems = Sequence[tuple[SystemResult, Table]]


def _growth_grid(what: str, systems: _Systems, part: Callable[[Table], Growth], scale: float) -> Grid:
    lengths = sorted({length for _, table in systems for length in part(table).lengths})
    rows = []
    for system, table in systems:
        growth = part(table)
        at = dict(zip(growth.lengths, growth.values, strict=True))
        cells = (with_spread(at[length], scale) if length in at else NOTHING for length in lengths)
        rows.append((system.name, *cells, f"{growth.exponent:.2f}"))
    return Grid((what, *(f"n = {length}" for length in lengths), "exponent"), tuple(rows))


def _counts_grid(systems: _Systems) -> Grid:
    lengths = sorted({length for _, table in systems for length in table.sequential.lengths})
    rows = []
    for system, table in systems:
        rows.append((f"{system.name}: sequential operations", *_counted(table.sequential, lengths)))
        rows += [(f"{system.name}: path, {way}", *_counted(counts, lengths)) for way, counts in table.paths.items()]
    return Grid(("counted", *(f"n = {length}" for length in lengths), "more for each token"), tuple(rows))


def _counted(counts: Counts, lengths: Sequence[int]) -> list[str]:
    at = dict(zip(counts.lengths, counts.values, strict=True))
    cells = [NOTHING if each not in at else _NEVER if at[each] is None else number(at[each]) for each in lengths]
    (before, last), (shorter, longer) = counts.values[-2:], counts.lengths[-2:]
    slope = NOTHING if before is None or last is None else number((last - before) / (longer - shorter))
    return [*cells, slope]


def _growth_figure(title: str, systems: _Systems, part: Callable[[Table], Growth], scale: float, unit: str) -> Figure:
    traces = tuple(
        _line(system.name, growth.lengths, [each.value * scale for each in growth.values])
        for system, table in systems
        for growth in (part(table),)
    )
    return Figure(title, traces, "n", unit, logarithmic=True)


def _counts_figure(title: str, counts: Sequence[tuple[str, Counts]], unit: str) -> Figure:
    return Figure(title, tuple(_line(name, each.lengths, each.values) for name, each in counts), "n", unit, True)


def _line(name: str, x: Sequence[object], y: Sequence[object]) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines+markers", "name": name, "x": list(x), "y": list(y)}
