import pickle
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from attento.data.pairs.shards import ParallelShards, Ragged, ShardWriter, shard_paths
from attento.errors import DataError

Row = tuple[list[int], list[int], int]


def rows(count: int) -> list[Row]:
    generator = random.Random(count)

    def ids() -> list[int]:
        return [generator.randrange(1 << 31) for _ in range(generator.randrange(13))]

    return [(ids(), ids(), index * 3 // count) for index in range(count)]


def write(folder: Path, data: list[Row], chunk: int, **sizes: int) -> ParallelShards:
    folder.mkdir(exist_ok=True)
    with ShardWriter(folder, "train", **sizes) as writer:
        for corpus in sorted({row[2] for row in data}):
            of_corpus = [row for row in data if row[2] == corpus]
            for start in range(0, len(of_corpus), chunk):
                part = of_corpus[start : start + chunk]
                writer.append(Ragged.of([row[0] for row in part]), Ragged.of([row[1] for row in part]), corpus)
    assert writer.count == len(data)
    assert writer.tokens == (sum(len(row[0]) for row in data), sum(len(row[1]) for row in data))
    assert sorted(folder.iterdir()) == shard_paths(folder, "train", writer.shards)
    return ParallelShards(shard_paths(folder, "train", writer.shards))


@pytest.mark.parametrize("chunk", [1, 7, 1009])
def test_what_was_written_is_read(tmp_path: Path, chunk: int) -> None:
    data = rows(331)
    shards = write(tmp_path / "s", data, chunk, batch_pairs=13, shard_pairs=52)
    assert len(shards) == 331
    taken = shards.take(range(331))
    assert [(s.tolist(), t.tolist()) for s, t in taken] == [row[:2] for row in data]
    assert [each.tolist() for each in shards.lengths()] == [[len(row[side]) for row in data] for side in (0, 1)]
    assert shards.corpus_sizes() == [sum(row[2] == corpus for row in data) for corpus in range(3)]
    assert {each.dtype for each in (*shards.lengths(), *taken[0])} == {np.dtype(np.int32)}


def test_bytes_do_not_depend_on_how_pairs_come(tmp_path: Path) -> None:
    data = rows(331)
    for name, chunk in (("one", 5), ("two", 97)):
        write(tmp_path / name, data, chunk, batch_pairs=13, shard_pairs=52)
    names = [path.name for path in sorted((tmp_path / "one").iterdir())]
    assert names == [f"train-{n:05d}.arrow" for n in range(7)]  # 26 batches of 13, four to a shard
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_any_arrow_reads_the_files(tmp_path: Path) -> None:
    data = rows(29)
    write(tmp_path / "s", data, 7)
    table = pa.ipc.open_file(tmp_path / "s/train-00000.arrow").read_all()
    assert [tuple(row.values()) for row in table.to_pylist()] == data
    assert table.schema.names == ["source", "target", "corpus"]


def test_take_in_any_order_with_repeats(tmp_path: Path) -> None:
    data = rows(97)
    shards = write(tmp_path / "s", data, 11, batch_pairs=7, shard_pairs=14)
    order = [96, 0, 7, 6, 7, 53]
    for indices in (order, np.asarray(order, np.int32)):
        assert [s.tolist() for s, _ in shards.take(indices)] == [data[i][0] for i in order]
    assert shards.take([]) == []


@pytest.mark.parametrize(("start", "stop"), [(0, 97), (0, 1), (6, 7), (7, 8), (5, 31), (14, 28), (96, 97), (53, 53)])
def test_lengths_of_a_range(tmp_path: Path, start: int, stop: int) -> None:
    data = rows(97)
    shards = write(tmp_path / "s", data, 11, batch_pairs=7, shard_pairs=14)
    expected = [[len(row[side]) for row in data[start:stop]] for side in (0, 1)]
    assert [each.tolist() for each in shards.lengths(start, stop)] == expected


def test_a_corpus_that_gave_no_pair_has_none(tmp_path: Path) -> None:
    data = [([7], [8], corpus) for corpus in (1, 1, 1, 4, 4)]
    assert write(tmp_path / "s", data, 2, batch_pairs=2).corpus_sizes() == [0, 3, 0, 0, 2]


@pytest.mark.parametrize("bad", [-1, 97])
def test_take_refuses_numbers_outside(tmp_path: Path, bad: int) -> None:
    shards = write(tmp_path / "s", rows(97), 11)
    with pytest.raises(IndexError, match="0 to 96"):
        shards.take([3, bad])


def test_ids_stay_on_the_disk_and_cannot_be_written_to(tmp_path: Path) -> None:
    data = rows(97)
    shards = write(tmp_path / "s", data, 11)
    index = next(i for i, row in enumerate(data) if row[0])
    source, _ = shards.take([index])[0]
    assert not source.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        source[0] = 1


def test_no_pairs_at_all(tmp_path: Path) -> None:
    shards = write(tmp_path / "s", [], 11)
    assert len(shards) == 0
    assert [each.tolist() for each in shards.lengths()] == [[], []]
    assert shards.corpus_sizes() == []


def test_pickled_shards_are_the_same(tmp_path: Path) -> None:
    data = rows(31)
    twin = pickle.loads(pickle.dumps(write(tmp_path / "s", data, 11)))
    assert [s.tolist() for s, _ in twin.take(range(31))] == [row[0] for row in data]


def test_ragged_keep() -> None:
    kept = Ragged.of([[1, 2], [], [3], [4, 5, 6]]).keep(np.asarray([True, True, False, True]))
    assert kept.values.tolist() == [1, 2, 4, 5, 6]
    assert kept.lengths.tolist() == [2, 0, 3]


@pytest.mark.parametrize("damage", [b"", b"ARROW1\0\0 and no more"])
def test_damaged_files_are_told(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "train-00000.arrow").write_bytes(damage)
    with pytest.raises(DataError, match=r"train-00000\.arrow: the shard cannot be read"):
        ParallelShards([tmp_path / "train-00000.arrow"])


def test_cut_off_and_missing_files_are_told(tmp_path: Path) -> None:
    write(tmp_path / "s", rows(97), 11)
    path = tmp_path / "s/train-00000.arrow"
    path.write_bytes(path.read_bytes()[:-19])
    for bad in (path, tmp_path / "gone.arrow"):
        with pytest.raises(DataError, match=rf"{bad.name}: the shard cannot be read"):
            ParallelShards([bad])


def test_arrow_files_of_others_are_refused(tmp_path: Path) -> None:
    table = pa.table({"text": ["a"]})
    with pa.ipc.new_file(tmp_path / "x.arrow", table.schema) as file:
        file.write_table(table)
    with pytest.raises(DataError, match="is not a shard of training pairs"):
        ParallelShards([tmp_path / "x.arrow"])
