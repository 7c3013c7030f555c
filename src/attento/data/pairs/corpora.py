r"""Reading parallel text, whatever it is stored in, as a stream of pairs.

Lines end at "\n" and nowhere else: CR, U+2028 and U+0085 are characters of the line. Whatever cannot be read faithfully
is an error that names file and line. Holds at most one chunk of pairs at a time (and so at most a chunk of the longest
lines). Cleans nothing.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from attento.data.lines import read_aligned
from attento.data.pairs.config import CorpusConfig
from attento.errors import DataError

Pair = tuple[str, str]


@dataclass(frozen=True)
class Languages:
    """The codes of the two languages, as a `.jsonl` file may use them for keys."""

    source: str
    target: str


@dataclass(frozen=True)
class Chunk:
    r"""Some pairs that follow each other in one corpus: the lines of two texts, each ended by "\n"."""

    corpus: int
    first_line: int
    source: str
    target: str

    @classmethod
    def of(cls, corpus: int, first_line: int, pairs: Sequence[Pair]) -> "Chunk":
        """Put pairs together; no text may hold a line feed."""
        source, target = ("".join(f"{pair[side]}\n" for pair in pairs) for side in (0, 1))
        return cls(corpus, first_line, source, target)

    @property
    def sources(self) -> list[str]:
        """The source sentences."""
        return self.source.split("\n")[:-1]

    @property
    def targets(self) -> list[str]:
        """The target sentences."""
        return self.target.split("\n")[:-1]

    @property
    def pairs(self) -> list[Pair]:
        """The pairs, one by one."""
        return list(zip(self.sources, self.targets, strict=True))


def read_chunks(corpus: CorpusConfig, index: int, languages: Languages, root: Path) -> Iterator[Chunk]:
    """Yield a corpus in the order of its file, untouched, `CHUNK_LINES` pairs at a time, fewer of very long lines.

    Raises:
        DataError: a file is missing, empty, damaged, not UTF-8, holds a NUL byte or a malformed line; or two aligned
            files differ in their number of lines.
        MissingExtraError: a `.zst` file is read and `zstandard` is not installed.
    """
    if corpus.pairs is not None:
        path = root / corpus.pairs
        parse = _parse_tsv if corpus.pairs_format == ".tsv" else _parse_jsonl
        for first_line, (text,) in read_aligned(path):
            lines = enumerate(text.split("\n")[:-1], first_line)
            yield Chunk.of(index, first_line, [parse(line, f"{path}:{number}", languages) for number, line in lines])
    else:
        assert corpus.source is not None and corpus.target is not None  # held by CorpusConfig
        for first_line, (source, target) in read_aligned(root / corpus.source, root / corpus.target):
            yield Chunk(index, first_line, source, target)


def read_pairs(corpus: CorpusConfig, languages: Languages, root: Path) -> Iterator[Pair]:
    """Yield the pairs of a corpus in the order of the file, untouched.

    Raises:
        DataError, MissingExtraError: as `read_chunks`.
    """
    for chunk in read_chunks(corpus, 0, languages, root):
        yield from chunk.pairs


def _parse_tsv(line: str, where: str, languages: Languages) -> Pair:
    columns = line.split("\t")
    if len(columns) != 2:
        raise DataError(
            f"{where}: has {len(columns)} column{'s' if len(columns) > 1 else ''}, but must be source, one tab, target"
        )
    return columns[0], columns[1]


def _parse_jsonl(line: str, where: str, languages: Languages) -> Pair:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as problem:
        raise DataError(f"{where}: is not valid JSON: {problem}") from None
    for keys in (("source", "target"), (languages.source, languages.target)):
        if isinstance(record, dict) and all(isinstance(record.get(key), str) for key in keys):
            return _plain(record[keys[0]], where), _plain(record[keys[1]], where)
    raise DataError(
        f'{where}: must be an object with the texts "source" and "target", or "{languages.source}" and '
        f'"{languages.target}"'
    )


def _plain(text: str, where: str) -> str:
    # JSON can spell what no line of a text file can hold.
    if "\0" in text:
        raise DataError(f"{where}: holds a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{where}: holds half of a surrogate pair, which is no character") from None
    return text.replace("\n", " ")
