"""RNNs with attention: the papers' equations, and every score with every cell."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attento.models.translation.attentive import RecurrentAttention
from attento.models.translation.config import RecurrentAttentionConfig
from attento.nn.alignment import Score
from attento.nn.recurrent import CellKind
from attento.nn.state import DecoderState

# Rows, source, target, width, vocabularies.
B, S, T, D, V, W = 5, 7, 6, 11, 17, 13
LENGTHS = [7, 3, 5, 1, 2]
SCORES: list[Score] = ["additive", "dot", "general", "concat"]
CELLS: list[CellKind] = ["elman", "gru", "lstm"]


def make(score: Score = "additive", cell: CellKind = "gru", **changes: Any) -> RecurrentAttention:
    settings: dict[str, Any] = {
        "architecture": "rnn_attention", "attention": score, "cell": cell, "d_model": D, "tied_embeddings": "target",
        "encoder_layers": 2, "decoder_layers": 2,
    }  # fmt: skip
    model = RecurrentAttention(RecurrentAttentionConfig(**(settings | changes)), V, W).double().eval()
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


def softmax(scores: list[Tensor]) -> list[Tensor]:
    powers = [score.exp() for score in scores]
    return [power / sum(powers) for power in powers]


def gru(x: Tensor, h: Tensor, w: Tensor, b: Tensor, u: Tensor, c: Tensor) -> Tensor:
    """The gated unit for one vector: reset, update and new, one below the other."""
    by_x, by_h = (w @ x + b).view(3, -1), (u @ h + c).view(3, -1)
    reset, update = (1 / (1 + torch.exp(-by_x[i] - by_h[i])) for i in (0, 1))
    return (1 - update) * torch.tanh(by_x[2] + reset * by_h[2]) + update * h


def lstm(x: Tensor, h: Tensor, cell: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The long short-term memory for one vector: enter, forget, new and leave, one below the other."""
    enter, forget, new, leave = (w @ torch.cat((x, h)) + b).view(4, -1)
    cell = cell / (1 + torch.exp(-forget)) + torch.tanh(new) / (1 + torch.exp(-enter))
    return torch.tanh(cell) / (1 + torch.exp(-leave)), cell


def test_additive_attention_is_the_network_of_bahdanau_et_al() -> None:
    """One row at a time by the equations of section 3 and appendix A, with one layer of gated units."""
    model = make("additive", "gru", encoder_layers=1, decoder_layers=1)
    (source, mask), target = draw_source(), draw_target()
    logits, _ = model.decode(target, model.start(model.encode(source, mask)))
    w = model.state_dict()
    names = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
    ways = [[w[f"encoder.network.{name}_l0{suffix}"] for name in names] for suffix in ("", "_reverse")]
    source_table, target_table = w["source_embedding.weight"] * D**0.5, w["target_embedding.weight"] * D**0.5
    step = {name.removeprefix("decoder.recurrent."): weight for name, weight in w.items()}
    for row, length in enumerate(LENGTHS):
        annotations = [[], []]
        for way, weights in enumerate(ways):
            h = torch.zeros(D, dtype=torch.float64)
            read = source[row, :length]
            for token in read.flip(0) if way else read:
                h = gru(source_table[token], h, *weights)
                annotations[way].append(h)
        memory = [torch.cat(pair) for pair in zip(annotations[0], annotations[1][::-1], strict=True)]
        # The backward direction ends at the first token.
        s = torch.tanh(w["decoder.first.weight"] @ annotations[1][-1] + w["decoder.first.bias"])
        for position, token in enumerate(target[row]):
            y = target_table[token]
            energies = [
                w["decoder.alignment.weight"]
                @ torch.tanh(w["decoder.alignment.by_query.weight"] @ s + w["decoder.alignment.by_memory.weight"] @ h)
                for h in memory
            ]
            c = sum(a * h for a, h in zip(softmax(energies), memory, strict=True))
            by_input = torch.cat((step["by_words.weight"], step["by_feed.weight"]), dim=1), step["by_words.bias"]
            by_hidden = step["by_hidden.0.weight"], step["by_hidden.0.bias"]
            s = gru(torch.cat((y, c)), s, *by_input, *by_hidden)
            t = w["decoder.output.by_hidden.weight"] @ s + w["decoder.output.by_hidden.bias"]
            t = t + w["decoder.output.by_word.weight"] @ y + w["decoder.output.by_context.weight"] @ c
            maxout = torch.stack([max(t[i], t[i + D]) for i in range(D)])
            assert_close(logits[row, position], w["target_embedding.weight"] @ maxout)


@pytest.mark.parametrize("score", ["dot", "general", "concat"])
def test_the_products_are_the_network_of_luong_et_al(score: Score) -> None:
    """One row at a time by the equations of section 3 with input feeding, with one layer of LSTM."""
    model = make(score, "lstm", encoder_layers=1, decoder_layers=1)
    (source, mask), target = draw_source(), draw_target()
    logits, _ = model.decode(target, model.start(model.encode(source, mask)))
    w = model.state_dict()
    read = torch.cat((w["encoder.network.weight_ih_l0"], w["encoder.network.weight_hh_l0"]), dim=1)
    read_bias = w["encoder.network.bias_ih_l0"] + w["encoder.network.bias_hh_l0"]
    r = "decoder.recurrent."
    write = torch.cat([w[r + name] for name in ("by_words.weight", "by_feed.weight", "by_hidden.0.weight")], dim=1)
    write_bias = w[r + "by_words.bias"] + w[r + "by_hidden.0.bias"]
    w_c = torch.cat((w["decoder.by_context.weight"], w["decoder.by_hidden.weight"]), dim=1)

    def alignment(h_t: Tensor, h_s: Tensor) -> Tensor:
        match score:
            case "dot":
                return h_t @ h_s
            case "general":
                return h_t @ w["decoder.alignment.by_memory.weight"] @ h_s
        w_a = torch.cat((w["decoder.alignment.by_query.weight"], w["decoder.alignment.by_memory.weight"]), dim=1)
        return w["decoder.alignment.weight"] @ torch.tanh(w_a @ torch.cat((h_t, h_s)))

    source_table, target_table = w["source_embedding.weight"] * D**0.5, w["target_embedding.weight"] * D**0.5
    for row, length in enumerate(LENGTHS):
        h = cell = feed = torch.zeros(D, dtype=torch.float64)
        memory = []
        for token in source[row, :length]:
            h, cell = lstm(source_table[token], h, cell, read, read_bias)
            memory.append(h)
        for position, token in enumerate(target[row]):
            h, cell = lstm(torch.cat((target_table[token], feed)), h, cell, write, write_bias)
            weights = softmax([alignment(h, h_s) for h_s in memory])
            context = sum(a * h_s for a, h_s in zip(weights, memory, strict=True))
            feed = torch.tanh(w_c @ torch.cat((context, h)))
            assert_close(logits[row, position], w["target_embedding.weight"] @ feed)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("score", SCORES)
def test_step_by_step_is_all_at_once_alone_or_among_others(score: Score, cell: CellKind) -> None:
    model, target = make(score, cell), draw_target()
    source, mask = draw_source()
    state: DecoderState = model.start(model.encode(source, mask))
    expected, _ = model.decode(target, state)
    logits = []
    for piece in target.split([1, 3, 1, 1], dim=1):
        more, state = model.decode(piece, state)
        logits.append(more)
    assert_close(torch.cat(logits, dim=1), expected)
    for row, length in enumerate(LENGTHS):
        memory = model.encode(source[[row], :length], mask[[row], :length])
        assert_close(model.decode(target[[row]], model.start(memory))[0], expected[[row]])


def test_products_need_equal_numbers_of_layers() -> None:
    with pytest.raises(ValueError, match="make them equal"):
        make("dot", encoder_layers=1)


def test_additive_attention_needs_no_equal_number_of_layers() -> None:
    model = make("additive", "lstm", encoder_layers=1, decoder_layers=3)
    logits, state = model.decode(draw_target(), model.start(model.encode(*draw_source())))
    assert logits.shape == (B, T, W)
    assert state.recurrent.hidden.shape == (B, 3, D)
