"""`attento evaluate`: translate a test set and score it against its reference."""

from pathlib import Path
from typing import Annotated

import typer

from attento.cli.files import open_output, read_text
from attento.cli.options import BeamSize, Device, Json, LengthPenalty, Run, change_search
from attento.errors import InputError


def evaluate(
    run: Run,
    source: Annotated[Path, typer.Option("--source", metavar="FILE", help="Text to translate, a sentence a line.")],
    reference: Annotated[
        Path, typer.Option("--reference", metavar="FILE", help="Its right translation, line by line.")
    ],
    tokenize: Annotated[
        str | None,
        typer.Option(
            "--tokenize", help="sacreBLEU tokenizer: 13a, intl, zh, char, none ... By default by the language."
        ),
    ] = None,
    lowercase: Annotated[bool, typer.Option("--lowercase", help="Compare without regard to case.")] = False,
    beam_size: BeamSize = None,
    length_penalty: LengthPenalty = None,
    split_sentences: Annotated[
        bool,
        typer.Option(
            "--split-sentences", help="Translate lines sentence by sentence, for a test set of long text in each line."
        ),
    ] = False,
    device: Device = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Keep the translations here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Translate a test set and print BLEU and chrF with their signatures.

    Each line is translated in one piece, as in validation while training.
    """
    sources, references = list(read_text(source)), list(read_text(reference))
    if len(sources) != len(references):
        raise InputError(
            f"{source} has {len(sources)} lines and {reference} has {len(references)}: a source and its reference must "
            r'have the same number (lines end at "\n" alone)'
        )
    from attento.evaluation.metrics import evaluate_translations
    from attento.translator import Translator

    translator = Translator.load(run, device=device)
    search = change_search(translator.search, beam_size, length_penalty)
    translations = translator.translate(sources, search=search, split_sentences=split_sentences)
    hypotheses = [translation.text for translation in translations]
    if output is not None:
        with open_output(output) as file:
            file.writelines(hypothesis + "\n" for hypothesis in hypotheses)
    report = evaluate_translations(
        hypotheses, references, target_language=translator.target_language, tokenize=tokenize, lowercase=lowercase
    )
    print(report.to_json() if as_json else report.text)
