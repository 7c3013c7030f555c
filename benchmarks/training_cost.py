"""What training costs at least: multiplications counted from shapes and lengths, and how spread figures are told."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Shape:
    """The sizes of a Transformer."""

    encoder_layers: int
    decoder_layers: int
    d_model: int
    d_ff: int
    num_heads: int


def training_flops(shape: Shape, vocab_size: int, lengths: Sequence[tuple[int, int]]) -> int:
    """Count the floating-point operations of one step on sentence pairs of (source, target) tokens, without padding.

    Matrix products alone, two operations each multiply-add: projections, feed-forward networks, attention's two
    products (of the target to itself only what comes before), and the output's. The backward pass costs twice the
    forward one: a product for the gradient of either factor.
    """
    d_model = shape.d_model
    source_tokens = sum(source for source, _ in lengths)
    target_tokens = sum(target for _, target in lengths)
    attended_by_source = sum(source * source for source, _ in lengths)
    attended_by_target = sum(target * (target + 1) // 2 + source * target for source, target in lengths)
    feed_forward = 2 * d_model * shape.d_ff
    encoder_layer = source_tokens * (4 * d_model**2 + feed_forward) + 2 * d_model * attended_by_source
    # Attention to the source: queries and outputs of the target's tokens, keys and values of the source's.
    cross_projections = 2 * d_model**2 * (source_tokens + target_tokens)
    own = target_tokens * (4 * d_model**2 + feed_forward)
    decoder_layer = own + cross_projections + 2 * d_model * attended_by_target
    output = target_tokens * d_model * vocab_size
    multiply_adds = shape.encoder_layers * encoder_layer + shape.decoder_layers * decoder_layer + output
    return 3 * 2 * multiply_adds


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return median, least, most and number of values."""
    return {"median": median(values), "least": min(values), "most": max(values), "timed": len(values)}


def round_ratios(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> list[float]:
    """Return for each round our best rate over their best rate; each inner sequence is one variant, round by round."""
    best_ours = [max(rates) for rates in zip(*ours, strict=True)]
    best_theirs = [max(rates) for rates in zip(*theirs, strict=True)]
    return [mine / other for mine, other in zip(best_ours, best_theirs, strict=True)]
