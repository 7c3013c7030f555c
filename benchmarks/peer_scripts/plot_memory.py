"""Draw `memory.json` as bars, a panel for each shape and vocabulary: python plot_memory.py FROM.json TO.png."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

_COLOURS = {False: "#9aa5b1", True: "#2f6fb3"}


def main() -> None:
    result = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    groups: dict[tuple[str, int], list[dict]] = {}
    for row in result["rows"]:
        groups.setdefault((row["shape"], row["vocabulary"]), []).append(row)
    figure, panels = plt.subplots(1, len(groups), figsize=(4.5 * len(groups), 3), squeeze=False, layout="constrained")
    for panel, ((shape, vocabulary), rows) in zip(panels[0], groups.items(), strict=True):
        # The first on top: bars are drawn from the bottom up.
        rows = rows[::-1]
        names = [f"{row['loss']}{', recomputing' if row['checkpointing'] else ''}" for row in rows]
        sizes = [row["tokens_per_gib"] for row in rows]
        panel.barh(range(len(rows)), sizes, color=[_COLOURS[row["checkpointing"]] for row in rows])
        panel.set_yticks(range(len(rows)), names if panel is panels[0][0] else [""] * len(rows))
        panel.bar_label(panel.containers[-1], [f"{size:,.0f}" for size in sizes], padding=4)
        panel.margins(x=0.25)
        panel.set_title(f"{shape}, {vocabulary:,}: tokens/GiB")
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(sys.argv[2], dpi=120)


if __name__ == "__main__":
    main()
