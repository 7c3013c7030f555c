"""Windows of running text with spans cut out, as pairs of a source and a target, in an order that can be found again.

The pairs are batched as those of a translation: sources and targets end in eos. Knows no file format and no model.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from attento.data.denoising.spans import Noise, corrupt
from attento.data.pairs.batching import Batch, Pair, make_batch
from attento.data.stream.batching import (
    Cuts,
    Windows,
    evaluation_generators,
    tokens_of,
    window_generators,
    windows_in_order,
)


class DenoisingWindows(Windows[Batch]):
    """Endless training batches of windows with spans cut out, at most `tokens_per_step` source and target tokens.

    What is cut out of a window is a pure function of (seed, epoch, window); the rest is as in `Windows`.
    """

    def __init__(
        self,
        ids: NDArray[np.int32],
        context: int,
        tokens_per_step: int,
        seed: int,
        *,
        noise: Noise,
        sentinels: Sequence[int],
    ) -> None:
        """Take a text, how much of it to cut out, and the pieces that tell where.

        Raises:
            ConfigError: `context` or `tokens_per_step` is out of range.
            DataError: the text has no token behind the first.
        """
        # With the eos of either side.
        super().__init__(ids, context, tokens_per_step, seed, window_tokens=sum(noise.lengths(context)) + 2)
        self._noise, self._sentinels = noise, sentinels

    def _batch(self, epoch: int, numbers: NDArray[np.int64], cuts: Cuts) -> Batch:
        windows = zip(tokens_of(self._ids, cuts), window_generators(self._seed, epoch, numbers), strict=True)
        return make_batch([corrupt(tokens, self._noise, self._sentinels, generator) for tokens, generator in windows])


def evaluation_pairs(ids: NDArray[np.int32], context: int, noise: Noise, sentinels: Sequence[int]) -> list[Pair]:
    """Return source and target of each window, in the order of the text; what is cut out is always the same.

    Raises:
        ConfigError: `context` is out of range.
        DataError: the text has no token behind the first.
    """
    windows = tokens_of(ids, windows_in_order(ids, context))
    generators = evaluation_generators(range(len(windows)))
    return [corrupt(tokens, noise, sentinels, generator) for tokens, generator in zip(windows, generators, strict=True)]
