import torch
from torch import nn

from attento.nn.feed_forward import FeedForward

B, L, D, F = 2, 3, 5, 7


def make() -> tuple[FeedForward, torch.Tensor]:
    network = FeedForward(D, F).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    return network, torch.randn(B, L, D, dtype=torch.float64, requires_grad=True)


def test_is_equation_2() -> None:
    network, hidden = make()
    w1, b1 = network.inner.weight.T.tolist(), network.inner.bias.tolist()
    w2, b2 = network.outer.weight.T.tolist(), network.outer.bias.tolist()
    output = network(hidden)
    for b in range(B):
        for position in range(L):
            x = hidden[b, position].tolist()
            inner = [max(0.0, sum(x[d] * w1[d][f] for d in range(D)) + b1[f]) for f in range(F)]
            expected = [sum(inner[f] * w2[f][d] for f in range(F)) + b2[d] for d in range(D)]
            torch.testing.assert_close(output[b, position], torch.tensor(expected, dtype=torch.float64))


def test_has_the_gradient_of_its_values() -> None:
    network, hidden = make()
    assert torch.autograd.gradcheck(network, (hidden,))


def test_each_position_is_transformed_by_itself() -> None:
    network, hidden = make()
    network(hidden)[1, 2].sum().backward()
    touched = hidden.grad.abs().sum(-1) > 0
    assert touched.tolist() == [[False, False, False], [False, False, True]]
