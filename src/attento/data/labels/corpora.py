"""Reading labelled sentences. Whatever cannot be read faithfully is an error that names file and line."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from attento.data.labels.config import LabelColumns, LabelledCorpusConfig
from attento.data.lines import read_lines
from attento.errors import DataError
from attento.setting_trees import suggest


@dataclass(frozen=True)
class Example:
    """A sentence, or a pair of them, and its label."""

    label: str
    sentences: tuple[str, ...]


def read_labelled(path: Path, corpus: LabelledCorpusConfig) -> list[Example]:
    r"""Return the examples of a file, read as the settings of a corpus say.

    White space around labels and sentences is left out, and lines may end in "\r\n".

    Args:
        path: The file, wherever it is; the `file` of the settings is not looked at.
        corpus: What its lines look like.

    Raises:
        DataError: the file is missing, empty, damaged or not UTF-8, a column is missing, or a line is malformed.
        MissingExtraError: a `.zst` file is read and `zstandard` is not installed.
    """
    lines = (line.removesuffix("\r") for line in read_lines(path))
    examples = list(_parse_plain(lines, path) if corpus.columns is None else _parse_tsv(lines, path, corpus.columns))
    if not examples:
        raise DataError(f"{path}: holds no line below the names of the columns")
    return examples


def _parse_plain(lines: Iterator[str], path: Path) -> Iterator[Example]:
    for number, line in enumerate(lines, 1):
        label, _, sentence = line.partition(" ")
        if not label.strip() or not sentence.strip():
            raise DataError(
                f"{path}:{number}: must be a label, a space and a sentence; a tab-separated file needs `columns`"
            )
        yield Example(label.strip(), (sentence.strip(),))


def _parse_tsv(lines: Iterator[str], path: Path, columns: LabelColumns) -> Iterator[Example]:
    header = next(lines).split("\t")
    wanted = [columns.label, columns.text, *([] if columns.second is None else [columns.second])]
    for name in wanted:
        if header.count(name) != 1:
            problem = "stands twice" if name in header else f"is no column{suggest(name, header)}"
            raise DataError(f"{path}:1: `{name}` {problem}; see `columns` of the file in the settings")
    places = [header.index(name) for name in wanted]
    for number, line in enumerate(lines, 2):
        cells = line.split("\t")
        if len(cells) != len(header):
            raise DataError(f"{path}:{number}: the line has {len(cells)} columns, but the first line {len(header)}")
        label, *sentences = (cells[place].strip() for place in places)
        for name, cell in zip(wanted, (label, *sentences), strict=True):
            if not cell:
                raise DataError(f"{path}:{number}: the column `{name}` is empty")
        yield Example(label, tuple(sentences))
