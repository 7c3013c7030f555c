"""The Transformer of a packed file, in numpy, in reading order: as `models.translation` and `models.language` have it.

One sentence at a time: the rows of a batch are its hypotheses, all equally long, so that nothing is ever padded.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from attento.engines.packed.file import PackedModel
from attento.engines.packed.panels import Floats
from attento.engines.reference.layers import Layer, LayerState, Mask, Norm
from attento.engines.reference.linear import Ids, Linear
from attento.engines.reference.places import (
    Relation,
    bucket_biases,
    linear_biases,
    rotary,
    sinusoidal_positions,
)
from attento.engines.reference.settings import ModelSettings


@dataclass(frozen=True)
class State:
    """What every layer keeps, and how many tokens of the sequence it has read."""

    layers: tuple[LayerState, ...]
    length: int

    def select(self, rows: Ids) -> "State":
        """Return a state whose row i is row `rows[i]` of this one."""
        return State(tuple(layer.select(rows) for layer in self.layers), self.length)

    def looks(self) -> list[Floats]:
        """Return where each layer has looked for the tokens read last, at the source if it attends to one by itself."""
        return [layer.look for layer in self.layers if layer.look is not None]


class Stack:
    """Layers, and how they are told where tokens stand: the encoder ("source"), or what writes ("target")."""

    def __init__(self, file: PackedModel, side: Literal["source", "target"], settings: ModelSettings) -> None:
        s = self.settings = settings
        name, count = ("encoder", s.encoder_layers) if side == "source" else ("decoder", s.decoder_layers)
        self.layers = [Layer(file, f"{name}.{i}", s, in_decoder=side == "target") for i in range(count)]
        self.embedding_norm = Norm(file, f"{side}_norm", s) if s.embedding_norm else None
        self.last_norm = Norm(file, f"{name}_norm", s) if s.norm == "pre" else None
        self.positions = file.floats(f"{side}_positions") if s.positions == "learned" else None
        self.angles = file.doubles("rotary_angles", (s.d_key // 2,)) if s.positions == "rotary" else None
        self.slopes = file.floats("alibi_slopes", (s.num_heads,)) if s.positions == "alibi" else None
        table = s.relative_buckets, s.num_heads
        self.relations = file.floats(f"{side}_relations", table) if s.positions == "relative" else None
        self.both_ways = side == "source" or s.source_sees_all

    def start(self, memory: Floats | None = None) -> State:
        """Return the state in which nothing is read but what the encoder made, where there is one."""
        return State(tuple(layer.start(memory) for layer in self.layers), length=0)

    def read(self, embedded: Floats, state: State, mask: Mask | None) -> tuple[Floats, State]:
        """Send the scaled vectors of some more tokens through the layers, (N, T, D) -> (N, T, D)."""
        start, length = state.length, embedded.shape[1]
        hidden, relation = self._add_positions(embedded, start), self._relate(start, length)
        if self.embedding_norm is not None:
            hidden = self.embedding_norm(hidden)
        after = []
        for layer, before in zip(self.layers, state.layers, strict=True):
            hidden, kept = layer(hidden, before, mask, relation)
            after.append(kept)
        if self.last_norm is not None:
            hidden = self.last_norm(hidden)
        return hidden, State(tuple(after), start + length)

    def _add_positions(self, embedded: Floats, start: int) -> Floats:
        """Add to each token's vector that of its place (section 3.5).

        Raises:
            IndexError: a place is beyond those that are learned.
        """
        s, length = self.settings, embedded.shape[1]
        if self.positions is not None:
            return embedded + self.positions[np.arange(start, start + length)]
        if s.positions == "sinusoidal":
            return embedded + sinusoidal_positions(start, length, s.d_model, s.position_layout)
        return embedded

    def _relate(self, start: int, length: int) -> Relation:
        """Return how tokens from `start` on stand to themselves and to all before them."""
        s, new, seen = self.settings, np.arange(start, start + length), np.arange(start + length)
        if self.angles is not None:
            return rotary(self.angles, new, s.position_layout)
        if self.slopes is not None:
            return linear_biases(self.slopes, new, seen)
        if self.relations is not None:
            return bucket_biases(self.relations, new, seen, s.relative_max_distance, both_ways=self.both_ways)
        return Relation()


class ReferenceModel:
    """A translation model or a language model: from a state, with a source read or without, it goes on token by token.

    Raises:
        RunFolderError: something is missing in the file or does not fit its settings.
    """

    def __init__(self, file: PackedModel) -> None:
        s = self.settings = ModelSettings.read(file)
        self.target_embedding = Linear.read(file, "target_embedding", s.target_vocab_size, s.d_model)
        # Where a matrix has no name of its own, the target's serves.
        self.source_embedding = self.output = self.target_embedding
        if file.has_matrix("source_embedding"):
            self.source_embedding = Linear.read(file, "source_embedding", s.source_vocab_size, s.d_model)
        if file.has_matrix("output"):
            self.output = Linear.read(file, "output", s.target_vocab_size, s.d_model)
        self.encoder = Stack(file, "source", s) if s.architecture == "transformer" else None
        self.decoder = Stack(file, "target", s)

    def start(self) -> State:
        """Return the state of a language model that has read nothing."""
        return self.decoder.start()

    def encode(self, source: Ids) -> tuple[Floats, State]:
        """Read a source, (S,), whose last token is eos; return its vectors, (1, S, D), and the state behind it.

        A decoder-only model reads it as the beginning of the sequence, each token with what it sees of the others
        (Raffel et al. 2020, section 3.2.1).
        """
        embedded = self._embed(self.source_embedding, source[None])
        if self.encoder is None:
            mask = None if self.settings.source_sees_all else causal_mask(len(source), len(source))
            return self.decoder.read(embedded, self.decoder.start(), mask)
        memory, _ = self.encoder.read(embedded, self.encoder.start(), None)
        return memory, self.decoder.start(memory)

    def decode(self, target: Ids, state: State) -> tuple[Floats, State]:
        """Read some more tokens of each row, (N, T); return the logits of the token after each, and the state."""
        length = target.shape[1]
        mask = causal_mask(length, state.length + length)
        features, state = self.decoder.read(self._embed(self.target_embedding, target), state, mask)
        return self.output(features), state  # (N, T, D) -> (N, T, V)

    def _embed(self, embedding: Linear, ids: Ids) -> Floats:
        """Look tokens up and scale their vectors (section 3.4)."""
        return embedding.rows(ids) * np.float32(self.settings.embedding_scale)


def causal_mask(new: int, total: int) -> Mask:
    """Let each of the last `new` tokens of `total` see itself and all before it (section 3.2.3)."""
    return np.tri(new, total, total - new, dtype=np.bool_)
