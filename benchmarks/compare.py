"""Compare the systems of a recipe (or go on with it) and keep the report in `results/`, with the learning curves drawn.

    python benchmarks/compare.py recipes/compare/multi30k-de-en.yaml --data DATA --runs runs

`attento compare` does the work; what is already trained and measured in the run folder is not done again.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from facts import RESULTS, provenance
from peers import draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--only", help="names of systems, with commas between")
    options = parser.parse_args()
    name = f"compare-{options.recipe.stem}"
    folder = options.runs / name
    command = ["compare", str(options.recipe), "--data", str(options.data), "--output", str(folder)]
    command += ["--only", options.only] if options.only else []
    done = subprocess.run([sys.executable, "-m", "attento", *command], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8")) | {"provenance": provenance()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    shutil.copyfile(folder / "report.md", RESULTS / f"{name}.md")
    draw(name, "plot_compare.py")


if __name__ == "__main__":
    main()
