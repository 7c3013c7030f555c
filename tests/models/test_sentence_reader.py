"""The reader against its layers written out for one row at a time, in every shape that the heirs have."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attento.models.sentence_reader import SentenceReader, mean_of_real
from attento.models.stack_config import StackConfig

# Layers, width, heads, width inside the network, vocabulary.
LAYERS, D, H, INNER, V = 2, 36, 6, 13, 17
LENGTHS = [7, 2, 4]

HEIRS: dict[str, dict[str, Any]] = {
    "paper": {},
    "marian": {"position_layout": "halves", "embedding_norm": True, "feed_forward": "silu"},
    "bert": {"positions": "learned", "embedding_norm": True, "scale_embeddings": False, "feed_forward": "gelu"},
    "llama": {
        "positions": "rotary", "position_layout": "halves", "rotary": {"base": 500.0}, "num_kv_heads": 2,
        "feed_forward": "swiglu", "normalization": "rms", "norm": "pre", "norm_epsilon": 1e-3, "bias": False,
    },
    "rotary": {"positions": "rotary", "num_kv_heads": 1, "sliding_window": 2, "feed_forward": "bilinear"},
    "alibi": {"positions": "alibi", "sliding_window": 3, "norm": "pre", "feed_forward": "geglu"},
    "t5": {
        "positions": "relative", "relative": {"buckets": 6, "max_distance": 4}, "scores": "unscaled", "bias": False,
        "normalization": "rms", "norm": "pre", "scale_embeddings": False, "num_kv_heads": 3,
    },
}  # fmt: skip

every_heir = pytest.mark.parametrize("heir", HEIRS)


def make(heir: str, segments: int = 1, **changes: Any) -> tuple[SentenceReader, StackConfig]:
    sizes = {"d_model": D, "num_heads": H, "d_ff": INNER, "dropout": 0.3, "max_positions": 11}
    config = StackConfig(**sizes | HEIRS[heir] | changes)
    reader = SentenceReader(config, LAYERS, V, segments).double().eval()
    for parameter in reader.parameters():
        nn.init.normal_(parameter, std=0.3)
    return reader, config


def pad(rows: list[Tensor], extra: int = 0) -> tuple[Tensor, Tensor]:
    """Put rows into one batch; what stands in the padding is any token."""
    width = max(map(len, rows)) + extra
    ids = torch.randint(V, (len(rows), width))
    for place, row in zip(ids, rows, strict=True):
        place[: len(row)] = row
    return ids, torch.arange(width) < torch.tensor([[len(row)] for row in rows])


def normalize(norm: nn.Module, x: Tensor, config: StackConfig) -> Tensor:
    if config.normalization == "layer":
        x = x - x.mean(-1, keepdim=True)
    x = x / (x.square().mean(-1, keepdim=True) + config.norm_epsilon).sqrt() * norm.weight
    return x + norm.bias if config.normalization == "layer" else x


def positions(reader: SentenceReader, length: int, config: StackConfig) -> Tensor:
    if config.positions == "learned":
        return reader.positions.weight[:length]
    angles = torch.tensor([[place / 10000 ** (2 * i / D) for i in range(D // 2)] for place in range(length)]).double()
    waves = (angles.sin(), angles.cos())
    return torch.cat(waves, 1) if config.position_layout == "halves" else torch.stack(waves, 2).flatten(1)


def turn(head: Tensor, config: StackConfig) -> Tensor:
    """One head's vectors as complex numbers, the one at place m times e^(i m theta) (Su et al. 2021, section 3.2)."""
    pairs = head.size(1) // 2
    theta = torch.tensor([config.rotary.base ** (-pair / pairs) for pair in range(pairs)]).double()
    angles = torch.arange(len(head)).double()[:, None] * theta
    halves = config.position_layout == "halves"
    first, second = (head[:, :pairs], head[:, pairs:]) if halves else (head[:, 0::2], head[:, 1::2])
    turned = torch.complex(first, second) * torch.polar(torch.ones_like(angles), angles)
    parts = (turned.real, turned.imag)
    return torch.cat(parts, 1) if halves else torch.stack(parts, 2).flatten(1)


def bias(reader: SentenceReader, head: int, query: int, key: int, config: StackConfig) -> Tensor | float:
    if config.positions == "alibi":  # Slopes of 6 heads: those of 4, then the first and the third of 8.
        return -abs(query - key) / [4, 16, 64, 256, 2, 8][head]
    if config.positions == "relative":  # 6 buckets: 0, then 1 and 2 or more on the one side, the same on the other.
        return reader.relations.weight[min(abs(query - key), 2) + 3 * (key > query), head]
    return 0.0


def attend(reader: SentenceReader, layer: nn.Module, x: Tensor, config: StackConfig) -> Tensor:
    """Head by head and query by query (Vaswani et al. 2017, section 3.2)."""
    own, length, gathered = layer.self_attention, len(x), []
    groups, window = config.num_kv_heads or H, config.sliding_window or length
    scale = 1.0 if config.scores == "unscaled" else math.sqrt(D // H)
    for head in range(H):
        group = head // (H // groups)
        query = own.query(x).split(D // H, 1)[head]
        key, value = own.key(x).split(D // H, 1)[group], own.value(x).split(D // H, 1)[group]
        if config.positions == "rotary":
            query, key = turn(query, config), turn(key, config)
        rows = []
        for i in range(length):
            near = [j for j in range(length) if abs(i - j) < window]
            scores = torch.stack([query[i] @ key[j] / scale + bias(reader, head, i, j, config) for j in near])
            rows.append(scores.softmax(0) @ value[near])
        gathered.append(torch.stack(rows))
    return own.output(torch.cat(gathered, 1))


def feed_forward(network: nn.Module, x: Tensor, config: StackConfig) -> Tensor:
    inner = network.inner(x)
    gate = network.gate(x) if hasattr(network, "gate") else inner
    match config.feed_forward:
        case "relu":
            inner = gate.clamp(min=0)
        case "silu":
            inner = gate * gate.sigmoid()
        case "gelu":
            inner = gate * (1 + torch.erf(gate / math.sqrt(2))) / 2
        case "swiglu":
            inner = gate * gate.sigmoid() * inner
        case "geglu":
            inner = gate * (1 + torch.erf(gate / math.sqrt(2))) / 2 * inner
        case "bilinear":
            inner = gate * inner
    return network.outer(inner)


def read_by_hand(reader: SentenceReader, ids: Tensor, config: StackConfig, segments: Tensor | None = None) -> Tensor:
    x = reader.embedding.weight[ids]
    if segments is not None:
        x = x + reader.segment_embedding.weight[segments]
    if config.scale_embeddings:
        x = x * math.sqrt(D)
    if config.positions in ("sinusoidal", "learned"):
        x = x + positions(reader, len(ids), config)
    if config.embedding_norm:
        x = normalize(reader.embedding_norm, x, config)
    for layer in reader.layers:
        first, second = layer.self_attention_residual.norm, layer.feed_forward_residual.norm
        if config.norm == "pre":
            x = x + attend(reader, layer, normalize(first, x, config), config)
            x = x + feed_forward(layer.feed_forward, normalize(second, x, config), config)
        else:
            x = normalize(first, x + attend(reader, layer, x, config), config)
            x = normalize(second, x + feed_forward(layer.feed_forward, x, config), config)
    return normalize(reader.last_norm, x, config) if config.norm == "pre" else x


@every_heir
def test_a_padded_batch_is_each_row_alone_by_hand(heir: str) -> None:
    reader, config = make(heir)
    rows = [torch.randint(V, (length,)) for length in LENGTHS]
    with torch.no_grad():
        read = reader(*pad(rows, extra=3))
        for row, words in enumerate(rows):
            expected = read_by_hand(reader, words, config)
            # Cosines and slopes are kept in float32.
            torch.testing.assert_close(read[row, : len(words)], expected, rtol=1e-6, atol=1e-6)


@every_heir
def test_sentences_are_told_apart_by_a_vector_and_stand_in_the_first_unless_told_otherwise(heir: str) -> None:
    reader, config = make(heir, segments=2)
    ids, segments = torch.randint(V, (1, 7)), torch.tensor([[0, 0, 0, 1, 1, 1, 1]])
    real = torch.ones_like(ids, dtype=torch.bool)
    with torch.no_grad():
        for told, meant in ((segments, segments), (None, 0 * segments)):
            expected = read_by_hand(reader, ids[0], config, meant[0])
            torch.testing.assert_close(reader(ids, real, told)[0], expected, rtol=1e-6, atol=1e-6)
    assert make(heir)[0].segment_embedding is None


@every_heir
def test_every_weight_learns_and_recomputing_changes_nothing(heir: str) -> None:
    reader = make(heir)[0].train()
    inputs, weight = pad([torch.randint(V, (length,)) for length in LENGTHS]), torch.randn(3, 7, D).double()
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(5)
        reader.zero_grad()
        (reader(*inputs, recompute=recompute) * weight).sum().backward()
        for name, parameter in reader.named_parameters():
            # A vector added to every key moves all scores of a query alike, unless places turn the keys.
            assert (parameter.grad != 0).any() or name.endswith("key.bias")
        gradients.append([parameter.grad for parameter in reader.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@every_heir
def test_learned_positions_alone_set_a_limit(heir: str) -> None:
    assert make(heir)[0].max_length == (11 if heir == "bert" else None)


def test_a_window_that_reaches_everything_hides_nothing() -> None:
    reader, _ = make("alibi", sliding_window=7)
    inputs = pad([torch.randint(V, (7,)) for _ in range(3)])
    wide = reader(*inputs)
    reader.sliding_window = None
    assert torch.equal(wide, reader(*inputs))


def test_the_mean_is_of_real_tokens_and_zero_where_there_is_none() -> None:
    hidden, real = torch.randn(3, 7, D).double(), torch.arange(7) < torch.tensor([[7], [0], [4]])
    hidden[~real] = float("nan")
    mean = mean_of_real(hidden, real)
    expected = [hidden[0].sum(0) / 7, torch.zeros(D).double(), hidden[2, :4].sum(0) / 4]
    torch.testing.assert_close(mean, torch.stack(expected), rtol=1e-12, atol=1e-14)
