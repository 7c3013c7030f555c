"""`attento train`: run a recipe, or go on with a run that was cut off."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from attento.cli.console import EXIT_INTERRUPTED, say
from attento.cli.options import DataRoot, Overrides


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
) -> None:
    """Train a model by a recipe.

    Ctrl-C saves and leaves; the same command goes on from the newest good checkpoint.
    """
    from attento.training.run import load_recipe
    from attento.training.run import train as run_training

    if not run_training(load_recipe(recipe, data, overrides or [], prepared), output, say):
        raise typer.Exit(EXIT_INTERRUPTED)
    say(f'translate with it: attento translate {shlex.quote(str(output))} "your text"')
