"""`attento train`: run a recipe, or go on with a run that was cut off."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attento.cli.console import EXIT_INTERRUPTED, say, show_table
from attento.cli.options import DataRoot, Overrides

if TYPE_CHECKING:
    from attento.training.profile import Profile


def train(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE.yaml", help="What to train, on what and how.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="RUN", help="The run folder to make or to go on with.", show_default=False
        ),
    ],
    data: DataRoot = Path("data"),
    prepared: Annotated[
        Path | None, typer.Option("--prepared", metavar="FOLDER", help="Train on what `attento prepare` made.")
    ] = None,
    overrides: Overrides = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Measure where the time of a step goes, and leave; nothing is written.")
    ] = False,
    profile_steps: Annotated[int, typer.Option("--profile-steps", min=1, help="Steps to measure.")] = 10,
) -> None:
    """Train a model by a recipe.

    Ctrl-C saves and leaves; the same command goes on from the newest good checkpoint.
    """
    from attento.training.run import load_recipe
    from attento.training.run import train as run_training

    loaded = load_recipe(recipe, data, overrides or [], prepared)
    if profile:
        from attento.training.profile import profile as measure

        _show(measure(loaded, output, profile_steps, say))
        return
    if not run_training(loaded, output, say):
        raise typer.Exit(EXIT_INTERRUPTED)
    run = shlex.quote(str(output))
    hints = {
        "translation": f'translate with it: attento translate {run} "your text"',
        "language_modeling": f'let it go on with a text: attento generate {run} "the beginning"',
        "classification": f"measure it: attento evaluate {run} --labelled FILE",
        "masked_language_modeling": f'make vectors of sentences with it: attento embed {run} "your text"',
        "denoising": f"measure it: attento evaluate {run} --text FILE",
    }
    say(hints[loaded.config.data.task])


def _show(found: "Profile") -> None:
    rest = found.seconds - sum(found.phases.values())
    rows = [
        [phase, f"{1000 * seconds:,.1f}", f"{seconds / found.seconds:.1%}"]
        for phase, seconds in [*found.phases.items(), ("rest", rest), ("whole step", found.seconds)]
    ]
    show_table(["part of a step", "ms", "share"], rows, numbers=["ms", "share"])
    print()
    number_format = str(found.dtype).removeprefix("torch.")
    place = f"{found.device} in {number_format}, {found.threads} threads"
    memory = "not told by this system" if found.peak_memory is None else f"{found.peak_memory / 2**30:.2f} GiB"
    facts = [
        ["measured", f"{found.steps} steps on {place}, after {found.warm_up} others"],
        ["tokens a second", f"{found.tokens / found.seconds:,.0f} (source and target, no padding)"],
        ["tokens a step", f"{found.tokens:,.0f} of at most {found.tokens_per_step:,}"],
        ["padding", f"{found.padding:.1%} of the places"],
        ["matrix products", f"{found.operations / found.seconds / 1e9:,.1f} GFLOP/s"],
        [
            "share of ceiling",
            f"{found.share_of_ceiling:.1%} of {found.ceiling / 1e9:,.1f} GFLOP/s, large products in torch",
        ],
        ["peak memory", memory],
    ]
    show_table(["over all steps", ""], facts)
    say("nothing was written; without --profile the same command trains")
