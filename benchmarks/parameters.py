"""Count where the parameters of the presets sit. Writes to `results/`.

    python benchmarks/parameters.py

No weight is made: the shapes are counted.
"""

import json
import subprocess
import sys
from typing import Any

from facts import provenance, write_result

NAMES = ("transformer_base", "transformer_big", "bert_base", "gpt2", "t5_small", "bart_base", "llama_7b")
ROLES = ("token vectors and output", "attention", "feed-forward")


def main() -> None:
    lines = [
        "# Where the parameters sit",
        "",
        "Shares of all parameters; in the last column, of those within the layers.",
        "",
        "| preset | parameters | " + " | ".join(ROLES) + " | feed-forward of the layers |",
        "|---|---|" + "---|" * (len(ROLES) + 1),
    ]
    presets = []
    for name in NAMES:
        described = describe(name)
        roles, total = described["roles"], described["parameters"]
        layers = total - roles["token vectors and output"] - roles.get("positions", 0) - roles.get("other", 0)
        presets.append({"name": name, "parameters": total, "roles": roles, "of_layers": layers})
        shares = [f"{roles[role] / total:.1%}" for role in ROLES]
        lines.append(f"| {name} | {total:,} | {' | '.join(shares)} | {roles['feed-forward'] / layers:.1%} |")
    write_result("parameters", {"provenance": provenance(), "presets": presets}, lines)


def describe(name: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "attento", "info", name, "--json"], check=True, capture_output=True)
    described: dict[str, Any] = json.loads(done.stdout)
    return described


if __name__ == "__main__":
    main()
