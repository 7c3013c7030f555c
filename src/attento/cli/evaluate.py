"""`attento evaluate`: translate a test set and score it against its reference."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from attento.cli.files import open_output, read_text, refuse_overwriting
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
    refuse_overwriting(output, source, reference)
    sources, references = _read_test_set(source, reference)
    from attento.evaluation.metrics import corpus_bleu, evaluate_translations
    from attento.translator import Translator

    translator = Translator.load(run, device=device)
    search, language = change_search(translator.search, beam_size, length_penalty), translator.target_language
    # What is wrong with the references or the tokenizer shall show before the long work, not after.
    corpus_bleu([""] * len(references), references, target_language=language, tokenize=tokenize, lowercase=lowercase)

    with nullcontext() if output is None else open_output(output) as file:
        translations = translator.translate(sources, search=search, split_sentences=split_sentences)
        hypotheses = [translation.text for translation in translations]
        if file is not None:
            file.writelines(hypothesis + "\n" for hypothesis in hypotheses)
    report = evaluate_translations(
        hypotheses, references, target_language=language, tokenize=tokenize, lowercase=lowercase
    )
    print(report.to_json() if as_json else report.text)


def _read_test_set(source: Path, reference: Path) -> tuple[Sequence[str], Sequence[str]]:
    sources, references = list(read_text(source)), list(read_text(reference))
    if len(sources) != len(references):
        raise InputError(
            f"{source} has {len(sources)} lines and {reference} has {len(references)}: a source and its reference must "
            r'have the same number (lines end at "\n" alone)'
        )
    if not sources:
        raise InputError(f"{source}: is empty; there is nothing to score")
    return sources, references
