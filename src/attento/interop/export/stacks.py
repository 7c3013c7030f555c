"""Where the parts of our Transformers stand among their weights, for the formats that are written weight by weight."""

from dataclasses import dataclass

from attento.models.language.config import DecoderOnlyConfig
from attento.models.translation.config import TransformerConfig


@dataclass(frozen=True)
class StackNames:
    """The names of one stack's parts; a layer's are `{layers}.{number}.`."""

    embedding: str
    positions: str
    relations: str
    embedding_norm: str
    layers: str
    last_norm: str


READER = StackNames(
    "source_embedding", "source_positions", "source_relations", "source_norm", "encoder", "encoder_norm"
)
"""A translation model's stack that reads; where one matrix serves both sides, its embedding is the writer's."""
WRITER = StackNames(
    "target_embedding", "target_positions", "target_relations", "target_norm", "decoder", "decoder_norm"
)
"""A translation model's stack that writes."""
TEXT = StackNames("embedding", "positions", "relations", "embedding_norm", "decoder", "decoder_norm")
"""A language model's only stack."""

StacksConfig = TransformerConfig | DecoderOnlyConfig
"""The settings of the models that are made of such stacks and of nothing else."""
