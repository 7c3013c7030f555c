"""Draw `growth.json`, a panel for each thing that grows: python plot_growth.py FROM.json TO.png."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

_TIME, _MEMORY = "#2f6fb3", "#c2571a"
_LABELS = {"length": "tokens a sentence", "tokens": "tokens a step", "vocabulary": "vocabulary"}


def main() -> None:
    result = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    curves = result["curves"]
    figure, panels = plt.subplots(2, 4, figsize=(17, 8), layout="constrained")
    for panel, (axis, points) in zip(panels.flat, curves.items(), strict=False):
        _draw(panel, points, axis)
        panel.set_title(_LABELS.get(axis, axis))
    for panel, key, title in (
        (panels.flat[len(curves)], "seconds", "attention alone: seconds by length"),
        (panels.flat[len(curves) + 1], "memory_mib", "attention alone: MiB by length"),
    ):
        _draw_attention(panel, result["attention"], key)
        panel.set_title(title)
    figure.suptitle("A training step: seconds (blue, left) and memory in MiB (orange, right), logarithmic")
    figure.savefig(sys.argv[2], dpi=110)


def _draw(panel: Any, points: list[dict[str, Any]], axis: str) -> None:
    values = [point[axis] for point in points]
    medians = [point["seconds"] for point in points]
    reach = [
        [point["seconds"] - point["least"] for point in points],
        [point["most"] - point["seconds"] for point in points],
    ]
    panel.errorbar(values, medians, yerr=reach, color=_TIME, marker="o")
    memory = panel.twinx()
    memory.plot(values, [point["memory_mib"] for point in points], color=_MEMORY, marker="s", linestyle="--")
    for each in (panel, memory):
        each.set_xscale("log", base=2)
        each.set_yscale("log")
    least, most = (f([point["memory_mib"] for point in points]) for f in (min, max))
    # What hardly changes shall look so.
    memory.set_ylim(min(least, most / 4) / 1.2, most * 1.2)
    panel.set_xticks(values, [f"{value:,}" for value in values], rotation=45)
    panel.minorticks_off()


def _draw_attention(panel: Any, points: list[dict[str, Any]], key: str) -> None:
    for form, marker in (("readable", "o"), ("fused", "s")):
        chosen = [point for point in points if point["form"] == form]
        panel.plot([p["length"] for p in chosen], [max(p[key], 1e-5) for p in chosen], marker=marker, label=form)
    lengths = [point["length"] for point in points if point["form"] == "readable"]
    last = next(p[key] for p in reversed(points) if p["form"] == "readable")
    square = [last * (length / lengths[-1]) ** 2 for length in lengths]
    panel.plot(lengths, square, color="grey", linestyle=":", label="square of the length")
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.legend()


if __name__ == "__main__":
    main()
