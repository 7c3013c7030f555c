"""Growth of known powers, and bytes that can be counted by hand."""

import pytest
import torch
from torch import Tensor, nn

from attento.evaluation.growth import exponent, kept_for_backward


def test_the_exponent_of_a_power() -> None:
    lengths = (2, 3, 7, 19)
    for power in (0.0, 1.0, 2.5):
        assert exponent(lengths, [3 * n**power for n in lengths]) == pytest.approx(power, abs=1e-9)


def test_kept_bytes_are_those_of_the_tensors_that_the_gradient_needs() -> None:
    layer = nn.Linear(5, 7)
    inputs = torch.randn(3, 5)

    def forward() -> Tensor:
        return layer(inputs).tanh().exp()

    # The input of the product, and the results of tanh and exp; the weight is no activation.
    assert kept_for_backward(layer, forward) == 4 * (3 * 5 + 3 * 7 + 3 * 7)

    def twice() -> Tensor:
        hidden = layer(inputs).exp()
        return hidden * hidden

    # One tensor, though two operations keep it.
    assert kept_for_backward(layer, twice) == 4 * (3 * 5 + 3 * 7)
