"""What a packed model is: the settings of its file under the names of the papers, checked."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar, get_args

from attento.engines.packed.file import PackedModel
from attento.engines.reference.places import Layout

# The file holds each choice as the number of its place in its list, for whoever writes it and whoever reads it.
Architecture: TypeAlias = Literal["transformer", "decoder_only", "language_model"]
FeedForward: TypeAlias = Literal[
    "relu", "gelu", "gelu_tanh", "silu", "glu", "reglu", "geglu", "geglu_tanh", "swiglu", "bilinear"
]
Normalization: TypeAlias = Literal["layer", "rms"]
NormOrder: TypeAlias = Literal["post", "pre"]
Positions: TypeAlias = Literal["none", "sinusoidal", "learned", "rotary", "alibi", "relative"]

GATED: tuple[FeedForward, ...] = ("glu", "reglu", "geglu", "geglu_tanh", "swiglu", "bilinear")
"""The feed-forward networks of three matrices (Shazeer 2020)."""

ChoiceT = TypeVar("ChoiceT")
# Far above any model there is.
_MOST = 1 << 24


@dataclass(frozen=True)
class ModelSettings:
    """The settings of one model; `models.stack_config` says what they mean. A limit is None where there is none."""

    architecture: Architecture
    exact: bool
    """Whether weights, and with them the keys and values that are kept, are in float32."""
    d_model: int
    d_ff: int
    num_heads: int
    num_kv_heads: int
    d_key: int
    d_value: int
    encoder_layers: int
    decoder_layers: int
    source_vocab_size: int
    target_vocab_size: int
    feed_forward: FeedForward
    normalization: Normalization
    norm_epsilon: float
    norm: NormOrder
    positions: Positions
    position_layout: Layout
    attention_scale: float
    embedding_scale: float
    embedding_norm: bool
    source_sees_all: bool
    relative_buckets: int
    relative_max_distance: int
    max_source_length: int | None
    max_target_length: int | None
    bos_id: int
    eos_id: int

    @classmethod
    def read(cls, file: PackedModel) -> "ModelSettings":
        """Take the settings out of a file.

        Raises:
            RunFolderError: one is missing or cannot be.
        """
        relative = file.real("positions") == get_args(Positions).index("relative")
        return cls(
            architecture=_choice(file, "architecture", get_args(Architecture)),
            exact=_choice(file, "compute_type", (True, False, False)),
            d_model=_size(file, "d_model"),
            d_ff=_size(file, "d_ff"),
            num_heads=_size(file, "num_heads"),
            num_kv_heads=_size(file, "num_kv_heads"),
            d_key=_size(file, "d_key"),
            d_value=_size(file, "d_value"),
            encoder_layers=_size(file, "encoder_layers", 0),
            decoder_layers=_size(file, "decoder_layers"),
            source_vocab_size=_size(file, "source_vocab_size"),
            target_vocab_size=_size(file, "target_vocab_size"),
            feed_forward=_choice(file, "feed_forward", get_args(FeedForward)),
            normalization=_choice(file, "normalization", get_args(Normalization)),
            norm_epsilon=file.real("norm_epsilon"),
            norm=_choice(file, "norm", get_args(NormOrder)),
            positions=_choice(file, "positions", get_args(Positions)),
            position_layout=_choice(file, "position_layout", get_args(Layout)),
            attention_scale=file.real("attention_scale"),
            embedding_scale=file.real("embedding_scale"),
            embedding_norm=_choice(file, "embedding_norm", (False, True)),
            source_sees_all=_choice(file, "source_sees_all", (False, True)),
            relative_buckets=_size(file, "relative_buckets", 4 if relative else 0),
            relative_max_distance=_size(file, "relative_max_distance", 0),
            max_source_length=_size(file, "max_source_length", 0) or None,
            max_target_length=_size(file, "max_target_length", 0) or None,
            bos_id=file.whole("bos_id", 0, _MOST),
            eos_id=file.whole("eos_id", 0, _MOST),
        )


def _choice(file: PackedModel, name: str, choices: tuple[ChoiceT, ...]) -> ChoiceT:
    return choices[file.whole(name, 0, len(choices) - 1)]


def _size(file: PackedModel, name: str, least: int = 1) -> int:
    return file.whole(name, least, _MOST)
