"""`attento compare`: train several systems under one budget and put them side by side in a report."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from attento.cli.console import EXIT_FAILED, EXIT_INTERRUPTED, say, say_error
from attento.cli.options import DataRoot, Overrides


def compare(
    recipe: Annotated[
        Path,
        typer.Argument(metavar="RECIPE.yaml", help="Systems, budget and measurements.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="The folder to make or to go on with.", show_default=False
        ),
    ],
    data: DataRoot = Path("data"),
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="NAME,NAME", help="Train and measure these systems alone.", show_default=False),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Train several systems under one budget and measure them side by side.

    Writes report.md, report.html and report.json. Ctrl-C saves and leaves; the same command goes on from there, and
    what is finished is not done again.
    """
    from attento.comparison.compare import compare as run_comparison
    from attento.comparison.recipe import load_comparison

    comparison = load_comparison(recipe, data, overrides or [])
    names = [each.strip() for each in (only or "").split(",") if each.strip()]
    command = shlex.join(["attento", *sys.argv[1:]])
    outcome = run_comparison(comparison, names, output, command, say)
    if outcome.report is None:
        raise typer.Exit(EXIT_INTERRUPTED)
    say(f"report: {outcome.report}")
    if outcome.failed:
        say_error(f"failed: {', '.join(outcome.failed)}; the report says why, and the same command tries again")
        raise typer.Exit(EXIT_FAILED)
