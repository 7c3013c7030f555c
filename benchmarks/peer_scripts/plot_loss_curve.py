"""Draw `loss_curve.json`: python plot_loss_curve.py FROM.json TO.png."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

_COLOURS = {"plain fp32": "#777777", "Attento fp32": "#c2571a", "Attento bf16": "#2f6fb3"}


def main() -> None:
    result = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    points = range(result["every"], result["steps"] + 1, result["every"])
    means = {
        step: sum(run["curve"][index] for run in plain) / len(plain)
        for plain in [[run for run in result["runs"] if run["kind"].startswith("plain")]]
        for index, step in enumerate(points)
    }
    figure, (whole, apart) = plt.subplots(1, 2, figsize=(13, 4.8), layout="constrained")
    named = set()
    for run in result["runs"]:
        label = None if run["kind"] in named else run["kind"]
        named.add(run["kind"])
        whole.plot(points, run["curve"], color=_COLOURS[run["kind"]], linewidth=1, label=label)
        differences = [loss - means[step] for step, loss in zip(points, run["curve"], strict=True)]
        apart.plot(points, differences, color=_COLOURS[run["kind"]], linewidth=1, label=label)
    whole.set_title("training loss (nats a token, label-smoothed), each seed")
    apart.set_title("the same, less the mean of the plain loop")
    for panel in (whole, apart):
        panel.set_xlabel("step")
        panel.legend()
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(sys.argv[2], dpi=120)


if __name__ == "__main__":
    main()
