"""Linear maps of integers: exact sums, and numbers no further off than half a step."""

import numpy as np
import pytest

from attento.engines.packed.panels import Number
from attento.engines.reference.linear import Linear, bfloat16, quantize_rows


def test_a_row_is_its_integers_times_its_scale():
    x = np.random.default_rng(1).normal(size=(5, 3, 31)).astype(np.float32)
    x[2, 1] = 0
    integers, scales = quantize_rows(x)
    assert integers.shape == x.shape
    assert scales.shape == (5, 3, 1)
    assert np.array_equal(integers, np.rint(integers))
    largest = np.abs(integers).max(axis=-1)
    assert largest[2, 1] == 0
    assert (np.delete(largest, 7) == 127).all()
    assert (np.abs(integers * scales - x) <= scales * 0.5001).all()


# More inputs than float32 can sum products of integers exactly for.
@pytest.mark.parametrize("inputs", [7, 1024, 2503])
def test_integers_are_summed_exactly(inputs):
    draw = np.random.default_rng(inputs)
    weight, x = draw.integers(100, 128, (11, inputs)), draw.integers(100, 128, (3, inputs))
    # The scale of a row is 1.
    x[:, 0] = 127
    scales, bias = np.full(11, 2, dtype=np.float32), np.full(11, 0.5, dtype=np.float32)
    found = Linear(Number.INT8, weight.astype(np.float32), scales, bias)(x.astype(np.float32))
    expected = ((x @ weight.T).astype(np.float32) * np.float32(2) + np.float32(0.5)).astype(np.float32)
    assert np.array_equal(found, expected)


def test_the_vector_of_an_output_is_its_row():
    integers = np.arange(15, dtype=np.float32).reshape(5, 3)
    scales = np.array([1, 2, 3, 5, 7], dtype=np.float32)
    ids = np.array([[4, 0], [2, 2]])
    found = Linear(Number.INT8, integers, scales, None).rows(ids)
    assert np.array_equal(found, (integers * scales[:, None])[ids])


def test_half_numbers_are_the_nearest():
    # Eight bits of a significand: between 1 and 2 they are 1/128 apart; in the middle the even one is taken.
    given = np.array([1.0, 1 + 0.4 / 128, 1 + 0.6 / 128, 1 + 0.5 / 128, 1 + 1.5 / 128, -3.0], dtype=np.float32)
    expected = np.array([1.0, 1.0, 1 + 1 / 128, 1.0, 1 + 2 / 128, -3.0], dtype=np.float32)
    assert np.array_equal(bfloat16(given), expected)
