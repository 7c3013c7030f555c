"""No file brings the native engine down: what is damaged or made up is refused in words, or translated with."""

import os

import numpy as np
import pytest

from attento.decoding.config import SearchConfig
from attento.engines.native import NativeEngine
from attento.engines.packed.file import read_packed, write_packed
from attento.engines.packed.panels import Number, StoredTensor
from attento.errors import InputError, RunFolderError

attento_native = pytest.importorskip("attento_native", reason="the native engine is not installed: `make native`")
SEARCH = SearchConfig(beam_size=3, n_best=2, max_extra_length=2)
SOURCES = [[5, 11, 46, 7, 4], [23]]
FAMILIES = ["translation", "one_stack", "language"]
SETTINGS = {
    "translation": {"positions": "relative", "norm": "pre"},
    "one_stack": {"positions": "learned", "max_positions": 11},
    "language": {"positions": "learned", "max_positions": 11},
}


@pytest.fixture(params=FAMILIES)
def small(request, packed):
    """A file of one layer."""
    depth = {"encoder_layers": 1, "decoder_layers": 1} if request.param == "translation" else {"layers": 1}
    return packed(*request.getfixturevalue(request.param)(**depth, **SETTINGS[request.param]))


def load(path):
    return NativeEngine.load(path, threads=1)


def use(path):
    """Load a file and compute with it; return what it gives."""
    engine = load(path)
    found = []
    for ask in (lambda: engine.logits([], [5, 11]).tolist(), lambda: engine.translate(SOURCES, SEARCH)):
        try:
            found.append(ask())
        except InputError as problem:
            found.append(str(problem))
    return found


def test_what_is_cut_off_is_refused(small, tmp_path):
    data = small.read_bytes()
    short = tmp_path / "short.attento"
    lengths = [*range(0, 60, 7), *np.random.default_rng(3).integers(60, len(data), 100), len(data) - 1]
    for length in lengths:
        short.write_bytes(data[:length])
        with pytest.raises(RunFolderError, match=rf"{short}: .*`attento export RUN --format native`"):
            load(short)
    short.write_bytes(data + b"\0")
    with pytest.raises(RunFolderError, match="cut off or damaged"):
        load(short)


def test_a_flipped_bit_is_found_or_changes_nothing(small, tmp_path):
    expected = use(small)
    draw = np.random.default_rng(5)
    data = np.fromfile(small, np.uint8)
    # Half of them in the header and the records, where they do most harm.
    places = [*draw.integers(0, 4000, 150), *draw.integers(0, data.size, 150)]
    flipped, refused = tmp_path / "flipped.attento", 0
    for place in places:
        changed = data.copy()
        changed[place] ^= 1 << draw.integers(8)
        changed.tofile(flipped)
        try:
            assert use(flipped) == expected
        except RunFolderError:
            refused += 1
    # The rest stands between two tensors.
    assert refused > 250


def test_no_setting_is_taken_on_trust(small, tmp_path):
    model, made_up = read_packed(small), tmp_path / "made_up.attento"
    for name, right in model.settings.items():
        for value in (-1, 0, 1, 2, 3, 7, 0.5, right + 1, right + 8, 4096, 2**24, 2**31, 2**32 + 8, 1e300, -1e300):
            write_packed(made_up, dict(model.settings) | {name: value}, model.tensors)
            try:
                use(made_up)
            except RunFolderError as problem:
                assert str(made_up) in str(problem) or "not numbers" in str(problem)
        write_packed(made_up, {each: value for each, value in model.settings.items() if each != name}, model.tensors)
        # What the engine does not need may be missing.
        if name not in ("pad_id", "unk_id", "relative_buckets", "relative_max_distance"):
            with pytest.raises(RunFolderError, match=rf"the setting `{name}` is missing"):
                use(made_up)


def test_learned_positions_are_as_many_as_there_are_places(packed, one_stack, tmp_path):
    model, made_up = read_packed(packed(*one_stack(positions="learned", max_positions=11))), tmp_path / "m.attento"
    # The table is as long as both limits together.
    for limits in ((0, 22), (22, 0)):
        some = dict(zip(("max_source_length", "max_target_length"), limits, strict=True))
        write_packed(made_up, dict(model.settings) | some, model.tensors)
        with pytest.raises(RunFolderError, match="has no limit"):
            load(made_up)


def changes(tensor):
    """Make other tensors of one, whose bytes are all there."""
    bare = tensor.data.reshape(-1)
    yield StoredTensor(Number.BYTES, (bare.nbytes,), bare.view(np.uint8))
    if tensor.data.ndim == len(tensor.shape):
        yield StoredTensor(tensor.number, (len(bare), 1), bare.reshape(-1, 1))
        if len(bare) > 1:
            yield StoredTensor(tensor.number, (len(bare) - 1,), bare[:-1])
    elif len(set(tensor.shape)) > 1:
        # Panels hold so many: the turned matrix has as many bytes only by chance.
        yield StoredTensor(tensor.number, tensor.shape[::-1], tensor.data)


def test_no_tensor_is_taken_on_trust(small, tmp_path):
    model, made_up = read_packed(small), tmp_path / "made_up.attento"
    for name, tensor in model.tensors.items():
        others = {each: kept for each, kept in model.tensors.items() if each != name}
        write_packed(made_up, model.settings, others)
        # Not every matrix has a bias; without `output` the embedding serves.
        if name == "output.weight" or (name.endswith(".bias") and "norm" not in name):
            use(made_up)
        else:
            with pytest.raises(RunFolderError, match=r"missing|differ in size"):
                load(made_up)
        for other in changes(tensor):
            write_packed(made_up, model.settings, {**others, name: other})
            with pytest.raises(RunFolderError, match=name.rpartition(".")[0] or name):
                load(made_up)


def test_records_with_a_right_checksum_are_not_trusted(small, tmp_path):
    """Numbers of the records are changed and the checksum with them, as whoever means harm would do."""
    model, made_up = read_packed(small), tmp_path / "made_up.attento"
    data, draw = np.fromfile(small, np.uint8), np.random.default_rng(7)
    tensors_at = 40 + 48 * len(model.settings)
    end = tensors_at + 128 * len(model.tensors)
    # number, rank, shape, offset, bytes
    fields = [(72, "<u4"), (76, "<u4"), *((80 + 8 * axis, "<u8") for axis in range(5))]
    values = [0, 1, 2, 3, 5, 6, 40, 63, 64, 128, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 64, 2**64 - 1]
    for _ in range(400):
        changed = data.copy()
        for _ in range(draw.integers(1, 3)):
            start, kind = fields[draw.integers(len(fields))]
            place = tensors_at + 128 * draw.integers(len(model.tensors)) + start
            size = np.dtype(kind).itemsize
            value = values[draw.integers(len(values))] % 2 ** (8 * size)
            changed[place : place + size] = np.array([value], kind).view(np.uint8)
        words = changed[40:end].view("<u8")
        odd = np.arange(words.size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        changed[32:40] = np.array([(words * odd).sum(dtype=np.uint64)], "<u8").view(np.uint8)
        changed.tofile(made_up)
        try:
            use(made_up)
        except RunFolderError as problem:
            assert "checksum of its records" not in str(problem)


def test_what_a_newer_version_made_is_told(small, tmp_path):
    future = tmp_path / "future.attento"
    data = bytearray(small.read_bytes())
    data[8] = 2
    future.write_bytes(data)
    with pytest.raises(RunFolderError, match="made by a newer version: it is of format 2"):
        load(future)


def test_what_is_no_model_file_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match=r"none\.attento: .*No such file"):
        load(tmp_path / "none.attento")
    with pytest.raises(RunFolderError, match="is no file"):
        load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RunFolderError, match="is no file"):
        load(tmp_path / "pipe")
    for content in (b"", b"ATTENTO\n", bytes(5000), b"Attention is all you need. " * 99):
        (tmp_path / "text").write_bytes(content)
        with pytest.raises(RunFolderError, match="is no model file"):
            load(tmp_path / "text")


def test_the_texts_inside_are_read_out(small, tmp_path):
    model, path = read_packed(small), tmp_path / "with.attento"
    text = np.frombuffer(b"seed: 1\n", np.uint8)
    write_packed(path, model.settings, dict(model.tensors) | {"file:x": StoredTensor(Number.BYTES, (8,), text)})
    engine = attento_native.Engine(str(path))
    assert engine.file("x") == b"seed: 1\n"
    assert engine.bytes == path.stat().st_size
    with pytest.raises(attento_native.FileError, match="missing"):
        engine.file("y")
