"""Draw the memory of `preparation.json` over time: python plot_preparation.py FROM.json TO.png."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def main() -> None:
    result = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    runs = result["preparing"][-2:]
    figure, panels = plt.subplots(
        1, len(runs), figsize=(6 * len(runs), 4), squeeze=False, sharey=True, layout="constrained"
    )
    for panel, run in zip(panels[0], runs, strict=True):
        seconds, sizes = zip(*run["memory"], strict=True)
        panel.plot(seconds, [size / 2**30 for size in sizes], color="#2f6fb3")
        panel.set_title(f"{run['lines']:,} pairs ({run['text_bytes'] / 2**30:.2f} GiB of text)")
        panel.set_xlabel("seconds")
        panel.set_ylim(bottom=0)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("GiB resident, all processes")
    figure.savefig(sys.argv[2], dpi=120)


if __name__ == "__main__":
    main()
