"""Draw `training_speed.json` as bars, a panel for each shape: python plot_training_speed.py FROM.json TO.png."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

_COLOURS = {"fp32": "#9aa5b1", "bf16": "#2f6fb3"}


def main() -> None:
    result = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    shapes = result["shapes"]
    figure, panels = plt.subplots(1, len(shapes), figsize=(7 * len(shapes), 4.5), squeeze=False, layout="constrained")
    for panel, (name, shape) in zip(panels[0], shapes.items(), strict=True):
        # The fastest on top: bars are drawn from the bottom up.
        rows = sorted(shape["systems"], key=lambda row: row["tokens_per_second"]["median"])
        rates = [row["tokens_per_second"] for row in rows]
        medians = [rate["median"] for rate in rates]
        reach = [
            [rate["median"] - rate["least"] for rate in rates],
            [rate["most"] - rate["median"] for rate in rates],
        ]
        panel.barh(range(len(rows)), medians, xerr=reach, color=[_COLOURS[row["precision"]] for row in rows])
        panel.set_yticks(range(len(rows)), [f"{row['name']}, {row['precision']}" for row in rows])
        panel.bar_label(panel.containers[-1], [f"{median:,.0f}" for median in medians], padding=6)
        panel.margins(x=0.15)
        panel.set_title(f"{name}: tokens/s, {result['threads']} threads")
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(sys.argv[2], dpi=120)


if __name__ == "__main__":
    main()
