"""`attento bench`: how fast a model translates on this machine, on every engine that is installed."""

from pathlib import Path
from typing import Annotated

import typer

from attento.cli.console import StageProgress, say, show_table
from attento.cli.files import read_text
from attento.cli.options import Json, RunOrPacked

# Enough to fill a batch of the usual size with sentences that differ.
_SENTENCES = 256


def bench(
    run: RunOrPacked,
    text: Annotated[Path, typer.Option("--text", metavar="FILE", help="Text to translate, one sentence a line.")],
    batch: Annotated[int, typer.Option("--batch", help="Sentences at once, in a full batch.")] = 64,
    beam_size: Annotated[int, typer.Option("--beam-size", help="Hypotheses of a beam.")] = 4,
    length: Annotated[int, typer.Option("--length", help="Pieces that sources and outputs are made to have.")] = 24,
    threads: Annotated[int, typer.Option("--threads", help="Also time so many threads.")] = 1,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often each engine is timed.")] = 5,
    as_json: Json = False,
) -> None:
    """Time the native engine, torch and CTranslate2 with one model: in one run, in turn, on the same text.

    Outputs of a given length, so that all do the same work, and at last outputs that end by themselves. Torch and
    CTranslate2 are left out where they are not installed or cannot have the model.
    """
    from itertools import islice

    from attento.speed.bench import bench as measure
    from attento.speed.bench import usual_cases

    cases = usual_cases(batch, beam_size, length, threads)
    texts = list(islice((line for line in read_text(text) if line.strip()), _SENTENCES))
    with StageProgress() as progress:
        found = measure(run, texts, cases, rounds, lambda stage: progress(stage, 0, None))
    if as_json:
        print(found.to_json())
        return
    section = found.section()
    print(f"{section.title}\n")
    say(section.words)
    for grid in section.grids:
        show_table(grid.columns, grid.rows, numbers=grid.columns[2:])
