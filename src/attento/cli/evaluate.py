"""`attento evaluate`: measure a trained model on text that it has not seen, as its task asks for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attento.cli.options import (
    BeamSize,
    Device,
    Engine,
    Json,
    LengthPenalty,
    MinLength,
    NoRepeatNgram,
    RunOrPacked,
)
from attento.errors import ConfigError

if TYPE_CHECKING:
    from attento.engines.task import RunKind

_TRANSLATION, _LANGUAGE, _LABELS = "Translation models", "Language models", "Sentence models"


def evaluate(
    run: RunOrPacked,
    source: Annotated[
        Path | None,
        typer.Option("--source", metavar="FILE", help="Text to translate, a line each.", rich_help_panel=_TRANSLATION),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference", metavar="FILE", help="Its right translation, line by line.", rich_help_panel=_TRANSLATION
        ),
    ] = None,
    tokenize: Annotated[
        str | None,
        typer.Option(
            "--tokenize",
            help="sacreBLEU tokenizer: 13a, intl, zh, char, none ... By default by the language.",
            rich_help_panel=_TRANSLATION,
        ),
    ] = None,
    lowercase: Annotated[
        bool, typer.Option("--lowercase", help="Compare without regard to case.", rich_help_panel=_TRANSLATION)
    ] = False,
    beam_size: BeamSize = None,
    length_penalty: LengthPenalty = None,
    min_length: MinLength = None,
    no_repeat_ngram: NoRepeatNgram = None,
    split_sentences: Annotated[
        bool,
        typer.Option(
            "--split-sentences",
            help="Translate lines sentence by sentence, for a test set of long text in each line.",
            rich_help_panel=_TRANSLATION,
        ),
    ] = False,
    text: Annotated[
        Path | None, typer.Option("--text", metavar="FILE", help="Text to foretell.", rich_help_panel=_LANGUAGE)
    ] = None,
    start: Annotated[
        float | None,
        typer.Option("--start", help="Begin at this share of the file, 0 to 1.", rich_help_panel=_LANGUAGE),
    ] = None,
    stop: Annotated[
        float | None, typer.Option("--stop", help="End at this share of the file, 0 to 1.", rich_help_panel=_LANGUAGE)
    ] = None,
    labelled: Annotated[
        Path | None,
        typer.Option(
            "--labelled",
            metavar="FILE",
            help="Labelled sentences, in the form of the run's test, validation or else training file.",
            rich_help_panel=_LABELS,
        ),
    ] = None,
    engine: Engine = "auto",
    device: Device = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Keep the translations, or the labels found, here."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a trained model on text of your own, by what it was trained to do.

    A translation model (--source, --reference): BLEU and chrF with their signatures; each line is translated in one
    piece, as in validation while training. A language model (--text): perplexity, and bits a token, character and byte.
    A sentence model (--labelled): accuracy, and each label's share of it. A masked language model or a denoising model
    (--text): perplexity and accuracy on the tokens that are hidden in the text, or cut out of it.
    """
    from attento.engines.task import run_kind

    kind = run_kind(run)
    flags: dict[str, object] = {
        "--source": source,
        "--reference": reference,
        "--tokenize": tokenize,
        "--lowercase": lowercase or None,
        "--beam-size": beam_size,
        "--length-penalty": length_penalty,
        "--min-length": min_length,
        "--no-repeat-ngram": no_repeat_ngram,
        "--split-sentences": split_sentences or None,
        "--engine": None if engine == "auto" else engine,
        "--text": text,
        "--start": start,
        "--stop": stop,
        "--labelled": labelled,
        "--output": output,
    }
    _check_flags(run, kind, [flag for flag, value in flags.items() if value is not None])
    from attento.cli import scoring

    report: scoring.Report
    search = {
        "beam_size": beam_size,
        "length_penalty": length_penalty,
        "min_length": min_length,
        "no_repeat_ngram": no_repeat_ngram,
    }
    if source is not None and reference is not None:
        report = scoring.score_translations(
            run,
            source,
            reference,
            scoring.TranslationOptions(tokenize, lowercase, split_sentences, search, engine),
            device=device,
            output=output,
        )
    elif text is not None:
        score = {"masked_language_modeling": scoring.score_hidden, "denoising": scoring.score_spans}.get(
            kind.task, scoring.score_text
        )
        report = score(run, text, start=start, stop=stop, device=device)
    else:
        assert labelled is not None
        report = scoring.score_labels(run, labelled, device=device, output=output)
    print(report.to_json() if as_json else report.text)


_OF_TEXT = (("--text",), ("--start", "--stop"))
# What is needed, and what may be given besides.
_FLAGS = {
    "translation": (
        ("--source", "--reference"),
        (
            "--tokenize",
            "--lowercase",
            "--beam-size",
            "--length-penalty",
            "--min-length",
            "--no-repeat-ngram",
            "--split-sentences",
            "--engine",
            "--output",
        ),
    ),
    "language_modeling": _OF_TEXT,
    "classification": (("--labelled",), ("--output",)),
    "masked_language_modeling": _OF_TEXT,
    "denoising": _OF_TEXT,
}


def _check_flags(run: Path, kind: "RunKind", given: list[str]) -> None:
    """Refuse flags that are for other tasks, and ask for those that are missing."""
    needed, possible = _FLAGS[kind.task]
    foreign = [flag for flag in given if flag not in (*needed, *possible)]
    missing = [flag for flag in needed if flag not in given]
    if foreign or missing:
        wanted = " and ".join(f"{flag} FILE" for flag in needed)
        problem = f"{foreign[0]} is not for it" if foreign else f"{missing[0]} is missing"
        raise ConfigError(f"{run}: holds {kind.text}, which is measured by {wanted}; {problem}")
