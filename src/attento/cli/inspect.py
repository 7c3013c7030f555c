"""`attento inspect`: a page that shows what a trained model does with one sentence."""

from pathlib import Path
from typing import Annotated

import typer

from attento.cli.console import say
from attento.cli.files import open_output
from attento.cli.options import Device, Run


def inspect(
    run: Run,
    sentence: Annotated[str, typer.Argument(help="What the model reads, after -- where it begins with a dash.")],
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            help="The translation to look at in place of the model's own; for pairs of sentences, the second.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the page here (HTML, all in one file).")
    ] = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print the data-flow diagrams as Mermaid text.")] = False,
    layer: Annotated[
        int | None, typer.Option("--layer", help="The layer that is open first, from 0; the last by default.")
    ] = None,
    head: Annotated[
        int | None, typer.Option("--head", help="The head that is open first, from 0; the first by default.")
    ] = None,
    device: Device = None,
) -> None:
    """Show what every head looks at, how data flow, and what was likely at each step, on one page.

    The page needs no network and opens from disk. Any trained model: of one without attention it shows data flow and
    candidates.
    """
    if output is None and not mermaid:
        raise typer.BadParameter("name the page with --output FILE, or print diagrams with --mermaid")
    from attento.inspection.flow import mermaid as as_mermaid
    from attento.inspection.page import build_page
    from attento.inspection.view import inspect as look

    view = look(run, sentence, target, device=device, layer=layer, head=head)
    if output is not None:
        page = build_page(view)
        with open_output(output) as file:
            file.write(page)
        say(f"written to {output} ({len(page.encode()) / 1e6:.1f} MB)")
    if mermaid:
        with open_output(None) as file:
            file.write(as_mermaid(view.diagrams))
