import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attento.data.labels.config import LabelColumns, LabelledCorpusConfig
from attento.data.labels.corpora import Example, read_labelled
from attento.errors import DataError

PLAIN = LabelledCorpusConfig(file="a")
PAIRS = LabelledCorpusConfig(file="a", columns=LabelColumns(label="judgment", text="A", second="B"))
HEADER = "id\tA\tB\tjudgment\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "a"
    path.write_bytes(text.encode())
    return path


def test_a_plain_line_is_a_label_and_a_sentence(tmp_path: Path) -> None:
    path = write(tmp_path, "0 Who was  Galileo ?\r\nloc \t Where is\tAspen ? \n")
    assert read_labelled(path, PLAIN) == [
        Example("0", ("Who was  Galileo ?",)),
        Example("loc", ("Where is\tAspen ?",)),
    ]


def test_columns_are_found_by_their_names(tmp_path: Path) -> None:
    path = write(tmp_path, "id\tA\tB\tjudgment\r\n7\ta boy runs\t nobody runs\tNO\r\n8\tx\ty\tYES\r\n")
    assert read_labelled(path, PAIRS) == [Example("NO", ("a boy runs", "nobody runs")), Example("YES", ("x", "y"))]
    alone = LabelledCorpusConfig(file="a", columns=LabelColumns(label="id", text="B"))
    assert read_labelled(path, alone) == [Example("7", ("nobody runs",)), Example("8", ("y",))]


def test_compressed_files_are_read(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.gz", "wb") as file:
        file.write(b"1 fine\n")
    assert read_labelled(tmp_path / "a.gz", PLAIN) == [Example("1", ("fine",))]


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=5)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=7))
def test_whatever_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    path = write(folder, HEADER + "".join(f"1\t{a}\t{b}\t{label}\n" for label, a, b in rows))
    assert read_labelled(path, PAIRS) == [Example(label, (a, b)) for label, a, b in rows]


@pytest.mark.parametrize("line", ["label", "label  ", " sentence without label", ""])
def test_a_malformed_plain_line_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"a:2: must be a label, a space and a sentence"):
        read_labelled(write(tmp_path, f"0 fine\n{line}\n1 fine\n"), PLAIN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "1\tx\ty\tNO\n2\tx\ty\n", r"a:3: the line has 3 columns, but the first line 4"),
        (HEADER + "1\tx\t \tNO\n", r"a:2: the column `B` is empty"),
        (HEADER + "1\tx\ty\t\n", r"a:2: the column `judgment` is empty"),
        ("id\tA\tB\tjudgement\n1\tx\ty\tNO\n", r"a:1: `judgment` is no column \(did you mean `judgement`\?\)"),
        ("A\tA\tB\tjudgment\n1\tx\ty\tNO\n", r"a:1: `A` stands twice"),
        (HEADER, r"a: holds no line below the names"),
    ],
)
def test_a_malformed_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_labelled(write(tmp_path, text), PAIRS)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone: no such file"):
        read_labelled(tmp_path / "gone", PLAIN)
