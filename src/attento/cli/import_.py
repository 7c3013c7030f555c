"""`attento import`: a Hugging Face folder in, a run folder out."""

from pathlib import Path
from typing import Annotated

import typer

from attento.cli.console import say

_TRANSLATION = "Translation models"


def import_(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Holds config.json, model.safetensors and the tokenizer.", show_default=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="RUN", help="The run folder to make.", show_default=False)
    ],
    source_language: Annotated[
        str | None,
        typer.Option(
            "--source-language", help="For example en, where the tokenizer does not say.", rich_help_panel=_TRANSLATION
        ),
    ] = None,
    target_language: Annotated[
        str | None,
        typer.Option(
            "--target-language", help="For example de, where the tokenizer does not say.", rich_help_panel=_TRANSLATION
        ),
    ] = None,
) -> None:
    """Make a run folder of a Hugging Face model: Marian (OPUS-MT), BART, T5, GPT-2, LLaMA, Mistral, BERT.

    Reads safetensors alone, never a pickle, and touches no network.
    """
    from attento.interop.importing import import_model

    done = import_model(folder, output, source_language=source_language, target_language=target_language)
    for note in done.notes:
        say(f"note: {note}")
    say(f"imported: {done.run} ({done.model_type}, {done.parameters:,} parameters)")
