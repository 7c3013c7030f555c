"""The model file: what is written comes back, the bytes are those of the definition, and nothing else is taken."""

import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attento.engines.packed.file import checksum, read_packed, write_packed
from attento.engines.packed.panels import Number, StoredTensor, pack_matrix, store
from attento.errors import RunFolderError

SETTINGS = {"d_model": 13, "norm_epsilon": 1e-5, "large": 2.0**40}
HEADER, SETTING, TENSOR = "<8sIIIIQQ", "<40sd", "<72sII3QQQQ"


def make_tensors():
    generator = np.random.default_rng(5)
    weight, bias = (generator.standard_normal(shape).astype(np.float32) for shape in ((37, 13), 37))
    return {
        **pack_matrix("embedding", weight, "int8", bias),
        **pack_matrix("inner", weight, "bf16", None),
        "norm.gain": store(weight[0]),
        "positions": store(weight[:5]),
        "angles": store(weight[0].astype(np.float64)),
        "file:config.yaml": store(np.frombuffer(b"model: {}\n", np.uint8)),
        "file:empty": store(np.frombuffer(b"", np.uint8)),
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "model.attento"
    write_packed(path, SETTINGS, make_tensors())
    return path.read_bytes()


@pytest.fixture
def opened(tmp_path):
    """Read some bytes as a model file."""

    def read(data):
        (tmp_path / "model.attento").write_bytes(data)
        return read_packed(tmp_path / "model.attento")

    return read


def slow_checksum(data):
    data += bytes(-len(data) % 8)
    words = struct.unpack(f"<{len(data) // 8}Q", data)
    return sum(word * (2 * i + 1) for i, word in enumerate(words)) % 2**64


def parse(data):
    """Return header, settings, tensors and the contents of each, as lists that can be spoiled."""
    header = list(struct.unpack_from(HEADER, data))
    at, settings, tensors, contents = 40, [], [], []
    for _ in range(header[2]):
        settings.append(list(struct.unpack_from(SETTING, data, at)))
        at += 48
    for _ in range(header[3]):
        tensors.append(list(struct.unpack_from(TENSOR, data, at)))
        contents.append(data[tensors[-1][6] : tensors[-1][6] + tensors[-1][7]])
        at += 128
    return header, settings, tensors, contents


def join(data, header, settings, tensors):
    """Put spoiled records before the data, with a checksum that is right."""
    records = b"".join(struct.pack(SETTING, *each) for each in settings)
    records += b"".join(struct.pack(TENSOR, *each) for each in tensors)
    header[6] = slow_checksum(records)
    return struct.pack(HEADER, *header) + records + data[40 + len(records) :]


def test_what_is_written_comes_back(whole, opened):
    found, written = opened(whole), make_tensors()
    assert found.settings == SETTINGS
    assert list(found.tensors) == list(written)
    for name, tensor in written.items():
        assert (found.tensors[name].number, found.tensors[name].shape) == (tensor.number, tensor.shape)
        np.testing.assert_array_equal(found.tensors[name].data, tensor.data)
    matrix = found.matrix("embedding", 37, 13)
    np.testing.assert_array_equal(matrix.panels, written["embedding.weight"].data)
    np.testing.assert_array_equal(matrix.scales, written["embedding.scales"].data[:37])
    np.testing.assert_array_equal(matrix.sums, matrix.integers.sum(axis=1))
    np.testing.assert_array_equal(matrix.bias, written["embedding.bias"].data[:37])
    inner = found.matrix("inner")
    assert (inner.number, inner.outputs, inner.inputs) == (Number.BF16, 37, 13)
    assert (inner.scales, inner.sums, inner.bias) == (None, None, None)
    np.testing.assert_array_equal(found.floats("positions", (5, 13)), written["positions"].data)
    np.testing.assert_array_equal(found.doubles("angles", (13,)), written["angles"].data)
    assert found.file("config.yaml") == b"model: {}\n"
    assert found.file("empty") == b""
    assert found.files == ["config.yaml", "empty"]
    assert found.has_matrix("inner")
    assert not found.has_matrix("norm")
    assert (found.has("norm.gain"), found.has("norm")) == (True, False)
    assert (found.whole("d_model", 13, 13), found.real("norm_epsilon")) == (13, 1e-5)


def test_the_bytes_are_those_of_the_definition(whole):
    header, settings, tensors, contents = parse(whole)
    written = make_tensors()
    end = 40 + 48 * len(SETTINGS) + 128 * len(written)
    assert header == [b"ATTENTO\n", 1, len(SETTINGS), len(written), 0, len(whole), slow_checksum(whole[40:end])]
    assert settings == [[name.encode().ljust(40, b"\0"), value] for name, value in SETTINGS.items()]
    for (name, tensor), found, content in zip(written.items(), tensors, contents, strict=True):
        offset = end + -end % 64
        shape = [*tensor.shape, 0, 0][:3]
        expected = [
            name.encode().ljust(72, b"\0"),
            tensor.number,
            len(tensor.shape),
            *shape,
            offset,
            tensor.data.nbytes,
        ]
        assert found == [*expected, slow_checksum(content)]
        assert content == tensor.data.tobytes()
        assert not any(whole[end:offset])
        end = offset + tensor.data.nbytes
    assert end == len(whole)


def test_a_file_without_anything_is_a_file(tmp_path):
    write_packed(tmp_path / "model.attento", {}, {})
    found = read_packed(tmp_path / "model.attento")
    assert (found.settings, found.tensors) == ({}, {})


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 8 * 32767, 8 * 32768 + 5, 8 * 65536 + 8])
def test_checksums_are_the_sum_of_the_definition(size):
    data = np.random.default_rng(3).integers(0, 256, size, np.uint8)
    assert checksum(data) == slow_checksum(data.tobytes())


def test_one_open_file_can_be_replaced(tmp_path):
    path, other = tmp_path / "model.attento", tmp_path / "other"
    write_packed(path, {"a": 1}, {"x": store(np.float32([1, 2]))})
    found = read_packed(path)
    write_packed(other, {"a": 2}, {"x": store(np.float32([3]))})
    other.replace(path)
    assert found.floats("x").tolist() == [1, 2]
    assert read_packed(path).floats("x").tolist() == [3]


def test_nothing_can_be_written_into_the_file(whole, opened):
    with pytest.raises(ValueError, match="read-only"):
        opened(whole).floats("norm.gain")[0] = 1


def refused(opened, data, words):
    with pytest.raises(RunFolderError, match=words) as told:
        opened(data)
    assert "model.attento: " in str(told.value)
    assert str(told.value).endswith("; export it again with `attento export RUN --format native`")


@pytest.mark.parametrize("kept", [0, 1, 39])
def test_a_file_that_is_no_header_is_refused(kept, whole, opened):
    refused(opened, whole[:kept], "too short|cannot be read")


@pytest.mark.parametrize("kept", [40, 300, -1])
def test_a_file_that_is_cut_off_is_refused(kept, whole, opened):
    refused(opened, whole[:kept], r"has \d+ bytes, but must have \d+: it is cut off or damaged")


def test_more_than_the_file_is_refused(whole, opened):
    refused(opened, whole + b"\0", "but must have")


def test_what_is_no_model_file_is_refused(whole, opened, tmp_path):
    refused(opened, b"PK" + whole[2:], "is no model file")
    refused(opened, bytes(1000), "is no model file")
    with pytest.raises(RunFolderError, match="no such file"):
        read_packed(tmp_path / "none")
    with pytest.raises(RunFolderError, match="no such file"):
        read_packed(tmp_path)


def test_a_newer_file_is_refused(whole, opened):
    newer = whole[:8] + struct.pack("<I", 2) + whole[12:]
    refused(opened, newer, "was made by a newer version: it is of format 2, but only 1 can be read; update attento")
    refused(opened, whole[:8] + bytes(4) + whole[12:], "its header is wrong")


def test_one_wrong_byte_anywhere_is_refused(whole, opened):
    """But for the zeros that only fill up: they are nobody's."""
    _, settings, tensors, _ = parse(whole)
    used = list(range(40 + 48 * len(settings) + 128 * len(tensors)))
    for tensor in tensors:
        used += range(tensor[6], tensor[6] + tensor[7])
    assert set(used) < set(range(len(whole)))
    for place in [*range(0, 40), *used[40::7]]:
        spoiled = bytearray(whole)
        spoiled[place] ^= 0x40
        with pytest.raises(RunFolderError):
            opened(bytes(spoiled))


# Which number of a tensor's record, what it becomes, and what is told.
NAME, NUMBER, RANK, ROWS, COLUMNS, DEEP, OFFSET, BYTES, CHECKSUM = range(9)
SPOILED = {
    "unknown numbers": ("positions", NUMBER, 6, "unknown kind of numbers, 6"),
    "other numbers": ("positions", NUMBER, Number.F64, "which is not what its shape"),
    "no axes": ("positions", RANK, 0, "has 0 axes"),
    "four axes": ("positions", RANK, 4, "has 4 axes"),
    "an axis less": ("positions", RANK, 1, "which is not what its shape"),
    "no rows": ("positions", ROWS, 0, "every size must be from 1"),
    "many rows": ("positions", ROWS, 2**31, "every size must be from 1 to 2147483647"),
    "most rows": ("positions", ROWS, 2**64 - 1, "every size must be"),
    "another row": ("positions", ROWS, 6, "which is not what its shape"),
    "an axis that is not there": ("positions", DEEP, 1, "which is not what its shape"),
    "a huge matrix": ("inner.weight", ROWS, 2**31 - 1, "which is not what its shape"),
    "a matrix of f64": ("inner.weight", NUMBER, Number.F64, "is no matrix"),
    "a matrix of one axis": ("inner.weight", RANK, 1, "is no matrix"),
    "between the steps": ("positions", OFFSET, 5000 // 64 * 64 + 8, "does not stand where it can"),
    "in the records": ("norm.gain", OFFSET, 64, "does not stand where it can"),
    "behind the end": ("norm.gain", OFFSET, 2**20, "does not stand where it can"),
    "far behind the end": ("norm.gain", OFFSET, 2**64 - 64, "does not stand where it can"),
    "fewer bytes": ("norm.gain", BYTES, 8, "has 8 bytes, which is not what"),
    "more bytes than there are": ("norm.gain", BYTES, 2**63, "larger than the file"),
    "another place": ("norm.gain", OFFSET, 1536, "the checksum of `norm.gain` is wrong"),
    "another checksum": ("norm.gain", CHECKSUM, 3, "the checksum of `norm.gain` is wrong"),
    "no name": ("norm.gain", NAME, b"", "is no name"),
    "a name with a blank": ("norm.gain", NAME, b"norm gain", "is no name"),
    "a name with a hole": ("norm.gain", NAME, b"norm\0gain", "is no name"),
    "a name without an end": ("norm.gain", NAME, b"x" * 72, "is no name"),
    "a name of another alphabet": ("norm.gain", NAME, "größe".encode(), "is no name"),
    "a name that is taken": ("norm.gain", NAME, b"positions", "it has `positions` twice"),
    "a file elsewhere": ("file:empty", NAME, b"file:../empty", "no plain name of a file"),
    "a hidden file": ("file:empty", NAME, b"file:.empty", "no plain name of a file"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_tensor_is_refused(case, whole, opened):
    name, field, value, words = SPOILED[case]
    header, settings, tensors, _ = parse(whole)
    (record,) = (each for each in tensors if each[NAME].rstrip(b"\0") == name.encode())
    record[field] = value
    refused(opened, join(whole, header, settings, tensors), words)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (1, float("nan"), "the setting `norm_epsilon` is no number"),
        (1, float("inf"), "the setting `norm_epsilon` is no number"),
        (0, b"", "is no name"),
        (0, b"y" * 40, "is no name"),
        (0, b"d_model", "it has `d_model` twice"),
    ],
)
def test_a_spoiled_setting_is_refused(field, value, words, whole, opened):
    header, settings, tensors, _ = parse(whole)
    settings[1][field] = value
    refused(opened, join(whole, header, settings, tensors), words)


@pytest.mark.parametrize(("field", "value"), [(2, 2**32 - 1), (3, 2**32 - 1), (4, 1)])
def test_a_spoiled_header_is_refused(field, value, whole, opened):
    header, settings, tensors, _ = parse(whole)
    header[field] = value
    refused(opened, join(whole, header, settings, tensors), "its header is wrong")


def test_tensors_that_share_their_data_are_refused(whole, opened):
    header, settings, tensors, _ = parse(whole)
    (big,) = (each for each in tensors if each[NAME].rstrip(b"\0") == b"inner.weight")
    for number, each in enumerate(tensors):
        each[1:] = big[1:]
        each[NAME] = f"matrix.{number}.weight".encode()
    refused(opened, join(whole, header, settings, tensors), "its tensors are larger than the file")


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_numbers_that_are_none_are_refused(value, kind, tmp_path):
    write_packed(tmp_path / "model.attento", {}, {"x": store(np.array([1, value], kind))})
    with pytest.raises(RunFolderError, match="`x` holds what is no number"):
        read_packed(tmp_path / "model.attento")


def test_what_is_asked_for_must_be_there(whole, opened):
    found = opened(whole)
    for ask, words in (
        (lambda: found.real("d_ff"), "the setting `d_ff` is missing"),
        (lambda: found.whole("norm_epsilon", 0, 1), "`norm_epsilon` is 1e-05, but must be a whole number from 0 to 1"),
        (lambda: found.whole("d_model", 14, 20), "`d_model` is 13, but must be a whole number from 14 to 20"),
        (lambda: found.floats("nothing"), "`nothing` is missing"),
        (lambda: found.floats("angles"), "`angles` holds f64, but must hold f32"),
        (lambda: found.doubles("norm.gain"), "`norm.gain` holds f32, but must hold f64"),
        (lambda: found.floats("positions", (13, 5)), r"`positions` has shape \(5, 13\), but must have \(13, 5\)"),
        (lambda: found.matrix("positions"), "`positions.weight` is missing"),
        (lambda: found.matrix("inner", 13, 37), r"`inner.weight` has shape \(37, 13\), but must have \(13, 37\)"),
        (lambda: found.file("tokenizer.model"), "`file:tokenizer.model` is missing"),
    ):
        with pytest.raises(RunFolderError, match=words):
            ask()


@pytest.mark.parametrize("part", ["scales", "sums"])
def test_a_matrix_of_integers_without_its_parts_is_refused(part, tmp_path):
    tensors = pack_matrix("map", np.ones((3, 2), np.float32), "int8", None)
    removed = tensors.pop(f"map.{part}")
    write_packed(tmp_path / "model.attento", {}, tensors)
    with pytest.raises(RunFolderError, match=rf"`map.{part}` is missing"):
        read_packed(tmp_path / "model.attento").matrix("map")
    short = StoredTensor(removed.number, (3,), removed.data[:3])
    write_packed(tmp_path / "model.attento", {}, tensors | {f"map.{part}": short})
    with pytest.raises(RunFolderError, match=rf"`map.{part}` has shape \(3,\), but must have \(32,\)"):
        read_packed(tmp_path / "model.attento").matrix("map")


@given(st.data())
def test_whatever_stands_in_the_records_is_read_or_refused(whole, tmp_path_factory, data):
    header, settings, tensors, _ = parse(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        record = data.draw(st.sampled_from(tensors))
        field = data.draw(st.integers(NUMBER, CHECKSUM))
        most = 2**32 - 1 if field in (NUMBER, RANK) else 2**64 - 1
        edges = [0, 1, 3, 4, 5, 37, 64, 128, len(whole), 2**31, most]
        record[field] = data.draw(st.sampled_from(edges) | st.integers(0, most))
    path = tmp_path_factory.getbasetemp() / "fuzzed.attento"
    path.write_bytes(join(whole, header, settings, tensors))
    try:
        found = read_packed(path)
    except RunFolderError:
        return
    for tensor in found.tensors.values():
        assert tensor.data.nbytes <= len(whole)
        checksum(tensor.data.reshape(-1).view(np.uint8))


@given(st.binary(max_size=400), st.booleans())
def test_whatever_bytes_are_refused(whole, tmp_path_factory, noise, begins_well):
    path = tmp_path_factory.getbasetemp() / "noise.attento"
    path.write_bytes((whole[:40] if begins_well else b"") + noise)
    with pytest.raises(RunFolderError):
        read_packed(path)


def test_torch_is_not_needed():
    code = "import sys, attento.engines.packed.file; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
