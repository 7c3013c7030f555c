"""The result of `training_speed.py` as Markdown."""

from typing import Any

HEAD = (
    "| system | precision | tokens/s, median | least | most | Attento ahead, median (least-most) | share of ceiling |",
    "|---|---|---|---|---|---|---|",
)


def table(result: dict[str, Any]) -> list[str]:
    """Return the result as Markdown lines."""
    batches, settings = result["batches"], result["settings"]
    lines = [
        f"# Training speed, {result['threads']} threads",
        "",
        f"Source and target tokens a second, without padding; {batches['tokens_each']:,.0f} tokens a step "
        f"({batches['padding']:.1%} of the places are padding), Multi30k English-German, joint vocabulary of 8,000, "
        f"dropout 0.1. All systems take turns on the same batches: {settings['rounds']} rounds of {settings['steps']} "
        "timed steps. `Attento ahead` compares its best precision with the system, round by round.",
        "Marian alone cuts the same sentences into batches of its own, of nearly as many tokens. `tuned` means that "
        "the process was given, from outside, "
        + ", ".join(f"`{name}={value}`" for name, value in settings["tuned"].items())
        + f". Before the start, other programs kept {result['busy_cores']:.1f} cores busy.",
    ]
    for name, shape in result["shapes"].items():
        lines += ["", *_shape(name, shape)]
    versions = sorted({f"{k} {v}" for s in result["shapes"].values() for r in s["systems"] for k, v in _peers(r)})
    return [*lines, "", "Versions: " + ", ".join(versions) + "."]


def _peers(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, version) for name, version in row["versions"].items() if name != "attento"]


def _shape(name: str, shape: dict[str, Any]) -> list[str]:
    sizes = shape["shape"]
    lines = [
        f"## {name}: {sizes['encoder_layers']}+{sizes['decoder_layers']} layers, d {sizes['d_model']}, "
        f"FFN {sizes['d_ff']}, {sizes['num_heads']} heads",
        "",
        *HEAD,
        *(_row(row) for row in shape["systems"]),
        *(f"| {each['name']} | - | {each['reason']} | | | | |" for each in shape["absent"]),
        "",
    ]
    ahead = shape["ahead_of_best_peer_each_round"]
    if ahead:
        lines += [
            f"Attento is ahead of the best of the others in each round by {_ratio(ahead)}; "
            f"the best by its median is {' in '.join(shape['best_peer'])}.",
            "",
        ]
    ceilings = " and ".join(
        f"{max(kinds.values()) / 1e9:,.0f} GFLOP/s in {precision} (large {kinds['large'] / 1e9:,.0f}, "
        f"model-shaped {kinds['model'] / 1e9:,.0f}): {shape['floor_tokens_per_second'][precision]:,.0f} tokens/s"
        for precision, kinds in shape["ceiling_flops"].items()
    )
    return [
        *lines,
        f"The ceiling is what torch multiplies matrices at, measured in the same rounds: {ceilings}. "
        f"A token takes {shape['flops_per_token'] / 1e6:,.1f} MFLOP.",
    ]


def _row(row: dict[str, Any]) -> str:
    rate = row["tokens_per_second"]
    return (
        f"| {row['name']} | {row['precision']} | {rate['median']:,.0f} | {rate['least']:,.0f} | {rate['most']:,.0f} | "
        f"{_ratio(row['attento_ahead'])} | {row['share_of_ceiling']:.0%} |"
    )


def _ratio(values: dict[str, Any]) -> str:
    return f"{values['median']:.2f}x ({values['least']:.2f}-{values['most']:.2f})"
