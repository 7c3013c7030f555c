"""Span corruption: a window of text falls apart into what is read and what is to be written.

Raffel et al. 2020, "Exploring the limits of transfer learning with a unified text-to-text Transformer"
(arXiv:1910.10683), sections 3.1.4 and 3.3.4. Knows no file and no tensor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Noise:
    """How much is cut out of a window: the share of its tokens, and the mean length of a span."""

    share: float
    mean_span: float

    def counts(self, tokens: int) -> tuple[int, int]:
        """Return how many of a window's tokens are cut out, and in how many spans; neither falls as a window grows.

        One token at least is cut out. Between two spans stands a token that is not, so that they do not run together.
        """
        noise = max(1, round(tokens * self.share))
        return noise, min(max(1, round(noise / self.mean_span)), tokens - noise + 1)

    def lengths(self, tokens: int) -> tuple[int, int]:
        """Return how many tokens the source and the target of a window have, without bos and eos."""
        noise, spans = self.counts(tokens)
        return tokens - noise + spans, noise + spans + 1


def corrupt(
    tokens: NDArray[np.int32], noise: Noise, sentinels: Sequence[int], generator: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return source and target of a window, without bos and eos.

    In the source, sentinel i stands in the place of span i; the target is sentinel 0, span 0, sentinel 1, span 1, ...
    and one more sentinel behind the last span. All ways to cut so many tokens out in so many spans are equally
    probable: a window may begin or end with a span or without one.
    """
    num_noise, num_spans = noise.counts(len(tokens))
    spans = _parts(num_noise, num_spans, generator)
    # The first and the last stretch between spans may be empty: as long as a part that is not, less one.
    kept = _parts(len(tokens) - num_noise + 2, num_spans + 1, generator)
    kept[[0, -1]] -= 1
    stops = np.cumsum(kept[:-1] + spans)
    starts = stops - spans
    source, target = [tokens[: starts[0]]], []
    following = np.append(starts[1:], len(tokens))
    for number, (start, stop, then) in enumerate(zip(starts, stops, following, strict=True)):
        sentinel = np.array([sentinels[number]], np.int32)
        source += [sentinel, tokens[stop:then]]
        target += [sentinel, tokens[start:stop]]
    target.append(np.array([sentinels[num_spans]], np.int32))
    return np.concatenate(source), np.concatenate(target)


def _parts(total: int, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Cut a whole number into so many whole parts of one at least, all ways equally probable."""
    cuts = np.sort(generator.choice(total - 1, count - 1, replace=False)) + 1
    return np.diff(cuts, prepend=0, append=total)
