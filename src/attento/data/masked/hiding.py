"""Which tokens of a window a model has to tell, and what it reads in their places.

Devlin et al. 2019, "BERT: Pre-training of deep bidirectional Transformers for language understanding"
(arXiv:1810.04805), section 3.1, task 1. Knows no file and no tensor.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attento.text.special import EOS_ID

MASKED, REPLACED = 0.8, 0.1
"""Of the hidden tokens, the shares that are read as the mask and as a random token; the others stay."""

_FIRST_PIECE = EOS_ID + 1


@dataclass(frozen=True)
class Hiding:
    """How tokens are hidden.

    Attributes:
        share: of the tokens of a window, those that are hidden; one at least.
        mask_id: the piece that is read in their place, an ordinary id.
        vocab_size: ids there are; a random token is any but the mask and the first four.
    """

    share: float
    mask_id: int
    vocab_size: int

    def hide(
        self, tokens: NDArray[np.int32], generator: np.random.Generator
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return what is read of a window, and True on the tokens to tell."""
        places = generator.choice(len(tokens), max(1, round(len(tokens) * self.share)), replace=False)
        fates = generator.random(len(places))
        random = generator.integers(_FIRST_PIECE, self.vocab_size - 1, len(places))
        random += random >= self.mask_id
        read, hidden = tokens.copy(), np.zeros(len(tokens), dtype=np.bool_)
        hidden[places] = True
        read[places] = np.where(
            fates < MASKED, self.mask_id, np.where(fates < MASKED + REPLACED, random, tokens[places])
        )
        return read, hidden
