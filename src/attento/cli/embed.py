"""`attento embed`: a vector for each line of text."""

import json
from pathlib import Path
from typing import Annotated

import typer

from attento.cli.files import open_binary_output, open_output, read_text, refuse_overwriting
from attento.cli.options import Device, Run


def embed(
    run: Run,
    text: Annotated[
        list[str] | None,
        typer.Argument(help="Texts to make vectors of, after -- where one begins with a dash; stdin if none."),
    ] = None,
    input: Annotated[
        Path | None, typer.Option("--input", "-i", metavar="FILE", help="Make a vector of each line of this file.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the vectors here as a NumPy matrix (.npy), a row a line."
        ),
    ] = None,
    unit: Annotated[
        bool, typer.Option("--unit", help="Make each vector one unit long, so that a product of two is their cosine.")
    ] = False,
    device: Device = None,
) -> None:
    """Make a vector of each sentence: of text, a file, or stdin.

    One vector a line, in the order of the input, as a list in JSON; with --output, a matrix of float32.
    """
    if text and input:
        raise typer.BadParameter("give either texts or --input FILE, not both")
    refuse_overwriting(output, input)
    lines = text or list(read_text(input))
    from attento.engines.embedding import SentenceEncoder

    vectors = SentenceEncoder.load(run, device).embed(lines, unit=unit)
    if output is None:
        with open_output(None) as file:
            file.writelines(json.dumps(vector) + "\n" for vector in vectors.tolist())
        return
    import numpy as np

    with open_binary_output(output) as file:
        np.save(file, vectors, allow_pickle=False)
