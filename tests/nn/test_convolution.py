"""Convolutions against the formula in plain loops, and what each output may see."""

import pytest
import torch
from torch import Tensor

from attento.nn.convolution import CausalConvolution, SourceConvolution, draw_linear

# Rows, length, width in, width out.
B, L, D, E = 3, 11, 5, 7

every_kernel = pytest.mark.parametrize(("width", "dilation"), [(1, 1), (1, 4), (2, 1), (2, 3), (3, 2), (4, 1), (3, 13)])


def convolve(hidden: Tensor, weight: Tensor, bias: Tensor, offsets: list[int]) -> Tensor:
    """Sum one product for each row, place, output, offset and input; beyond the ends stand zeros."""
    outputs = torch.zeros(hidden.size(0), hidden.size(1), weight.size(0), dtype=torch.float64)
    for b, row in enumerate(hidden.tolist()):
        for t in range(len(row)):
            for o, kernel in enumerate(weight.tolist()):
                total = bias[o].item()
                for k, offset in enumerate(offsets):
                    if 0 <= t + offset < len(row):
                        total += sum(kernel[k * D + i] * row[t + offset][i] for i in range(D))
                outputs[b, t, o] = total
    return outputs


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def with_bias(convolution: CausalConvolution | SourceConvolution) -> tuple[Tensor, Tensor]:
    torch.nn.init.normal_(convolution.linear.bias)
    return convolution.linear.weight.detach(), convolution.linear.bias.detach()


@every_kernel
def test_a_causal_convolution_is_its_formula(width: int, dilation: int) -> None:
    convolution, hidden = CausalConvolution(D, E, width, dilation).double(), draw(B, L, D)
    weight, bias = with_bias(convolution)
    outputs, window = convolution(hidden, convolution.start(B))
    expected = convolve(hidden, weight, bias, [(k - width + 1) * dilation for k in range(width)])
    torch.testing.assert_close(outputs, expected, rtol=1e-12, atol=1e-12)
    before = torch.zeros(B, (width - 1) * dilation, D, dtype=torch.float64)
    assert torch.equal(window, torch.cat((before, hidden), dim=1)[:, L:])


@every_kernel
@pytest.mark.parametrize("pieces", [[1] * 11, [2, 6, 3], [10, 1]], ids=str)
def test_a_causal_convolution_goes_on_where_it_stopped(pieces: list[int], width: int, dilation: int) -> None:
    convolution, hidden = CausalConvolution(D, E, width, dilation).double(), draw(B, L, D)
    expected, last = convolution(hidden, convolution.start(B))
    outputs, window = [], convolution.start(B)
    for piece in hidden.split(pieces, dim=1):
        output, window = convolution(piece, window)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, dim=1), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(window, last)


@every_kernel
def test_a_source_convolution_is_its_formula(width: int, dilation: int) -> None:
    convolution, hidden = SourceConvolution(D, E, width, dilation).double(), draw(B, L, D)
    weight, bias = with_bias(convolution)
    left = (width - 1) * dilation // 2
    mask = torch.arange(L) < torch.tensor([[L], [4], [1]])
    expected = convolve(hidden * mask[..., None], weight, bias, [k * dilation - left for k in range(width)])
    torch.testing.assert_close(convolution(hidden, mask), expected, rtol=1e-12, atol=1e-12)


@every_kernel
def test_padding_is_not_seen_even_where_it_is_no_number(width: int, dilation: int) -> None:
    convolution, hidden = SourceConvolution(D, E, width, dilation).double(), draw(B, L, D)
    padded = torch.cat((hidden, torch.full((B, 2, D), torch.nan)), dim=1)
    mask = torch.ones(B, L, dtype=torch.bool)
    outputs = convolution(padded, torch.nn.functional.pad(mask, (0, 2)))
    torch.testing.assert_close(outputs[:, :L], convolution(hidden, mask), rtol=1e-12, atol=1e-12)


def test_torch_convolves_alike() -> None:
    convolution, hidden = CausalConvolution(D, E, 3, 2).double(), draw(B, L, D)
    weight, bias = with_bias(convolution)
    outputs, _ = convolution(hidden, convolution.start(B))
    kernel = weight.unflatten(1, (3, D)).transpose(1, 2)
    padded = torch.nn.functional.pad(hidden.transpose(1, 2), (4, 0))
    expected = torch.nn.functional.conv1d(padded, kernel, bias, dilation=2).transpose(1, 2)
    torch.testing.assert_close(outputs, expected, rtol=1e-12, atol=1e-12)


def test_a_window_has_the_format_of_the_weights() -> None:
    window = CausalConvolution(D, E, 3, 2).bfloat16().start(B)
    assert (window.shape, window.dtype) == ((B, 4, D), torch.bfloat16)


@pytest.mark.parametrize("variance", [1.0, 3.6])
def test_weights_start_with_a_variance_over_the_inputs(variance: float) -> None:
    linear = torch.nn.Linear(211, 307)
    draw_linear(linear, variance)
    assert linear.weight.var().item() == pytest.approx(variance / 211, rel=0.03)
    assert linear.weight.mean().abs() < 4 * (variance / 211 / linear.weight.numel()) ** 0.5
    assert (linear.bias == 0).all()


def test_a_gated_linear_unit_keeps_the_variance_as_its_kernel_is_drawn() -> None:
    """Gehring et al. 2017, appendix A: four times the weights' variance makes up for the gate."""
    convolution = SourceConvolution(199, 2 * 199, 3, variance=4).double()
    gated = torch.nn.functional.glu(convolution(draw(17, 29, 199) * 0.1, torch.ones(17, 29, dtype=torch.bool)))
    assert gated[:, 1:-1].var().item() == pytest.approx(0.01, rel=0.1)
