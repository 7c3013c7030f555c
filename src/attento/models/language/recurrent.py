"""A language model that reads by a recurrent network (Mikolov et al. 2010; Zaremba, Sutskever & Vinyals 2014).

"Recurrent neural network based language model", Interspeech 2010, and "Recurrent neural network regularization",
arXiv:1409.2329: layer on layer of Elman's, gated or long short-term memory cells, with dropout on all that passes
between layers and none on what a cell hands to itself.
"""

from attento.models.language.config import RecurrentLanguageConfig
from attento.models.language.tied import TiedLanguageModel
from attento.nn.dropout import Dropout
from attento.nn.recurrent import Recurrent, RecurrentState
from attento.nn.state import DecoderState, expect_state
from attento.shapes import Hidden, TargetIds


class RecurrentLanguageModel(TiedLanguageModel):
    """Holds all that it has read in a vector a layer."""

    def __init__(self, config: RecurrentLanguageConfig, vocab_size: int) -> None:
        """Make the model with freshly drawn weights."""
        super().__init__(config, vocab_size)
        self.max_length = None
        self.recurrent = Recurrent(config.cell, config.d_model, config.d_model, config.layers, config.dropout)
        self.dropout = Dropout(config.dropout)

    def start(self, rows: int) -> RecurrentState:
        """Return the state of texts of which nothing is read: zeros."""
        return self.recurrent.start(rows)

    def features(self, target: TargetIds, state: DecoderState) -> tuple[Hidden, RecurrentState]:
        """Read on; what the last layer puts out predicts (Zaremba et al. 2014, section 3)."""
        vectors = self.dropout(self.embedding(target))
        hidden, after = self.recurrent(vectors, expect_state(state, RecurrentState))
        return self.dropout(hidden), after
