"""The fused recurrences against the cells' equations step by step, and what a mask, a state and a format do to them."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from attento.nn.recurrent import CellKind, Recurrent, RecurrentState, StepwiseRecurrent, elman_cell, gru_cell, lstm_cell

# Rows, length, input, width, layers.
B, L, E, D, LAYERS = 5, 7, 3, 11, 2
LENGTHS = [4, 7, 1, 6, 2]
CELLS: list[CellKind] = ["elman", "gru", "lstm"]

every_cell = pytest.mark.parametrize("cell", CELLS)
every_direction = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])


def make(cell: CellKind, bidirectional: bool = False, dropout: float = 0.0) -> Recurrent:
    network = Recurrent(cell, E, D, LAYERS, dropout, bidirectional).double().eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)  # no bias may be zero in a test
    return network


def draw_inputs() -> tuple[Tensor, Tensor]:
    return torch.randn(B, L, E, dtype=torch.float64), torch.arange(L) < torch.tensor(LENGTHS)[:, None]


def draw_state(network: Recurrent) -> RecurrentState:
    zeros = network.start(B)
    return RecurrentState(
        torch.randn_like(zeros.hidden), None if zeros.cell is None else torch.randn_like(zeros.hidden)
    )


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def assert_same_state(actual: RecurrentState, expected: RecurrentState) -> None:
    assert_close(actual.hidden, expected.hidden)
    assert (actual.cell is None) == (expected.cell is None)
    if actual.cell is not None:
        assert_close(actual.cell, expected.cell)


def by_equations(network: Recurrent, inputs: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
    """Read one row (L, E) without a mask, one layer, direction and step at a time, by the written-out cells."""
    weights = dict(network.network.named_parameters())
    ways = ["", "_reverse"] if network.network.bidirectional else [""]
    hiddens, cells = [], []
    for layer in range(LAYERS):
        outputs = []
        for way, suffix in enumerate(ways):
            w, u, b, c = (weights[f"{n}_l{layer}{suffix}"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
            index = layer * len(ways) + way
            hidden = state.hidden[:, index]
            memory = hidden if state.cell is None else state.cell[:, index]
            read = inputs.flip(0) if suffix else inputs
            seen = []
            for vector in read:
                by_input, by_hidden = (w @ vector + b)[None], (u @ hidden[0] + c)[None]
                match network.cell:
                    case "elman":
                        hidden = elman_cell(by_input, by_hidden)
                    case "gru":
                        hidden = gru_cell(by_input, by_hidden, hidden)
                    case "lstm":
                        hidden, memory = lstm_cell(by_input, by_hidden, memory)
                seen.append(hidden)
            outputs.append(torch.cat(seen[::-1] if suffix else seen))
            hiddens.append(hidden)
            cells.append(memory)
        inputs = torch.cat(outputs, dim=-1)
    return inputs, RecurrentState(torch.stack(hiddens, 1), torch.stack(cells, 1) if network.cell == "lstm" else None)


@every_cell
@every_direction
@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "going on"])
def test_the_fused_recurrence_is_the_equations(cell: CellKind, bidirectional: bool, fresh: bool) -> None:
    """With a mask: each row as if it stood alone and had no padding."""
    network = make(cell, bidirectional)
    inputs, mask = draw_inputs()
    state = network.start(B) if fresh else draw_state(network)
    outputs, after = network(inputs, None if fresh else state, mask)
    for row, length in enumerate(LENGTHS):
        index = torch.tensor([row])
        expected, expected_after = by_equations(network, inputs[row, :length], state.select(index))
        assert_close(outputs[row, :length], expected)
        assert (outputs[row, length:] == 0).all()
        assert_same_state(after.select(index), expected_after)


def logistic(number: float) -> float:
    return 1 / (1 + math.exp(-number))


def by_numbers(cell: CellKind, x: list[float], h: list[float], old: float) -> tuple[float, float]:
    """The papers' equations for a cell of width one: its hidden number, and an LSTM's cell."""
    match cell:
        case "elman":
            return math.tanh(x[0] + h[0]), 0.0
        case "gru":
            reset, update = logistic(x[0] + h[0]), logistic(x[1] + h[1])
            return update * old + (1 - update) * math.tanh(x[2] + reset * h[2]), 0.0
        case "lstm":
            enter, forget, leave = (logistic(x[gate] + h[gate]) for gate in (0, 1, 3))
            memory = forget * old + enter * math.tanh(x[2] + h[2])
            return leave * math.tanh(memory), memory


@every_cell
def test_a_cell_of_width_one_is_the_papers_equations(cell: CellKind) -> None:
    x, h, old = [0.3, -1.1, 0.7, 1.9], [-0.4, 0.6, 1.3, -0.2], 0.35
    gates = {"elman": 1, "gru": 3, "lstm": 4}[cell]
    by_input, by_hidden = (torch.tensor([each[:gates]], dtype=torch.float64) for each in (x, h))
    before = torch.tensor([[old]], dtype=torch.float64)
    expected, expected_memory = by_numbers(cell, x, h, old)
    match cell:
        case "elman":
            hidden = elman_cell(by_input, by_hidden)
        case "gru":
            hidden = gru_cell(by_input, by_hidden, before)
        case "lstm":
            hidden, memory = lstm_cell(by_input, by_hidden, before)
            assert memory.item() == pytest.approx(expected_memory, rel=1e-12)
    assert hidden.item() == pytest.approx(expected, rel=1e-12)


@every_cell
def test_step_by_step_is_all_at_once(cell: CellKind) -> None:
    network = make(cell)
    inputs, _ = draw_inputs()
    expected, expected_after = network(inputs)
    state, outputs = None, []
    for piece in inputs.split([1, 3, 1, 2], dim=1):
        more, state = network(piece, state)
        outputs.append(more)
    assert_close(torch.cat(outputs, dim=1), expected)
    assert_same_state(state, expected_after)


@every_cell
def test_what_stands_at_padding_changes_nothing(cell: CellKind) -> None:
    network = make(cell, bidirectional=True)
    inputs, mask = draw_inputs()
    outputs, after = network(inputs, None, mask)
    others, after_others = network(torch.where(mask[..., None], inputs, inputs + 7), None, mask)
    assert torch.equal(outputs, others)
    assert torch.equal(after.hidden, after_others.hidden)


@every_cell
def test_a_row_with_nothing_in_it_stays_where_it_was(cell: CellKind) -> None:
    network = make(cell, bidirectional=True)
    inputs, mask = draw_inputs()
    mask[3] = False
    state = draw_state(network)
    outputs, after = network(inputs, state, mask)
    row, others = torch.tensor([3]), torch.tensor([0, 1, 2, 4])
    assert (outputs[3] == 0).all()
    assert_same_state(after.select(row), state.select(row))
    expected, expected_after = network(inputs[others], state.select(others), mask[others])
    assert_close(outputs[others], expected)
    assert_same_state(after.select(others), expected_after)
    outputs.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@every_cell
def test_a_state_picks_its_rows(cell: CellKind) -> None:
    network = make(cell)
    state = draw_state(network)
    picked = state.select(torch.tensor([4, 0, 0]))
    assert torch.equal(picked.hidden, state.hidden[[4, 0, 0]])
    if state.cell is None:
        assert picked.cell is None
    else:
        assert torch.equal(picked.cell, state.cell[[4, 0, 0]])


@every_cell
def test_weights_in_another_format_are_the_ones_computed_with(cell: CellKind) -> None:
    """Training gives a model bfloat16 weights, and lends it others for a while: no copy may stay behind."""
    network = Recurrent(cell, E, D, LAYERS).eval()
    twin = Recurrent(cell, E, D, LAYERS).eval()
    expected, _ = twin(torch.ones(B, L, E))
    owners = dict(network.network.named_parameters())
    for parameter in network.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    outputs, after = network(torch.ones(B, L, E, dtype=torch.bfloat16))
    assert (outputs.dtype, after.hidden.dtype, network.start(B).hidden.dtype) == (torch.bfloat16,) * 3
    for name, parameter in twin.network.named_parameters():
        setattr(network.network, name, parameter)
    assert torch.equal(network(torch.ones(B, L, E))[0], expected)
    for name, parameter in owners.items():
        setattr(network.network, name, parameter)
    assert torch.equal(network(torch.ones(B, L, E, dtype=torch.bfloat16))[0], outputs)


@pytest.mark.parametrize(("cell", "layers"), list(product(CELLS, [1, LAYERS])))
def test_dropout_stands_between_layers_and_only_in_training(cell: CellKind, layers: int) -> None:
    network = Recurrent(cell, E, D, layers, dropout=0.5)
    inputs = torch.randn(B, L, E)
    one, other = network(inputs)[0], network(inputs)[0]
    assert torch.equal(one, other) == (layers == 1)
    network.eval()
    assert torch.equal(network(inputs)[0], network(inputs)[0])


def stepwise_twin(step: StepwiseRecurrent, network: Recurrent) -> None:
    """Give a fused network, whose input is a word and what is fed side by side, the weights of a stepwise one."""
    for layer in range(LAYERS):
        below = step.by_below[layer - 1] if layer else step.by_words
        by_input = below.weight if layer else torch.cat((step.by_words.weight, step.by_feed.weight), dim=1)
        mine = (by_input, step.by_hidden[layer].weight, below.bias, step.by_hidden[layer].bias)
        for name, weight in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), mine, strict=True):
            getattr(network.network, f"{name}_l{layer}").data.copy_(weight.data)


@every_cell
def test_the_stepwise_stack_is_the_fused_recurrence(cell: CellKind) -> None:
    words, fed = 3, 5
    step = StepwiseRecurrent(cell, words, fed, D, LAYERS, dropout=0.5).double().eval()
    network = Recurrent(cell, words + fed, D, LAYERS).double()
    for parameter in step.parameters():
        nn.init.normal_(parameter, std=0.5)
    stepwise_twin(step, network)
    word, feed = (torch.randn(B, L, width, dtype=torch.float64) for width in (words, fed))
    start = state = draw_state(network)
    expected, expected_after = network(torch.cat((word, feed), dim=-1), start)
    by_words = step.by_words(word)
    for position in range(L):
        state = step(by_words[:, position], feed[:, position], state)
        assert_close(state.hidden[:, -1], expected[:, position])
    assert_same_state(state, expected_after)


@every_cell
@pytest.mark.parametrize("change", ["cell", "depth", "width"])
def test_a_state_that_does_not_fit_is_refused(cell: CellKind, change: str) -> None:
    depth, width = LAYERS + (change == "depth"), D + 2 * (change == "width")
    hidden = torch.randn(B, depth, width)
    given_cell = (cell == "lstm") != (change == "cell")
    state = RecurrentState(hidden, hidden if given_cell else None)
    message = (
        rf"that keeps {LAYERS} x {D} numbers a row {'with' if cell == 'lstm' else 'without'} an LSTM's cells was given "
        rf"a state of {depth} x {width} numbers a row {'with' if given_cell else 'without'} an LSTM's cells"
    )
    network, step = Recurrent(cell, E, D, LAYERS), StepwiseRecurrent(cell, E, 5, D, LAYERS)
    with pytest.raises(TypeError, match=message):
        network(torch.randn(B, L, E), state)
    with pytest.raises(TypeError, match=message):
        step(step.by_words(torch.randn(B, E)), torch.randn(B, 5), state)


@every_cell
def test_first_weights(cell: CellKind) -> None:
    network = Recurrent(cell, E, D, LAYERS, bidirectional=True)
    for name, parameter in network.network.named_parameters():
        gates = parameter.detach().split(D)
        if "weight_hh" in name:
            for gate in gates:
                torch.testing.assert_close(gate @ gate.T, torch.eye(D))
        elif "bias" in name:
            wanted = [float(cell == "lstm" and "bias_ih" in name and number == 1) for number in range(len(gates))]
            assert [gate.unique().tolist() for gate in gates] == [[value] for value in wanted]
        else:
            assert all(gate.abs().max() <= (6 / (D + gate.size(1))) ** 0.5 for gate in gates)
