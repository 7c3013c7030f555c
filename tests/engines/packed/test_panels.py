"""Matrices in panels: every number where the definition has it, and as near to the weights as its kind allows."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from attento.engines.packed.panels import (
    GROUPS,
    PANEL,
    Number,
    PackedMatrix,
    pack_matrix,
    pack_panels,
    panels_shape,
    quantize,
    round_bf16,
    store,
    unpack_panels,
    widen_bf16,
)

# Below, at and above what one panel and one group have.
SIZES = [(1, 1), (3, 2), (31, 5), (32, 4), (37, 13), (67, 7), (64, 8)]


def draw(outputs, inputs, scale=1.0):
    return (scale * np.random.standard_normal((outputs, inputs))).astype(np.float32)


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize(("outputs", "inputs"), SIZES)
def test_panels_are_what_loops_make(outputs, inputs, group):
    numbers = np.arange(1, outputs * inputs + 1).reshape(outputs, inputs)
    panels = -(-outputs // PANEL), -(-inputs // group)
    expected = np.zeros((*panels, PANEL, group), numbers.dtype)
    for output in range(outputs):
        for input_ in range(inputs):
            place = output // PANEL, input_ // group, output % PANEL, input_ % group
            expected[place] = numbers[output, input_]
    found = pack_panels(numbers, group)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(unpack_panels(found, outputs, inputs), numbers)


def test_integers_are_the_nearest_and_within_half_a_step():
    weight = draw(11, 17)
    weight[3] = 0
    weight[5] *= 1e-20
    weight[7, 2] = -50  # one large weight makes the steps of its row alone large
    integers, scales = quantize(weight)
    assert integers.dtype == np.int8
    assert (np.abs(integers.astype(int)).max(axis=1) == np.where(np.arange(11) == 3, 0, 127)).all()
    for row in range(11):
        if row == 3:
            assert scales[row] == 0
            assert not integers[row].any()
            continue
        assert scales[row] == np.float32(np.abs(weight[row]).max()) / np.float32(127)
        for value, integer in zip(weight[row].tolist(), integers[row].tolist(), strict=True):
            # Exact arithmetic; the greatest weight may stand a rounding of the scale above 127 steps.
            steps = Fraction(value) / Fraction(float(scales[row]))
            assert abs(steps - integer) <= Fraction(1, 2) + Fraction(1, 2**16)


def test_a_weight_that_is_almost_nothing_has_integers_all_the_same():
    least = np.float32(1e-45)
    integers, scales = quantize(np.array([[least, -least], [200 * least, 50 * least]], np.float32))
    assert scales[0] == 0
    assert integers[0].tolist() == [0, 0]
    assert scales[1] > 0
    assert np.abs(integers[1].astype(int)).max() <= 127


def test_bfloat16_is_torchs():
    values = np.concatenate((draw(7, 1009, 1e-3).ravel(), draw(3, 5, 1e30).ravel(), np.float32([0, -0.0, 1, 1e-45])))
    # Halfway between two, to the even one, up and down.
    ties = np.array([0x3F808000, 0x3F818000, 0xBF828000, 0xBF838000, 0x3F808001, 0x3F807FFF], np.uint32)
    values = np.concatenate((values, ties.view(np.float32)))
    expected = torch.from_numpy(values).bfloat16()
    np.testing.assert_array_equal(round_bf16(values), expected.view(torch.int16).numpy().view(np.uint16))
    np.testing.assert_array_equal(widen_bf16(round_bf16(values)), expected.float().numpy())


@pytest.mark.parametrize("compute_type", ["int8", "bf16", "fp32"])
@pytest.mark.parametrize(("outputs", "inputs"), SIZES)
def test_a_matrix_comes_back(compute_type, outputs, inputs):
    weight, bias = draw(outputs, inputs), draw(1, outputs)[0]
    stored = pack_matrix("part.map", weight, compute_type, bias)
    found = stored["part.map.weight"]
    padded = -(-outputs // PANEL) * PANEL
    assert found.shape == (outputs, inputs)
    assert found.data.shape == panels_shape(found.number, outputs, inputs)
    assert found.data.nbytes == padded * -(-inputs // GROUPS[found.number]) * GROUPS[found.number] * found.data.itemsize
    np.testing.assert_array_equal(stored["part.map.bias"].data, np.pad(bias, (0, padded - outputs)))
    scales = sums = None
    if compute_type == "int8":
        integers, scales = quantize(weight)
        sums = np.array([sum(row) for row in integers.tolist()], np.int32)
        np.testing.assert_array_equal(stored["part.map.scales"].data, np.pad(scales, (0, padded - outputs)))
        np.testing.assert_array_equal(stored["part.map.sums"].data, np.pad(sums, (0, padded - outputs)))
        expected = integers * scales[:, None]
    elif compute_type == "bf16":
        expected = torch.from_numpy(weight).bfloat16().float().numpy()
    else:
        expected = weight
    matrix = PackedMatrix(found.number, outputs, inputs, found.data, scales, sums, bias)
    assert matrix.dense().dtype == np.float32
    np.testing.assert_array_equal(matrix.dense(), expected)
    if compute_type == "int8":
        np.testing.assert_array_equal(matrix.integers, integers)


def test_no_bias_is_none_stored():
    assert set(pack_matrix("map", draw(3, 2), "bf16", None)) == {"map.weight"}
    assert set(pack_matrix("map", draw(3, 2), "int8", None)) == {"map.weight", "map.scales", "map.sums"}


@pytest.mark.parametrize(
    ("kind", "number"),
    [(np.float32, Number.F32), (np.float64, Number.F64), (np.int32, Number.I32), (np.uint8, Number.BYTES)],
)
def test_an_array_is_stored_as_it_is(kind, number):
    values = np.arange(6).reshape(2, 3).astype(kind).T  # not in the order of the file
    found = store(values)
    assert (found.number, found.shape) == (number, (3, 2))
    assert found.data.flags.c_contiguous
    np.testing.assert_array_equal(found.data, values)
