"""The RNN encoder-decoders: the papers' equations, and which numbers of layers go together."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attento.models.translation.config import RecurrentConfig
from attento.models.translation.recurrent import RecurrentEncoderDecoder
from attento.nn.recurrent import CellKind

# Rows, source, target, width, vocabularies.
B, S, T, D, V, W = 5, 7, 6, 11, 17, 13
LENGTHS = [7, 3, 5, 1, 2]


def make(cell: CellKind = "lstm", **changes: Any) -> RecurrentEncoderDecoder:
    settings: dict[str, Any] = {
        "architecture": "rnn_encoder_decoder", "cell": cell, "d_model": D, "tied_embeddings": "target",
        "encoder_layers": 2, "decoder_layers": 2,
    }  # fmt: skip
    model = RecurrentEncoderDecoder(RecurrentConfig(**(settings | changes)), V, W).double().eval()
    for name, parameter in model.named_parameters():
        if "bias" in name:
            nn.init.normal_(parameter)  # no bias may be zero in a test
    return model


def draw_source() -> tuple[Tensor, Tensor]:
    return torch.randint(V, (B, S)), torch.arange(S) < torch.tensor(LENGTHS)[:, None]


def draw_target() -> Tensor:
    return torch.randint(W, (B, T))


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cell", ["elman", "gru"])
def test_one_layer_is_the_network_of_cho_et_al(cell: CellKind) -> None:
    """Against torch's own cells, a token at a time: c enters every step and the output (appendix A)."""
    model = make(cell, encoder_layers=1, decoder_layers=1)
    (source, mask), target = draw_source(), draw_target()
    logits, _ = model.decode(target, model.start(model.encode(source, mask)))
    cells = {"elman": nn.RNNCell, "gru": nn.GRUCell}
    reader, writer = cells[cell](D, D).double(), cells[cell](2 * D, D).double()
    for each, network in ((reader, model.encoder.network), (writer, model.decoder.network)):
        each.load_state_dict({name.removesuffix("_l0"): weight for name, weight in network.state_dict().items()})
    w = model.state_dict()
    source_table, target_table = w["source_embedding.weight"] * D**0.5, w["target_embedding.weight"] * D**0.5
    for row, length in enumerate(LENGTHS):
        h = torch.zeros(1, D, dtype=torch.float64)
        for token in source[row, :length]:
            h = reader(source_table[token][None], h)
        c = torch.tanh(h @ w["summary.by_encoder.weight"].T + w["summary.by_encoder.bias"])
        h = torch.tanh(c @ w["summary.by_summary.weight"].T + w["summary.by_summary.bias"])
        for position, token in enumerate(target[row]):
            y = target_table[token][None]
            h = writer(torch.cat((y, c), dim=1), h)
            s = h @ w["output.by_hidden.weight"].T + w["output.by_hidden.bias"]
            s = s + y @ w["output.by_word.weight"].T + c @ w["output.by_context.weight"].T
            maxout = torch.stack([torch.maximum(s[0, i], s[0, i + D]) for i in range(D)])
            assert_close(logits[row, position], w["target_embedding.weight"] @ maxout)


@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
def test_lstm_layers_are_the_network_of_sutskever_et_al(reverse: bool) -> None:
    """Against torch's own cells, a token at a time: only the state of each layer is handed on."""
    model = make("lstm", reverse_source=reverse)
    (source, mask), target = draw_source(), draw_target()
    logits, _ = model.decode(target, model.start(model.encode(source, mask)))
    stacks = []
    for network in (model.encoder.network, model.decoder.network):
        layers = [nn.LSTMCell(D, D).double() for _ in range(2)]
        for index, layer in enumerate(layers):
            suffix = f"_l{index}"
            weights = {n.removesuffix(suffix): p for n, p in network.state_dict().items() if n.endswith(suffix)}
            layer.load_state_dict(weights)
        stacks.append(layers)
    source_table, target_table = model.source_embedding.weight * D**0.5, model.target_embedding.weight * D**0.5
    for row, length in enumerate(LENGTHS):
        zeros = torch.zeros(1, D, dtype=torch.float64)
        states = [(zeros, zeros), (zeros, zeros)]
        read = list(source[row, :length])
        tokens = [(0, source_table[token]) for token in (reversed(read) if reverse else read)]
        tokens += [(1, target_table[token]) for token in target[row]]
        written = []
        for side, vector in tokens:
            x = vector[None]
            for index, layer in enumerate(stacks[side]):
                states[index] = layer(x, states[index])
                x = states[index][0]
            written.append(x[0] @ model.target_embedding.weight.T)
        assert_close(logits[row], torch.stack(written[length:]))


def test_a_state_that_is_handed_on_needs_equal_numbers_of_layers() -> None:
    with pytest.raises(ValueError, match="make them equal"):
        make("lstm", encoder_layers=1)


def test_a_summary_needs_no_equal_number_of_layers() -> None:
    model = make("gru", encoder_layers=1, decoder_layers=3)
    logits, state = model.decode(draw_target(), model.start(model.encode(*draw_source())))
    assert logits.shape == (B, T, W)
    assert state.recurrent.hidden.shape == (B, 3, D)
