"""Put the tables of the results into docs/story.md, docs/heirs.md and docs/native.md, each between its two marks.

    python benchmarks/story.py

Reads `results/*.json` alone: every number of those tables stands in a report that anyone can make again.
"""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGES = tuple(Path(__file__).parents[1] / "docs" / name for name in ("story.md", "heirs.md", "native.md"))
_MARKED = re.compile(r"<!-- table: (\S+) -->\n.*?<!-- end -->", re.DOTALL)


def main() -> None:
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


def filled(text: str) -> str:
    """Return the page with its tables as the results have them now."""

    def table(mark: re.Match[str]) -> str:
        return "\n".join([f"<!-- table: {mark[1]} -->", *TABLES[mark[1]](), "<!-- end -->"])

    return _MARKED.sub(table, text)


def language() -> Iterator[str]:
    yield from _header("system", "parameters", "nats a character", "bits a character", "training, characters/s")
    for system in _systems("tinyshakespeare"):
        parameters = "counts" if not system["parameters"] else _millions(system)
        speed = system["cost"].get("training_tokens_per_second")
        yield _row(
            system["name"],
            parameters,
            f"{_value(system, 'nats'):.3f}",
            f"{_value(system, 'bits_per_character'):.3f}",
            "-" if speed is None else f"{speed['value']:,.0f}",
        )


def translation() -> Iterator[str]:
    yield from _header("system", "parameters", "BLEU", "95% interval", "chrF", "perplexity", "training tokens/s")
    for system in _systems("multi30k-de-en"):
        bleu = system["quality"]["bleu"]
        yield _row(
            system["name"],
            _millions(system),
            f"{bleu['value']:.2f}",
            f"{bleu['low']:.2f} to {bleu['high']:.2f}",
            f"{_value(system, 'chrf'):.2f}",
            f"{_value(system, 'perplexity'):.2f}",
            f"{system['cost']['training_tokens_per_second']['value']:,.0f}",
        )


def lengths() -> Iterator[str]:
    systems = _systems("multi30k-de-en")
    buckets = systems[0]["by_length"]
    names = [f"{b['shortest']} to {b['longest']}" if b["longest"] else f"{b['shortest']} and more" for b in buckets]
    yield from _header("system", *(f"{name} words ({b['sentences']})" for name, b in zip(names, buckets, strict=True)))
    for system in systems:
        yield _row(system["name"], *("-" if b["bleu"] is None else f"{b['bleu']:.1f}" for b in system["by_length"]))


def recall() -> Iterator[str]:
    systems = [each for each in _systems("tinyshakespeare") if each["recall"]]
    yield from _header("system", *(f"distance {point['distance']}" for point in systems[0]["recall"]))
    for system in systems:
        yield _row(system["name"], *(f"{point['accuracy']['value']:.0%}" for point in system["recall"]))


def operations() -> Iterator[str]:
    systems = [each for each in _systems("multi30k-de-en") if each["table"]]
    lengths = systems[0]["table"]["sequential"]["lengths"]
    at = "/".join(map(str, lengths))
    ways = list(systems[0]["table"]["paths"])
    yield from _header("system", f"sequential operations at n = {at}", *(f"longest path, {way}" for way in ways))
    for system in systems:
        table = system["table"]
        counts = [table["sequential"], *(table["paths"][way] for way in ways)]
        yield _row(system["name"], *("/".join(map(_count, each["values"])) for each in counts))


def growth() -> Iterator[str]:
    systems = [each for each in _systems("multi30k-de-en") if each["table"]]
    lengths = systems[0]["table"]["seconds"]["lengths"]
    yield from _header("system", *(f"ms, n = {n}" for n in lengths), "exponent of time", "exponent of memory")
    for system in systems:
        seconds, memory = system["table"]["seconds"], system["table"]["memory"]
        times = dict(zip(seconds["lengths"], seconds["values"], strict=True))
        shown = [f"{1000 * times[n]['value']:,.0f}" if n in times else "-" for n in lengths]
        yield _row(system["name"], *shown, f"{seconds['exponent']:.2f}", f"{memory['exponent']:.2f}")


def ablations() -> Iterator[str]:
    systems = _systems("ablations")
    whole = _value(systems[0], "nats")
    yield from _header("system", "parameters", "BLEU", "nats a token", "against the whole")
    for system in systems:
        nats = _value(system, "nats")
        bleu = f"{_value(system, 'bleu'):.2f}"
        yield _row(system["name"], _millions(system), bleu, f"{nats:.3f}", f"{nats - whole:+.3f}")


def sentences() -> Iterator[str]:
    yield from _header("task", "system", "parameters", "accuracy", "95% interval")
    for task in ("trec", "sst2", "sick"):
        for system in _systems(task):
            accuracy = system["quality"]["accuracy"]
            interval = f"{accuracy['low']:.1%} to {accuracy['high']:.1%}"
            yield _row(task, system["name"], _millions(system), f"{accuracy['value']:.1%}", interval)


def modern() -> Iterator[str]:
    ratios = {each["name"]: each["ratio"]["median"] for each in _result("speed-modern")["systems"]}
    yield from _header(
        "system", "parameters", "BLEU", "95% interval", "nats", "training, ratio", "sentences/s", "state, bytes a token"
    )
    for system in _systems("modern"):
        bleu, cost = system["quality"]["bleu"], system["cost"]
        state = [cost[f"state_per_{side}_token"]["value"] for side in ("source", "target")]
        yield _row(
            system["name"],
            _millions(system),
            f"{bleu['value']:.2f}",
            f"{bleu['low']:.2f} to {bleu['high']:.2f}",
            f"{_value(system, 'nats'):.3f}",
            f"{ratios[system['name']]:.2f}",
            f"{cost['sentences_translated_per_second']['value']:.1f}",
            f"{state[0]:,.0f} + {state[1]:,.0f}",
        )


def shakespeare() -> Iterator[str]:
    shapes: dict[str, list[dict[str, Any]]] = {}
    for system in _systems("shakespeare-heirs"):
        shapes.setdefault(system["name"].partition("_")[0], []).append(system)
    seeds = max(map(len, shapes.values()))
    yield from _header("shape", "parameters", *(f"seed {seed}" for seed in range(1, seeds + 1)), "mean")
    for name, systems in shapes.items():
        nats = [_value(system, "nats") for system in systems]
        yield _row(name, _millions(systems[0]), *(f"{each:.3f}" for each in nats), f"{sum(nats) / len(nats):.3f}")


def cache() -> Iterator[str]:
    yield from _lines("cache", "| keys and values | key heads")


def parameters() -> Iterator[str]:
    yield from _lines("parameters", "| preset")


def minilm() -> Iterator[str]:
    yield from _lines("minilm", "| cosine")


def native_quality() -> Iterator[str]:
    """Yield the rows of the recipes that stand alone; those of the comparisons are many."""
    yield from (line for line in _lines("native_quality", "| run") if not line.startswith("| compare-"))


TABLES = {
    "native-quality": native_quality,
    "native-quality-text": lambda: _lines("native_quality", "| language model"),
    "native-tiny": lambda: _lines("native_speed", "| tiny |"),
    "native-base": lambda: _lines("native_speed", "| base |"),
    "native-avx512": lambda: _lines("native_speed", "| both held to avx512"),
    "native-avx2": lambda: _lines("native_speed", "| both held to avx2"),
    "native-threads": lambda: _lines("native_speed", "| two threads"),
    "native-trained": lambda: _lines("native_speed", "| trained"),
    "cold-start": lambda: _lines("cold_start", "| engine"),
    "native-start": lambda: _lines("native_speed", "| a fresh process, base"),
    "shortlist": lambda: _lines("shortlist", "| model"),
    "modern": modern,
    "shakespeare": shakespeare,
    "cache": cache,
    "parameters": parameters,
    "minilm": minilm,
    "language": language,
    "translation": translation,
    "lengths": lengths,
    "recall": recall,
    "operations": operations,
    "growth": growth,
    "ablations": ablations,
    "sentences": sentences,
}


def _systems(name: str) -> list[dict[str, Any]]:
    systems: list[dict[str, Any]] = _result(f"compare-{name}")["systems"]
    return systems


def _result(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return result


def _lines(name: str, start: str) -> Iterator[str]:
    """Yield the table of a result that begins with certain words."""
    lines = (RESULTS / f"{name}.md").read_text(encoding="utf-8").splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith(start))
    yield from itertools.takewhile(lambda line: line.startswith("|"), lines[first:])


def _value(system: dict[str, Any], name: str) -> float:
    value: float = system["quality"][name]["value"]
    return value


def _millions(system: dict[str, Any]) -> str:
    return f"{system['parameters'] / 1e6:.2f}M"


def _count(value: int | None) -> str:
    return "never" if value is None else str(value)


def _header(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield _row(*("---" for _ in names))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
