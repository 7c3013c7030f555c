"""The sections on quality, cost, memory over distance and learning."""

from collections.abc import Iterable, Sequence
from typing import Any

from attento.comparison.report.spread import with_spread
from attento.comparison.results import CurvePoint, LengthScore, Quantity, Report, SystemResult
from attento.evaluation.report.section import Figure, Grid, Section, number

# Heading and scale of each score.
_SCORES = {
    "bleu": ("BLEU", 1),
    "chrf": ("chrF", 1),
    "accuracy": ("accuracy, %", 100),
    "nats": ("nats", 1),
    "perplexity": ("perplexity", 1),
    "bits_per_character": ("bits a character", 1),
}
_COSTS = {
    "training_tokens_per_second": ("training, tokens/s", 1),
    "sentences_translated_per_second": ("translating, sentences/s", 1),
    "tokens_read_per_second": ("reading, tokens/s", 1),
    "examples_labelled_per_second": ("labelling, examples/s", 1),
    "peak_memory": ("memory of training, MiB", 2**-20),
    "state_per_target_token": ("state a target token, bytes", 1),
    "state_per_source_token": ("state a source token, bytes", 1),
}


def quality_section(report: Report) -> Section:
    """Return the scores of all systems on the test set."""
    shown = [name for name in _SCORES if any(name in each.quality for each in report.systems)]
    rows = tuple(
        (
            each.name,
            each.architecture,
            number(each.parameters),
            number(each.updates),
            number(each.minutes),
            *(with_spread(each.quality.get(name), _SCORES[name][1]) for name in shown),
        )
        for each in report.systems
    )
    columns = ("system", "architecture", "parameters", "updates", "minutes of steps", *(_SCORES[n][0] for n in shown))
    spreads = dict.fromkeys(q.spread for each in report.systems for q in each.quality.values() if q.spread)
    notes = dict.fromkeys(q.note for each in report.systems for q in each.quality.values() if q.note)
    words = (
        "On the test set; each system was trained once, so that no interval tells of the luck of training. "
        + (f"In brackets: {'; '.join(spreads)}. " if spreads else "")
        + (f"Computed over or by: {'; '.join(notes)}." if notes else "")
    )
    figures = tuple(_bars(report.systems, name) for name in shown[:1])
    return Section("Quality", words, (Grid(columns, rows),) if shown else (), figures)


def length_section(report: Report) -> Section | None:
    """Return BLEU by source length; None where there is none."""
    systems = [each for each in report.systems if each.by_length]
    if not systems:
        return None
    columns = ("words of the source", "sentences", *(each.name for each in systems))
    rows = tuple(
        (
            _range(bucket),
            str(bucket.sentences),
            *(number(each.by_length[place].bleu) for each in systems),
        )
        for place, bucket in enumerate(systems[0].by_length)
    )
    traces = tuple(
        _line(each.name, [_range(bucket) for bucket in each.by_length], [bucket.bleu for bucket in each.by_length])
        for each in systems
    )
    words = "Corpus BLEU of the sentences of each length: a system that forgets far words falls with it."
    figure = Figure("BLEU by source length", traces, "words of the source", "BLEU")
    return Section("BLEU by source length", words, (Grid(columns, rows),), (figure,))


def cost_section(report: Report) -> Section | None:
    """Return speeds and memory; None where nothing was measured."""
    shown = [name for name in _COSTS if any(name in each.cost for each in report.systems)]
    if not shown:
        return None
    rows = tuple(
        (each.name, number(each.parameters), *(with_spread(each.cost.get(name), _COSTS[name][1]) for name in shown))
        for each in report.systems
    )
    notes = []
    for name in shown:
        quantities = [each.cost[name] for each in report.systems if name in each.cost]
        told = dict.fromkeys("; ".join(filter(None, (each.spread, each.note))) for each in quantities)
        notes += [f"{_COSTS[name][0]}: {each}" for each in told if each]
    words = "Medians, in brackets their spread. " + ". ".join(notes) + ("." if notes else "")
    return Section("Cost", words, (Grid(("system", "parameters", *(_COSTS[n][0] for n in shown)), rows),))


def recall_section(report: Report) -> Section | None:
    """Return the accuracy of recall by distance; None where it was not measured."""
    systems = [each for each in report.systems if each.recall]
    if not systems:
        return None
    settings = report.recipe["measure"]["recall"]
    columns = ("distance", *(each.name for each in systems))
    rows = tuple(
        (str(point.distance), *(with_spread(each.recall[place].accuracy, 100) for each in systems))
        for place, point in enumerate(systems[0].recall)
    )
    chance = 1 / settings["keys"]
    words = (
        f"A key is shown, other symbols follow, the key is asked for: per cent of right answers by the distance "
        f"between the two. Small models of each kind, {settings['updates']} updates of "
        f"{settings['batch_size']} examples, {settings['test_examples']} fresh test examples a distance; guessing "
        f"gives {chance:.1%}. In brackets: {systems[0].recall[0].accuracy.spread}."
    )
    traces = tuple(
        _line(each.name, [p.distance for p in each.recall], [p.accuracy.value for p in each.recall]) for each in systems
    )
    figure = Figure("Recall by distance", traces, "symbols between key and question", "share of right answers")
    return Section("Long-range memory", words, (Grid(columns, rows),), (figure,))


def curve_section(report: Report) -> Section | None:
    """Return the learning curves; None where no run validated."""
    systems = [each for each in report.systems if each.curve]
    if not systems:
        return None
    columns = ("system", "best validation loss, nats", "at update", "at minute", "last validation loss, nats")
    rows = tuple(_curve_row(each) for each in systems)
    by_updates = tuple(_line(s.name, [p.step for p in s.curve], [p.loss for p in s.curve]) for s in systems)
    by_minutes = tuple(
        _line(s.name, [p.minutes for p in s.curve], [p.loss for p in s.curve])
        for s in systems
        if all(p.minutes is not None for p in s.curve)
    )
    words = "Validation loss while training. Minutes are those of training steps, without validation and saving."
    figures = [Figure("Validation loss by updates", by_updates, "updates", "nats")]
    if by_minutes:
        figures.append(Figure("Validation loss by minutes", by_minutes, "minutes of steps", "nats"))
    return Section("Learning curves", words, (Grid(columns, rows),), tuple(figures))


def missing_section(report: Report) -> Section | None:
    """Return what failed or was not measured; None where nothing did."""
    rows = [(name, "training", why) for name, why in report.failed.items()]
    rows += [(each.name, what, why) for each in report.systems for what, why in each.missing.items()]
    return Section("Not there", "", (Grid(("system", "what", "why"), tuple(rows), of_words=True),)) if rows else None


def _curve_row(system: SystemResult) -> tuple[str, ...]:
    best: CurvePoint = min(system.curve, key=lambda point: point.loss)
    return system.name, number(best.loss), number(best.step), number(best.minutes), number(system.curve[-1].loss)


def _bars(systems: Sequence[SystemResult], name: str) -> Figure:
    label, scale = _SCORES[name]
    scored = [(each.name, each.quality[name]) for each in systems if name in each.quality]
    bars: dict[str, Any] = {
        "type": "bar",
        "x": [name for name, _ in scored],
        "y": [quantity.value * scale for _, quantity in scored],
        "showlegend": False,
    }
    if all(quantity.low is not None and quantity.high is not None for _, quantity in scored):
        bars["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [_distance(quantity.high, quantity) * scale for _, quantity in scored],
            "arrayminus": [_distance(quantity.low, quantity) * scale for _, quantity in scored],
        }
    return Figure(f"{label} on the test set", (bars,), "", label)


def _distance(end: float | None, quantity: Quantity) -> float:
    return 0.0 if end is None else abs(end - quantity.value)


def _line(name: str, x: Iterable[object], y: Iterable[object]) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines+markers", "name": name, "x": list(x), "y": list(y)}


def _range(bucket: LengthScore) -> str:
    return f"{bucket.shortest} or more" if bucket.longest is None else f"{bucket.shortest} to {bucket.longest}"
