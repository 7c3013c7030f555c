"""The length penalty of Wu et al. 2016, eq. 14."""

import pytest

from attento.decoding.penalties import gnmt_length_penalty


@pytest.mark.parametrize(
    "length, alpha, expected",
    [
        (1, 0.6, 1.0),
        (1, 0.0, 1.0),
        (29, 0.0, 1.0),
        (7, 1.0, 2.0),
        (19, 0.5, 2.0),
        (13, 2.0, 9.0),
    ],
)
def test_is_the_printed_formula(length, alpha, expected):
    assert gnmt_length_penalty(length, alpha) == pytest.approx(expected)
