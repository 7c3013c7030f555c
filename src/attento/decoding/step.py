"""The one thing a search knows of a model, and what every search does with it first."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attento.nn.state import DecoderState

Step: TypeAlias = Callable[
    [Int[Tensor, "N 1"], DecoderState],
    tuple[Float[Tensor, "N 1 V"], DecoderState],
]
"""Feed every row its next token; return the logits of the token after it, and the state after both.

Row i of the answer may depend on row i of the state and of the tokens only. A logit of -inf forbids a token; the logits
of eos must be finite, because every hypothesis has to end.
"""


def next_log_probabilities(logits: Float[Tensor, "N 1 V"]) -> Float[Tensor, "N V"]:
    """Return log-probabilities of the next token, in float32 whatever the logits are in.

    The fused kernel writes all V of them and is still several times faster than `logsumexp`, which writes none.
    """
    return torch.log_softmax(logits[:, -1].float(), dim=-1)
