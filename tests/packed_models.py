"""The settings that a packed model can have, and what the torch model says, for tests of all that read its file."""

import torch

from attento.models.base import EncoderDecoder
from attento.text.special import BOS_ID, EOS_ID

SOURCE = [5, 11, 46, 7, 4, 23, 8]
TARGET = [13, 9, 52, 4, 31, 6, 17, 44, 5, 28, 12]
POSITIONS = [
    {"positions": "none"},
    {"positions": "sinusoidal"},
    {"positions": "sinusoidal", "position_layout": "halves"},
    {"positions": "learned", "max_positions": 31},
    {"positions": "rotary"},
    {"positions": "rotary", "position_layout": "halves"},
    {"positions": "rotary", "rotary": {"base": 97.0, "scaling": {"kind": "linear", "factor": 3.0}}},
    {"positions": "alibi"},
    {"positions": "relative", "relative": {"buckets": 6, "max_distance": 7}},
]
STACKS = [
    *({"norm": norm, "normalization": kind} for norm in ("post", "pre") for kind in ("layer", "rms")),
    *({"feed_forward": kind} for kind in ("relu", "gelu", "gelu_tanh", "silu")),
    *({"feed_forward": kind} for kind in ("glu", "reglu", "geglu", "geglu_tanh", "swiglu", "bilinear")),
    {"num_kv_heads": 1},
    {"num_kv_heads": 2, "positions": "rotary"},
    {"num_kv_heads": 3, "positions": "alibi"},
    {"d_model": 48, "d_key": None, "d_value": None},
    {"scores": "unscaled"},
    {"bias": False},
    {"norm_epsilon": 0.5},
    {"scale_embeddings": False},
    {"embedding_norm": True},
    {"embedding_norm": True, "normalization": "rms", "positions": "learned", "norm": "pre"},
    {"output_bias": True},
]


def named(settings):
    return "-".join(f"{name}={value}" for name, value in settings.items())


@torch.inference_mode()
def torch_logits(model, source, target):
    """Return the model's own logits, and what it made of the source."""
    prompt, memory, state = source, None, None
    if isinstance(model, EncoderDecoder):
        ids = torch.tensor([[*source, EOS_ID]])
        memory = model.encode(ids, torch.ones_like(ids, dtype=torch.bool))
        prompt, state = [], model.start(memory)
    logits, _ = model.decode(torch.tensor([[BOS_ID, *prompt, *target]]), model.start(1) if state is None else state)
    return logits[0].numpy(), None if memory is None else memory.hidden[0].numpy()
