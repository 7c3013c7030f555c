"""`attento evaluate`: measure a trained model on text that it has not seen, as its task asks for."""

from collections.abc import Mapping
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


Source = Annotated[
    Path | None,
    typer.Option("--source", metavar="FILE", help="Text to translate, a line each.", rich_help_panel=_TRANSLATION),
]
Reference = Annotated[
    Path | None,
    typer.Option(
        "--reference", metavar="FILE", help="Its right translation, line by line.", rich_help_panel=_TRANSLATION
    ),
]
Tokenize = Annotated[
    str | None,
    typer.Option(
        "--tokenize",
        help="sacreBLEU tokenizer: 13a, intl, zh, char, none ... By default by the language.",
        rich_help_panel=_TRANSLATION,
    ),
]
Lowercase = Annotated[
    bool, typer.Option("--lowercase", help="Compare without regard to case.", rich_help_panel=_TRANSLATION)
]
SplitSentences = Annotated[
    bool,
    typer.Option(
        "--split-sentences",
        help="Translate lines sentence by sentence, for a test set of long text in each line.",
        rich_help_panel=_TRANSLATION,
    ),
]
Text = Annotated[
    Path | None, typer.Option("--text", metavar="FILE", help="Text to foretell.", rich_help_panel=_LANGUAGE)
]
Start = Annotated[
    float | None, typer.Option("--start", help="Begin at this share of the file, 0 to 1.", rich_help_panel=_LANGUAGE)
]
Stop = Annotated[
    float | None, typer.Option("--stop", help="End at this share of the file, 0 to 1.", rich_help_panel=_LANGUAGE)
]
Labelled = Annotated[
    Path | None,
    typer.Option(
        "--labelled",
        metavar="FILE",
        help="Labelled sentences, in the form of the run's test, validation or else training file.",
        rich_help_panel=_LABELS,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Keep the translations, or the labels found, here."),
]


def evaluate(
    run: RunOrPacked,
    source: Source = None,
    reference: Reference = None,
    tokenize: Tokenize = None,
    lowercase: Lowercase = False,
    beam_size: BeamSize = None,
    length_penalty: LengthPenalty = None,
    min_length: MinLength = None,
    no_repeat_ngram: NoRepeatNgram = None,
    split_sentences: SplitSentences = False,
    text: Text = None,
    start: Start = None,
    stop: Stop = None,
    labelled: Labelled = None,
    engine: Engine = "auto",
    device: Device = None,
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Measure a trained model on text of your own, by what it was trained to do.

    A translation model (--source, --reference): BLEU and chrF with their signatures; each line is translated in one
    piece, as in validation while training. A language model (--text): perplexity, and bits a token, character and byte.
    A sentence model (--labelled): accuracy, and each label's share of it. A masked language model or a denoising model
    (--text): perplexity and accuracy on the tokens that are hidden in the text, or cut out of it.
    """
    # Nothing but the flags has a name yet.
    given = _given(locals())
    from attento.engines.task import run_kind

    kind = run_kind(run)
    _check_flags(run, kind, given)
    from attento.cli import scoring

    report: scoring.Report
    if source is not None and reference is not None:
        search = {
            "beam_size": beam_size,
            "length_penalty": length_penalty,
            "min_length": min_length,
            "no_repeat_ngram": no_repeat_ngram,
        }
        options = scoring.TranslationOptions(tokenize, lowercase, split_sentences, search, engine)
        report = scoring.score_translations(run, source, reference, options, device=device, output=output)
    elif text is not None:
        gaps = {"masked_language_modeling": scoring.score_hidden, "denoising": scoring.score_spans}
        report = gaps.get(kind.task, scoring.score_text)(run, text, start=start, stop=stop, device=device)
    else:
        assert labelled is not None
        report = scoring.score_labels(run, labelled, device=device, output=output)
    print(report.to_json() if as_json else report.text)


# What any task may have.
_FOR_ALL = ("run", "device", "as_json")
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


def _given(values: Mapping[str, object]) -> list[str]:
    """Return the flags that were given, those for all tasks left out, in the order of the help."""
    given = [name for name, value in values.items() if not (value is None or value is False or value == "auto")]
    return [f"--{name.replace('_', '-')}" for name in given if name not in _FOR_ALL]


def _check_flags(run: Path, kind: "RunKind", given: list[str]) -> None:
    """Refuse flags that are for other tasks, and ask for those that are missing."""
    needed, possible = _FLAGS[kind.task]
    foreign = [flag for flag in given if flag not in (*needed, *possible)]
    missing = [flag for flag in needed if flag not in given]
    if foreign or missing:
        wanted = " and ".join(f"{flag} FILE" for flag in needed)
        problem = f"{foreign[0]} is not for it" if foreign else f"{missing[0]} is missing"
        raise ConfigError(f"{run}: holds {kind.text}, which is measured by {wanted}; {problem}")
