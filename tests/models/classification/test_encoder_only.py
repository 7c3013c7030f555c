"""The sentence encoder against torch's stack of layers, and what joining and padding must not change."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attento.models.base import Sentences
from attento.models.classification.config import EncoderOnlyConfig
from attento.models.classification.encoder_only import EncoderOnly, join
from attento.models.sentence_reader import mean_of_real

# Rows, width, heads, feed-forward, layers, vocabulary, classes.
B, D, H, INNER, LAYERS, V, C = 3, 33, 5, 13, 2, 17, 7
LENGTHS = [[7, 2, 4], [1, 5, 3]]

both_orders = pytest.mark.parametrize("norm", ["post", "pre"])
one_and_two = pytest.mark.parametrize("number", [1, 2])
every_position = pytest.mark.parametrize("positions", ["sinusoidal", "learned", "none"])


def make(number: int, **changes: Any) -> EncoderOnly:
    sizes: dict[str, Any] = {"d_model": 35, "num_heads": H, "d_ff": INNER, "layers": LAYERS, "max_positions": 15}
    config = EncoderOnlyConfig(architecture="encoder_only", num_sentences=number, **(sizes | changes))
    return EncoderOnly(config, V, C).double().eval()


def draw(number: int) -> list[list[Tensor]]:
    return [[torch.randint(V, (length,)) for length in LENGTHS[each]] for each in range(number)]


def pad(rows: list[Tensor], extra: int = 0) -> Sentences:
    """Put rows into one batch; what stands in the padding is any token."""
    width = max(map(len, rows)) + extra
    ids = torch.randint(V, (len(rows), width))
    for place, row in zip(ids, rows, strict=True):
        place[: len(row)] = row
    return Sentences(ids, torch.arange(width) < torch.tensor([[len(row)] for row in rows]))


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


@torch.no_grad()
def torchs_twin(ours: EncoderOnly, norm: str) -> nn.TransformerEncoder:
    """Draw all of ours anew, biases and gains too, and give torch's stack the same."""
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.3)
    d, pre = ours.d_model, norm == "pre"
    layer = nn.TransformerEncoderLayer(d, H, INNER, dropout=0.0, batch_first=True, norm_first=pre, dtype=torch.float64)
    last = nn.LayerNorm(d, dtype=torch.float64) if pre else None
    theirs = nn.TransformerEncoder(layer, LAYERS, last, enable_nested_tensor=False)
    pairs = [(ours.reader.last_norm, theirs.norm)] if pre else []
    for mine, other in zip(ours.reader.layers, theirs.layers, strict=True):
        parts = [mine.self_attention.query, mine.self_attention.key, mine.self_attention.value]
        other.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        other.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        pairs += [
            (mine.self_attention.output, other.self_attn.out_proj),
            (mine.feed_forward.inner, other.linear1),
            (mine.feed_forward.outer, other.linear2),
            (mine.self_attention_residual.norm, other.norm1),
            (mine.feed_forward_residual.norm, other.norm2),
        ]
    for mine, other in pairs:
        other.weight.copy_(mine.weight)
        other.bias.copy_(mine.bias)
    return theirs.train()


@both_orders
@every_position
@one_and_two
def test_is_torchs_encoder_of_each_example_alone_then_the_mean(number: int, positions: str, norm: str) -> None:
    ours = make(number, norm=norm, positions=positions, dropout=0.0)
    theirs, d = torchs_twin(ours, norm), ours.d_model
    sentences = draw(number)
    logits, added = ours.score([pad(rows, extra=3) for rows in sentences])
    assert logits.shape == (B, C)
    assert (added == 0).all()
    for row in range(B):
        words = torch.cat([each[row] for each in sentences])
        hidden = ours.reader.embedding.weight[words] * math.sqrt(d)
        if number == 2:
            segments = [index for index, each in enumerate(sentences) for _ in each[row]]
            hidden = hidden + ours.reader.segment_embedding.weight[segments] * math.sqrt(d)
        if positions == "learned":
            hidden = hidden + ours.reader.positions.weight[: len(words)]
        if positions == "sinusoidal":
            angles = [[place / 10000 ** (2 * (i // 2) / d) for i in range(d)] for place in range(len(words))]
            waves = [[math.cos(a) if i % 2 else math.sin(a) for i, a in enumerate(angle)] for angle in angles]
            hidden = hidden + torch.tensor(waves).double()
        read = theirs(hidden[None])[0]
        assert_close(logits[row], ours.classes.weight @ read.mean(0) + ours.classes.bias)


@both_orders
@one_and_two
def test_with_batch_normalization_neither_padding_nor_neighbours_change_an_example(number: int, norm: str) -> None:
    model, sentences = make(number, norm=norm, normalization="batch").train(), draw(number)
    model([pad(rows) for rows in draw(number)])
    expected = model.eval()([pad(rows, extra=2) for rows in sentences])
    for row in range(B):
        assert_close(model([pad(rows[row : row + 1]) for rows in sentences]), expected[row : row + 1])


def test_joined_sentences_stand_one_after_the_other_with_all_padding_at_the_end() -> None:
    first, second = draw(2)
    ids, segments, real = join([pad(first, extra=5), pad(second, extra=1)])
    assert ids.shape == (B, 8)
    for row in range(B):
        words, length = torch.cat([first[row], second[row]]), len(first[row]) + len(second[row])
        assert torch.equal(ids[row, :length], words)
        assert segments[row, :length].tolist() == [0] * len(first[row]) + [1] * len(second[row])
        assert real[row].tolist() == [True] * length + [False] * (8 - length)


def test_the_two_sentences_are_told_apart() -> None:
    model, (first, second) = make(2, positions="none"), draw(2)
    there, back = model([pad(first), pad(second)]), model([pad(second), pad(first)])
    assert (there != back).all(0).any()
    with torch.no_grad():
        model.reader.segment_embedding.weight[1] = model.reader.segment_embedding.weight[0]
    assert_close(model([pad(first), pad(second)]), model([pad(second), pad(first)]))


def test_learned_positions_set_a_limit_for_each_sentence() -> None:
    assert [make(n, positions=p).max_length for n in (1, 2) for p in ("learned", "sinusoidal", "none")] == [
        15, None, None, 7, None, None,
    ]  # fmt: skip
    longest = [pad([torch.randint(V, (7,))] * B) for _ in range(2)]
    assert make(2, positions="learned")(longest).shape == (B, C)


def test_a_sentence_with_no_token_gives_numbers() -> None:
    model, nothing = make(1), Sentences(torch.randint(V, (B, 4)), torch.zeros(B, 4, dtype=torch.bool))
    logits = model([nothing])
    logits.sum().backward()
    assert torch.equal(logits, model.classes.bias.expand(B, C))
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    both = make(2)([nothing, nothing])
    assert both.isfinite().all()


def test_the_mean_is_of_real_tokens_in_float32() -> None:
    hidden, real = torch.randn(B, 1009, 5).bfloat16(), torch.rand(B, 1009) < 0.5
    mean = mean_of_real(hidden, real)
    assert mean.dtype == torch.bfloat16
    for row in range(B):
        torch.testing.assert_close(mean[row], hidden[row][real[row]].double().mean(0).bfloat16())


@pytest.mark.parametrize("normalization", ["layer", "batch"])
@one_and_two
def test_every_weight_learns_and_recomputing_changes_nothing(number: int, normalization: str) -> None:
    results = []
    for recompute in (False, True):
        torch.manual_seed(3)
        model, sentences = make(number, dropout=0.3, normalization=normalization).train(), draw(number)
        model.recompute = recompute
        (model([pad(rows) for rows in sentences]) * torch.randn(B, C)).sum().backward()
        for name, parameter in model.named_parameters():
            assert (parameter.grad != 0).any() or name.endswith("key.bias")
        results.append([parameter.grad for parameter in model.parameters()] + list(model.buffers()))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
