"""`attento probe`: test what a trained model's attention means, instead of looking alone."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attento.cli.console import say, show_table
from attento.cli.files import open_output, refuse_overwriting
from attento.cli.options import Device, Json, Run

if TYPE_CHECKING:
    from attento.inspection.probes.result import Result


def probe(
    run: Run,
    task: Annotated[
        str, typer.Argument(metavar="TASK", help="pronouns, order, scale, cost or alignment.", show_default=False)
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FILE",
            help="For pronouns a contrastive set (JSON), for order and scale text, a sentence a line; by default "
            "sentences of the built-in language.",
            show_default=False,
        ),
    ] = None,
    sentences: Annotated[int, typer.Option("--sentences", min=1, help="Ask with so many sentences, at most.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="The same seed draws the same.")] = 1,
    device: Device = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write tables and figures here as one HTML page."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Put a question to a trained model and answer it with numbers.

    pronouns: does it know what "it" means, where does each head look, and which heads does the answer need? order: what
    is left when tokens are shuffled, and how far does each head look? scale: what does dividing by sqrt(d_k) do? cost:
    what does attention take as texts grow? alignment: how well does attention align words?
    """
    refuse_overwriting(output, data)
    from attento.inspection.probes.choose import Asking
    from attento.inspection.probes.choose import probe as ask

    # Opened first: a page that cannot be written is told before the model is asked, which may take minutes.
    with nullcontext() if output is None else open_output(output) as file:
        result = ask(run, task, Asking(sentences, data, device, seed))
        if file is not None:
            file.write(result.page())
    if output is not None:
        say(f"page: {output}")
    if as_json:
        print(result.to_json())
    else:
        _show(result)


def _show(result: "Result") -> None:
    for number, section in enumerate(result.sections()):
        if number:
            print()
        print(f"{section.title}\n")
        say(section.words)
        for grid in section.grids:
            show_table(grid.columns, grid.rows, numbers=() if grid.of_words else grid.columns[1:])
