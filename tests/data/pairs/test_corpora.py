import gzip
import json
import lzma
import sys
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from attento.data.lines import read_lines
from attento.data.pairs.config import CorpusConfig
from attento.data.pairs.corpora import Chunk, Languages, Pair, read_chunks, read_pairs
from attento.errors import DataError, MissingExtraError

LANGUAGES = Languages("en", "fr")


def pairs_in(folder: Path, name: str) -> list[Pair]:
    return list(read_pairs(CorpusConfig(pairs=name), LANGUAGES, folder))


def aligned_in(folder: Path) -> list[Pair]:
    return list(read_pairs(CorpusConfig(source="a.en", target="a.fr"), LANGUAGES, folder))


def write(folder: Path, **contents: bytes) -> None:
    for suffix, content in contents.items():
        (folder / f"a.{suffix}").write_bytes(content)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\ntwo", ["one", "two"]),
        (b"one\n\n", ["one", ""]),
        (b"\n", [""]),
        ("a\rb\u2028c\x85d\x0be\x0cf\x1cg\u2029h\n".encode(), ["a\rb\u2028c\x85d\x0be\x0cf\x1cg\u2029h"]),
        (b"one\r\ntwo\r\n", ["one\r", "two\r"]),
        ("\ufeffone\n\ufefftwo\n".encode(), ["one", "\ufefftwo"]),
    ],
)
def test_lines_end_at_line_feeds_alone(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    write(tmp_path, en=content)
    assert list(read_lines(tmp_path / "a.en")) == lines


@pytest.mark.shared_data
def test_real_text_with_odd_line_ends_stays_aligned(shared_data: Path) -> None:
    corpus = CorpusConfig(source="wmt-newstest/en-de/newstest2009.en", target="wmt-newstest/en-de/newstest2009.de")
    pairs = list(read_pairs(corpus, LANGUAGES, shared_data))
    assert len(pairs) == (shared_data / "wmt-newstest/en-de/newstest2009.en").read_bytes().count(b"\n") == 2525
    assert sum(any(c in "".join(pair) for c in "\r\u2028\x85") for pair in pairs) >= 3


def test_aligned_files(tmp_path: Path) -> None:
    write(tmp_path, en=b"one\ntwo\n", fr="un\ndéux".encode())
    assert aligned_in(tmp_path) == [("one", "un"), ("two", "déux")]


@pytest.mark.parametrize(("source", "target"), [(3, 5), (5, 3), (1, 2), (2, 1)])
def test_misaligned_files_tell_both_names_and_counts(tmp_path: Path, source: int, target: int) -> None:
    write(tmp_path, en=b"x\n" * source, fr=b"y\n" * target)
    with pytest.raises(DataError) as caught:
        aligned_in(tmp_path)
    assert f"a.en has {source} lines and {tmp_path / 'a.fr'} has {target}" in str(caught.value)


def test_invalid_utf8_is_told_with_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, en=b"fine\nfine\ncaf\xe9 noir\n", fr=b"x\nx\nx\n")
    with pytest.raises(DataError, match=r"a\.en:3: is not valid UTF-8 \(byte 0xe9 at position 4"):
        aligned_in(tmp_path)


def test_nul_bytes_are_told_with_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, en=b"x\nx\n", fr=b"fine\nb\0d\n")
    with pytest.raises(DataError, match=r"a\.fr:2: holds a NUL byte"):
        aligned_in(tmp_path)


@pytest.mark.parametrize("empty", ["en", "fr"])
def test_an_empty_file_is_told(tmp_path: Path, empty: str) -> None:
    write(tmp_path, **{"en": b"x\n", "fr": b"y\n", empty: b""})
    with pytest.raises(DataError, match=rf"a\.{empty}: is empty"):
        aligned_in(tmp_path)


def test_a_missing_file_suggests_near_names(tmp_path: Path) -> None:
    (tmp_path / "train.en").write_text("x\n")
    with pytest.raises(DataError, match=r"trian\.en: no such file \(did you mean `train\.en`\?\)"):
        list(read_lines(tmp_path / "trian.en"))


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the folder .*gone does not exist either"):
        list(read_lines(tmp_path / "gone/train.en"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        list(read_lines(tmp_path))


def test_tsv(tmp_path: Path) -> None:
    write(tmp_path, tsv="one\tun\ntwo\t\u2028deux\n\t\n".encode())
    assert pairs_in(tmp_path, "a.tsv") == [("one", "un"), ("two", "\u2028deux"), ("", "")]


@pytest.mark.parametrize(("line", "columns"), [("alone", "1 column,"), ("a\tb\tc", "3 columns"), ("", "1 column,")])
def test_a_malformed_tsv_line_is_told(tmp_path: Path, line: str, columns: str) -> None:
    write(tmp_path, tsv=f"one\tun\n{line}\n".encode())
    with pytest.raises(DataError, match=rf"a\.tsv:2: has {columns}"):
        pairs_in(tmp_path, "a.tsv")


def test_jsonl_with_either_pair_of_keys(tmp_path: Path) -> None:
    records = [{"source": "one", "target": "un", "id": 7}, {"en": "two\nlines", "fr": "deux\u2028"}]
    write(tmp_path, jsonl="".join(json.dumps(record) + "\n" for record in records).encode())
    assert pairs_in(tmp_path, "a.jsonl") == [("one", "un"), ("two lines", "deux\u2028")]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "is not valid JSON"),
        ("", "is not valid JSON"),
        ("[" * 99999, "is not valid JSON"),
        ('["one", "un"]', 'must be an object with the texts "source" and "target", or "en" and "fr"'),
        ('{"source": "one"}', "must be an object"),
        ('{"source": "one", "target": 1}', "must be an object"),
        ('{"source": "one", "target": "\\u0000"}', "holds a NUL character"),
        ('{"source": "one", "target": "\\ud800"}', "holds half of a surrogate pair"),
    ],
)
def test_a_malformed_jsonl_line_is_told(tmp_path: Path, line: str, problem: str) -> None:
    write(tmp_path, jsonl=f'{{"source": "one", "target": "un"}}\n{line}\n'.encode())
    with pytest.raises(DataError) as caught:
        pairs_in(tmp_path, "a.jsonl")
    assert f"a.jsonl:2: {problem}" in str(caught.value)


COMPRESSORS = {"gz": gzip.compress, "xz": lzma.compress, "zst": zstandard.ZstdCompressor().compress}
TEXT = "".join(f"line {n}\u2028 of many\tligne {n * n}\n" for n in range(9973)).encode()


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_compressed_files(tmp_path: Path, suffix: str) -> None:
    # Two members or frames behind each other are one text, as `cat` makes them.
    compress = COMPRESSORS[suffix]
    (tmp_path / f"a.tsv.{suffix}").write_bytes(compress(TEXT[:50021]) + compress(TEXT[50021:]))
    assert pairs_in(tmp_path, f"a.tsv.{suffix}") == [tuple(x.split("\t")) for x in TEXT.decode().split("\n")[:-1]]


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_a_compressed_file_that_is_cut_off_is_told(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a.tsv.{suffix}").write_bytes(COMPRESSORS[suffix](TEXT)[:-11])
    with pytest.raises(DataError, match=rf"a\.tsv\.{suffix}: the compressed file is damaged or cut off"):
        pairs_in(tmp_path, f"a.tsv.{suffix}")


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_a_file_that_is_not_compressed_is_told(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a.tsv.{suffix}").write_bytes(TEXT)
    with pytest.raises(DataError, match=rf"a\.tsv\.{suffix}: the compressed file is damaged or cut off"):
        pairs_in(tmp_path, f"a.tsv.{suffix}")


def test_zstandard_is_asked_for_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tsv.zst").write_bytes(COMPRESSORS["zst"](TEXT))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"attento\[zstd\]"):
        pairs_in(tmp_path, "a.tsv.zst")


def test_chunks_keep_order_and_line_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(TEXT)
    chunks = list(read_chunks(CorpusConfig(pairs="a.tsv"), 5, LANGUAGES, tmp_path))
    assert [len(chunk.pairs) for chunk in chunks] == [4096, 4096, 1781]
    assert [chunk.first_line for chunk in chunks] == [1, 4097, 8193]
    assert {chunk.corpus for chunk in chunks} == {5}
    assert [pair for chunk in chunks for pair in chunk.pairs] == pairs_in(tmp_path, "a.tsv")


def test_chunks_of_very_long_lines_are_smaller(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes((b"x" * 2_000_003 + b"\ty\n") * 7)
    chunks = list(read_chunks(CorpusConfig(pairs="a.tsv"), 0, LANGUAGES, tmp_path))
    assert [len(chunk.pairs) for chunk in chunks] == [5, 2]
    assert [chunk.first_line for chunk in chunks] == [1, 6]


def test_a_chunk_is_its_pairs_and_two_texts() -> None:
    chunk = Chunk.of(3, 7, [("one", "un"), ("", "\u2028"), ("three\r", "trois")])
    assert (chunk.source, chunk.target) == ("one\n\nthree\r\n", "un\n\u2028\ntrois\n")
    assert chunk.pairs == [("one", "un"), ("", "\u2028"), ("three\r", "trois")]
    assert Chunk.of(3, 7, []).pairs == []


@pytest.mark.parametrize("extra", [0, 1, 31, 32, 97])
def test_misalignment_is_found_wherever_a_chunk_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: int
) -> None:
    monkeypatch.setattr("attento.data.lines.CHUNK_LINES", 31)
    write(tmp_path, en=b"x\n" * 62, fr=b"y\n" * (62 + extra))
    if not extra:
        assert len(aligned_in(tmp_path)) == 62
        return
    with pytest.raises(DataError, match=rf"a\.en has 62 lines and .*a\.fr has {62 + extra}"):
        aligned_in(tmp_path)


def test_a_damaged_source_is_not_laid_to_the_target(tmp_path: Path) -> None:
    (tmp_path / "a.en.gz").write_bytes(gzip.compress(b"x\n" * 9973)[:-11])
    (tmp_path / "a.fr").write_bytes(b"y\n" * 9973)
    with pytest.raises(DataError, match=r"a\.en\.gz: the compressed file is damaged or cut off"):
        list(read_pairs(CorpusConfig(source="a.en.gz", target="a.fr"), LANGUAGES, tmp_path))


def peak_of_reading(path: Path) -> int:
    tracemalloc.start()
    try:
        for _ in read_chunks(CorpusConfig(pairs=path.name), 0, LANGUAGES, path.parent):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_of_reading_stays_flat_as_the_corpus_grows(tmp_path: Path) -> None:
    line = b"a sentence of some length\tune phrase d'une certaine longueur\n"
    (tmp_path / "small.tsv").write_bytes(line * 10_007)
    (tmp_path / "large.tsv").write_bytes(line * 30_011)
    assert peak_of_reading(tmp_path / "large.tsv") < 1.2 * peak_of_reading(tmp_path / "small.tsv")
