"""Draw what a comparison found: python plot_compare.py FROM.json TO.png."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

# Okabe and Ito's colours, which colour-blind eyes can tell apart.
_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f7f7f", "#000000", "#b8a800", "#882255")


def main() -> None:
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    systems = report["systems"]
    colors = dict(zip((each["name"] for each in systems), _COLORS, strict=False))
    drawn = [_draw_curves]
    drawn += [_draw_lengths] if any(each["by_length"] for each in systems) else []
    drawn += [_draw_recall] if any(each["recall"] for each in systems) else []
    drawn += [_draw_time] if any(each["table"] for each in systems) else []
    figure, panels = plt.subplots(1, len(drawn), figsize=(6 * len(drawn), 4.6), layout="constrained", squeeze=False)
    for panel, draw in zip(panels.flat, drawn, strict=True):
        draw(panel, systems, colors)
        panel.grid(alpha=0.3)
    panels.flat[0].legend(fontsize=8)
    figure.savefig(sys.argv[2], dpi=110)


def _draw_curves(panel: Any, systems: list[dict[str, Any]], colors: dict[str, str]) -> None:
    for system in systems:
        points = system["curve"]
        if len(points) > 1:
            steps, losses = [p["step"] for p in points], [p["loss"] for p in points]
            panel.plot(steps, losses, label=system["name"], color=colors[system["name"]], marker="o", markersize=3)
    panel.set(title="validation loss", xlabel="updates", ylabel="nats a token")


def _draw_lengths(panel: Any, systems: list[dict[str, Any]], colors: dict[str, str]) -> None:
    for system in systems:
        buckets = [b for b in system["by_length"] if b["bleu"] is not None]
        labels = [f"{b['shortest']}-{b['longest']}" if b["longest"] else f"{b['shortest']}+" for b in buckets]
        panel.plot(labels, [b["bleu"] for b in buckets], color=colors[system["name"]], marker="o", markersize=3)
    panel.set(title="BLEU by length of the source", xlabel="words")


def _draw_recall(panel: Any, systems: list[dict[str, Any]], colors: dict[str, str]) -> None:
    for system in systems:
        points = system["recall"]
        right = [100 * p["accuracy"]["value"] for p in points]
        panel.plot([p["distance"] for p in points], right, color=colors[system["name"]], marker="o", markersize=3)
    panel.set_xscale("log", base=2)
    panel.set(title="recall of a key", xlabel="symbols since it was shown", ylabel="per cent right")


def _draw_time(panel: Any, systems: list[dict[str, Any]], colors: dict[str, str]) -> None:
    for system in systems:
        if system["table"]:
            growth = system["table"]["seconds"]
            seconds = [v["value"] for v in growth["values"]]
            panel.loglog(growth["lengths"], seconds, color=colors[system["name"]], marker="o", markersize=3)
    panel.set(title="forward and backward pass", xlabel="tokens a sentence", ylabel="seconds")


if __name__ == "__main__":
    main()
