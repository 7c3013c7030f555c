"""`attento translate`: raw text in, translations out, line by line and in order."""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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
from attento.errors import InputError

if TYPE_CHECKING:
    from attento.decoding.config import SamplingConfig, SearchConfig
    from attento.inspection.alignment import Aligner
    from attento.translator import Translation, Translator

# So many lines are in memory at once; enough to sort by length into full batches.
CHUNK_LINES = 1024


Texts = Annotated[
    list[str] | None,
    typer.Argument(help="Texts to translate, after -- where one begins with a dash; stdin if none."),
]
Input = Annotated[Path | None, typer.Option("--input", "-i", metavar="FILE", help="Translate each line of this file.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here instead of to stdout.")]
NBest = Annotated[
    int | None,
    typer.Option("--n-best", help="Print so many translations a line: line number, score, text, tab-separated."),
]
Sample = Annotated[
    bool, typer.Option("--sample", help="Draw translations at random instead of searching for the best.")
]
WholeLines = Annotated[
    bool, typer.Option("--whole-lines", help="Translate each line in one piece instead of sentence by sentence.")
]
Prefix = Annotated[
    str | None,
    typer.Option("--prefix", metavar="TEXT", help="Let each translation begin with this, for lines of one sentence."),
]
Alignment = Annotated[
    bool,
    typer.Option(
        "--alignment",
        help="Add a tab and which source word each word comes from, as 0-0 1-2 (Pharaoh's format); takes each "
        "line in one piece.",
    ),
]
AlignmentHeads = Annotated[
    str | None,
    typer.Option(
        "--alignment-heads",
        metavar="HEADS",
        help="Align by these heads' mean, as 2.0,2.3 (layer.head, from 0) or 2 (a whole layer); all by default.",
        show_default=False,
    ),
]


def translate(
    run: RunOrPacked,
    text: Texts = None,
    input: Input = None,
    output: Output = None,
    beam_size: BeamSize = None,
    length_penalty: LengthPenalty = None,
    min_length: MinLength = None,
    no_repeat_ngram: NoRepeatNgram = None,
    n_best: NBest = None,
    sample: Sample = False,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = None,
    whole_lines: WholeLines = False,
    prefix: Prefix = None,
    alignment: Alignment = False,
    alignment_heads: AlignmentHeads = None,
    engine: Engine = "auto",
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Translate text, a file, or stdin.

    One translation a line, in the order of the input; an empty line stays empty. With --json, one object a line.
    """
    _refuse_both(text, input, alignment, n_best)
    sampling = _read_draws(sample, beam_size, temperature, top_k, top_p, seed)
    heads = _read_heads(alignment, alignment_heads)
    refuse_overwriting(output, input)
    lines = iter(text) if text else read_text(input)
    translator = load_translator(run, device, engine)
    aligner = _load_aligner(translator, heads) if alignment else None
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
    job = _Job(translator, search, whole_lines or alignment, prefix, aligner, _Form(n_best, as_json))
    job.do(_chunks(lines, 1 if typed else CHUNK_LINES), output)


@dataclass(frozen=True)
class _Form:
    """What is written of a translation."""

    n_best: int | None
    as_json: bool

    def render(self, translation: "Translation", number: int, links: str | None, flags: Sequence[str]) -> str:
        """Return the line of a translation, or its lines where several are wanted."""
        if self.as_json:
            record = {
                "source": translation.source,
                "translation": translation.text,
                "score": translation.score,
                "alternatives": [{"translation": each.text, "score": each.score} for each in translation.alternatives],
                "flags": list(flags),
            } | ({} if links is None else {"alignment": links})
            return json.dumps(record, ensure_ascii=False) + "\n"
        if self.n_best is None:
            return translation.text + ("" if links is None else f"\t{links}") + "\n"
        others = ((each.score, each.text) for each in translation.alternatives)
        ranked = [(translation.score, translation.text), *others]
        return "".join(f"{number}\t{score:.4f}\t{text}\n" for score, text in ranked)


@dataclass(frozen=True)
class _Job:
    """How lines are translated and written."""

    translator: "Translator"
    search: "SearchConfig"
    whole_lines: bool
    prefix: str | None
    aligner: "Aligner | None"
    form: _Form

    def do(self, chunks: Iterable[list[str]], output: Path | None) -> None:
        """Translate, write, and tell of what a reader should know before trusting it."""
        number, flagged = 0, defaultdict[str, list[int]](list)
        with open_output(output) as file:
            for chunk in chunks:
                for translation in self._translate(chunk):
                    number += 1
                    links, flags = self._align(translation)
                    file.write(self.form.render(translation, number, links, flags))
                    for flag in flags:
                        flagged[flag].append(number)
                # A reader at the other end of a pipe should not wait for a full buffer.
                file.flush()
        for name, numbers in flagged.items():
            shown = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
            say(f"note: {name} in {len(numbers)} of {number} (number {shown})")

    def _translate(self, chunk: list[str]) -> "list[Translation]":
        prefixes = None if self.prefix is None else [self.prefix] * len(chunk)
        return self.translator.translate(
            chunk, search=self.search, split_sentences=not self.whole_lines, prefixes=prefixes
        )

    def _align(self, translation: "Translation") -> tuple[str | None, Sequence[str]]:
        """Return the links as text, none where none are wanted, and all that is to be told of a translation."""
        if self.aligner is None:
            return None, translation.flags
        try:
            return self.aligner.pharaoh(translation.source, translation.text), translation.flags
        except InputError:
            # The others are translated and aligned all the same.
            return "", (*translation.flags, "too long to align")


def _refuse_both(text: list[str] | None, input: Path | None, alignment: bool, n_best: int | None) -> None:
    if text and input:
        raise typer.BadParameter("give either texts or --input FILE, not both")
    if alignment and n_best is not None:
        raise typer.BadParameter("--alignment is of one translation a line; leave --n-best out")


def _read_draws(
    sample: bool,
    beam_size: int | None,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    seed: int | None,
) -> "SamplingConfig | None":
    if not sample:
        if (temperature, top_k, top_p, seed) != (None,) * 4:
            raise typer.BadParameter("--temperature, --top-k, --top-p and --seed need --sample")
        return None
    if beam_size is not None:
        raise typer.BadParameter("--beam-size is for a search; with --sample translations are drawn")
    return read_sampling(temperature, top_k, top_p, seed)


def _read_heads(alignment: bool, heads: str | None) -> list[tuple[int, int | None]] | None:
    if heads is None:
        return None
    if not alignment:
        raise typer.BadParameter("--alignment-heads needs --alignment")
    found = [re.fullmatch(r"([0-9]+)(?:\.([0-9]+))?", each.strip()) for each in heads.split(",")]
    if not all(found):
        raise typer.BadParameter("--alignment-heads is like 2.0,2.3: layer.head, from 0, or a layer alone")
    return [(int(each[1]), None if each[2] is None else int(each[2])) for each in found if each]


def _load_aligner(translator: "Translator", heads: list[tuple[int, int | None]] | None) -> "Aligner":
    from attento.inspection.alignment import Aligner

    return Aligner(translator, heads)


def _chunks(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(lines)
    while chunk := list(islice(remaining, size)):
        yield chunk
