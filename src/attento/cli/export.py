"""`attento export`: write a run in another format, and check that it is the same model there."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from attento.cli.console import StageProgress, say, show_json
from attento.cli.files import read_text
from attento.cli.options import Json, Run
from attento.run_folder import RunFolder


def export(
    run: Run,
    format_name: Annotated[
        Literal["huggingface", "ctranslate2", "onnx", "native"],
        typer.Option(
            "--format",
            help="huggingface writes a Marian model of a translation run, else a LLaMA; native is for our own engine.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FOLDER",
            help="A new or empty folder; native goes into the run folder by default.",
            show_default=False,
        ),
    ] = None,
    compute_type: Annotated[
        Literal["int8", "bf16", "fp32"] | None,
        typer.Option(
            "--compute-type", help="The numbers of a native model's matrices; int8 by default.", show_default=False
        ),
    ] = None,
    sentences: Annotated[
        Path | None,
        typer.Option(
            "--sentences",
            metavar="FILE",
            help="Text to compare on, one sentence a line; by default what the run was validated with.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a trained model in another format: for other people's software, or packed for our native engine.

    What was written is read again and compared with the run on real sentences: logits may differ by 0.001 at most, and
    greedy search must write the same. Where numbers were rounded (native in int8 or bf16), the cosine of logits must be
    0.9995. The folder appears only then.
    """
    from attento.interop.exporting import export_run

    texts = None if sentences is None else list(read_text(sentences))
    with StageProgress() as progress:
        found = export_run(run, format_name, output, texts, progress, compute_type)
    if as_json:
        show_json(asdict(found))
    else:
        print(found.text)
    say(f"written to {output or RunFolder(run).packed}")
