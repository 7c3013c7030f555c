"""`attento translate`: raw text in, translations out, line by line and in order."""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attento.cli.console import say
from attento.cli.files import open_output, read_text, refuse_overwriting
from attento.cli.options import (
    BeamSize,
    Device,
    Engine,
    Json,
    LengthPenalty,
    MinLength,
    NoRepeatNgram,
    RunOrPacked,
    Seed,
    Temperature,
    TopK,
    TopP,
    change_search,
    load_translator,
    read_sampling,
)

if TYPE_CHECKING:
    from attento.inspection.alignment import Aligner
    from attento.translator import Translation

# So many lines are in memory at once; enough to sort by length into full batches.
CHUNK_LINES = 1024


def translate(
    run: RunOrPacked,
    text: Annotated[
        list[str] | None,
        typer.Argument(help="Texts to translate, after -- where one begins with a dash; stdin if none."),
    ] = None,
    input: Annotated[
        Path | None, typer.Option("--input", "-i", metavar="FILE", help="Translate each line of this file.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here instead of to stdout.")
    ] = None,
    beam_size: BeamSize = None,
    length_penalty: LengthPenalty = None,
    min_length: MinLength = None,
    no_repeat_ngram: NoRepeatNgram = None,
    n_best: Annotated[
        int | None,
        typer.Option("--n-best", help="Print so many translations a line: line number, score, text, tab-separated."),
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Draw translations at random instead of searching for the best.")
    ] = False,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = None,
    whole_lines: Annotated[
        bool, typer.Option("--whole-lines", help="Translate each line in one piece instead of sentence by sentence.")
    ] = False,
    prefix: Annotated[
        str | None,
        typer.Option(
            "--prefix", metavar="TEXT", help="Let each translation begin with this, for lines of one sentence."
        ),
    ] = None,
    alignment: Annotated[
        bool,
        typer.Option(
            "--alignment",
            help="Add a tab and which source word each word comes from, as 0-0 1-2 (Pharaoh's format); takes each "
            "line in one piece.",
        ),
    ] = False,
    engine: Engine = "auto",
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Translate text, a file, or stdin.

    One translation a line, in the order of the input; an empty line stays empty. With --json, one object a line.
    """
    if text and input:
        raise typer.BadParameter("give either texts or --input FILE, not both")
    if sample and beam_size is not None:
        raise typer.BadParameter("--beam-size is for a search; with --sample translations are drawn")
    if alignment and n_best is not None:
        raise typer.BadParameter("--alignment is of one translation a line; leave --n-best out")
    if not sample and (temperature, top_k, top_p, seed) != (None,) * 4:
        raise typer.BadParameter("--temperature, --top-k, --top-p and --seed need --sample")
    sampling = read_sampling(temperature, top_k, top_p, seed) if sample else None
    refuse_overwriting(output, input)
    lines = iter(text) if text else read_text(input)
    translator = load_translator(run, device, engine)
    aligner = _load_aligner(run, device) if alignment else None
    search = change_search(
        translator.search,
        beam_size=beam_size,
        length_penalty=length_penalty,
        min_length=min_length,
        no_repeat_ngram=no_repeat_ngram,
        n_best=n_best,
        sampling=sampling,
    )
    typed = not text and input is None and sys.stdin.isatty()
    if typed:
        say("Type a line and press Enter; end with Ctrl-D.")
    number, flagged = 0, defaultdict[str, list[int]](list)
    with open_output(output) as file:
        for chunk in _chunks(lines, 1 if typed else CHUNK_LINES):
            for translation in translator.translate(
                chunk,
                search=search,
                split_sentences=not (whole_lines or alignment),
                prefixes=None if prefix is None else [prefix] * len(chunk),
            ):
                number += 1
                links = None if aligner is None else aligner.pharaoh(translation.source, translation.text)
                file.write(_render(translation, number, n_best, as_json, links))
                for flag in translation.flags:
                    flagged[flag].append(number)
            # A reader at the other end of a pipe should not wait for a full buffer.
            file.flush()
    for name, numbers in flagged.items():
        shown = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
        say(f"note: {name} in {len(numbers)} of {number} (number {shown})")


def _load_aligner(run: Path, device: str | None) -> "Aligner":
    from attento.inspection.alignment import Aligner

    return Aligner.load(run, device)


def _chunks(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(lines)
    while chunk := list(islice(remaining, size)):
        yield chunk


def _render(translation: "Translation", number: int, n_best: int | None, as_json: bool, alignment: str | None) -> str:
    if as_json:
        record = {
            "source": translation.source,
            "translation": translation.text,
            "score": translation.score,
            "alternatives": [{"translation": each.text, "score": each.score} for each in translation.alternatives],
            "flags": list(translation.flags),
        } | ({} if alignment is None else {"alignment": alignment})
        return json.dumps(record, ensure_ascii=False) + "\n"
    if n_best is None:
        return translation.text + ("" if alignment is None else f"\t{alignment}") + "\n"
    ranked = [(translation.score, translation.text), *((each.score, each.text) for each in translation.alternatives)]
    return "".join(f"{number}\t{score:.4f}\t{text}\n" for score, text in ranked)
