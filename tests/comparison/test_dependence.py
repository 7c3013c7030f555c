"""Chains and paths of hand-made computations whose numbers can be told by looking."""

import pytest
import torch
from torch import Tensor, nn

from attento.comparison.dependence import NO_PATH, longest_chain, shortest_paths


def leaf(rows: int, length: int, width: int = 3) -> Tensor:
    return torch.randn(rows, length, width, dtype=torch.float64, requires_grad=True)


def all_positions(outputs: Tensor, inputs: Tensor) -> list[list[int]]:
    """Lengths by output position (the row) and input position."""
    (found,) = shortest_paths(outputs, [inputs], torch.arange(len(inputs)))
    return [[int(each) for each in row] for row in found]


def elman(inputs: Tensor, backwards: bool = False) -> Tensor:
    """h(t) = tanh(x(t) + h(t-1) W): a product and a tanh each step, after a first tanh alone."""
    weight = torch.randn(inputs.size(-1), inputs.size(-1), dtype=torch.float64)
    columns = list(inputs.unbind(1))[:: -1 if backwards else 1]
    states = [columns[0].tanh()]
    for column in columns[1:]:
        states.append((column + states[-1] @ weight).tanh())
    return torch.stack(states[:: -1 if backwards else 1], dim=1)


def test_a_recurrence_takes_two_operations_a_step() -> None:
    inputs = leaf(5, 5)
    outputs = elman(inputs)
    assert longest_chain(outputs) == 1 + 2 * 4
    assert all_positions(outputs, inputs) == [
        [1 + 2 * (j - i) if i <= j else NO_PATH for i in range(5)] for j in range(5)
    ]


def test_a_recurrence_in_both_directions_joins_all_in_as_many_steps_as_lie_between() -> None:
    inputs = leaf(7, 7)
    outputs = torch.cat((elman(inputs), elman(inputs, backwards=True)), dim=-1)
    assert all_positions(outputs, inputs) == [[1 + 2 * abs(j - i) for i in range(7)] for j in range(7)]


@pytest.mark.parametrize(("width", "dilations"), [(3, (1, 1)), (2, (1, 2, 4)), (3, (1, 3))])
def test_convolutions_reach_by_layers(width: int, dilations: tuple[int, ...]) -> None:
    inputs = leaf(11, 11)
    hidden = inputs
    for dilation in dilations:
        weight = torch.randn(3, 3, width, dtype=torch.float64)
        padded = nn.functional.pad(hidden.transpose(1, 2), ((width - 1) * dilation, 0))
        hidden = hidden + nn.functional.conv1d(padded, weight, dilation=dilation).transpose(1, 2)
    # Distances reached by so many convolutions, by trying every choice of layers and taps.
    reached = {0: 0}
    for dilation in dilations:
        for distance, layers in list(reached.items()):
            for tap in range(width):
                far = distance + tap * dilation
                reached[far] = min(reached.get(far, 99), layers + (1 if tap else 0))
    # The residual road itself costs nothing.
    expected = [[reached.get(j - i, NO_PATH) for i in range(11)] for j in range(11)]
    assert all_positions(hidden, inputs) == expected
    assert longest_chain(hidden) == len(dilations)


def test_attention_joins_all_positions_by_the_same_few_operations_whatever_the_length() -> None:
    for length in (3, 13):
        inputs = leaf(length, length)
        weights = (inputs @ inputs.transpose(1, 2)).softmax(dim=-1)
        outputs = weights @ inputs
        # The shortest way is the values' own: one product. The longest is through the scores.
        assert all_positions(outputs, inputs) == [[1] * length] * length
        assert longest_chain(outputs) == 3


def test_a_mask_cuts_paths() -> None:
    inputs = leaf(5, 5)
    scores = (inputs @ inputs.transpose(1, 2)).masked_fill(~torch.ones(5, 5, dtype=torch.bool).tril(), -torch.inf)
    outputs = scores.softmax(dim=-1) @ inputs
    assert all_positions(outputs, inputs) == [[1 if i <= j else NO_PATH for i in range(5)] for j in range(5)]


def test_what_moves_or_adds_is_free() -> None:
    inputs = leaf(3, 5)
    outputs = torch.cat((inputs[:, 2:], inputs[:, :2]), dim=1).transpose(1, 2).contiguous().transpose(1, 2) + inputs
    assert longest_chain(outputs) == 0
    found = all_positions(outputs, inputs)
    assert found == [[0 if i in (j, (j + 2) % 5) else NO_PATH for i in range(5)] for j in range(3)]


def test_a_stretched_tensor_joins_what_it_is_stretched_over() -> None:
    inputs = leaf(7, 7)
    outputs = inputs.exp() * inputs.sum(dim=1, keepdim=True)
    # By the product alone to every other position; to its own the sum is as near.
    assert all_positions(outputs, inputs) == [[1] * 7] * 7
    assert longest_chain(outputs) == 2


def test_no_number_is_too_small_to_be_a_path() -> None:
    inputs = leaf(2, 2)
    hidden = inputs
    for _ in range(50):
        hidden = hidden * 1e-20
    (found,) = shortest_paths(hidden, [inputs], torch.tensor([1, 0]))
    assert found.tolist() == [[NO_PATH, 50], [50, NO_PATH]]


def test_a_unit_that_is_off_is_a_way_all_the_same() -> None:
    inputs = leaf(2, 2)
    outputs = (inputs.abs() - 100).relu()
    assert outputs.eq(0).all()
    assert all_positions(outputs, inputs) == [[2, NO_PATH], [NO_PATH, 2]]


def test_two_inputs_are_told_apart() -> None:
    first, second = leaf(3, 5), leaf(3, 2)
    outputs = first.tanh() + second.tanh().sigmoid().sum(dim=1, keepdim=True)
    near, far = shortest_paths(outputs, [first, second], torch.tensor([0, 1, 4]))
    assert near.tolist() == [[1 if i == j else NO_PATH for i in range(5)] for j in (0, 1, 4)]
    assert far.tolist() == [[2, 2]] * 3


def test_outputs_that_depend_on_nothing_have_no_chain_and_no_path() -> None:
    inputs = leaf(2, 3)
    outputs = torch.ones(2, 3, 5, dtype=torch.float64)
    assert longest_chain(outputs) == 0
    assert shortest_paths(outputs, [inputs], torch.tensor([0, 1]))[0].tolist() == [[NO_PATH] * 3] * 2


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_torchs_own_recurrences_are_seen_step_by_step(kind: type[nn.RNNBase]) -> None:
    chains, far = [], []
    for length in (4, 5, 6):
        inputs = leaf(length, length)
        layer = kind(3, 5, batch_first=True).double().requires_grad_(False)
        outputs, _ = layer(inputs)
        chains.append(longest_chain(outputs))
        found = all_positions(outputs, inputs)
        assert all((found[j][i] == NO_PATH) == (i > j) for i in range(length) for j in range(length))
        far.append(found[-1][0])
    assert chains[2] - chains[1] == chains[1] - chains[0] > 0
    assert far[2] - far[1] == far[1] - far[0] > 0
