"""Recurrent networks: the three cells, each as its equations and as torch's fused recurrence over whole sequences.

Elman 1990, "Finding structure in time"; Hochreiter & Schmidhuber 1997, "Long short-term memory", with the forget gate
of Gers et al. 2000; Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder", arXiv:1406.1078. The
equations are the definition; `Recurrent` computes the same, layer on layer, without a loop in Python. G below is the
width of a cell's gates, one beside the other: the hidden width times `GATES`, in torch's order.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from attento.nn.dropout import Dropout
from attento.nn.state import select_rows

CellKind: TypeAlias = Literal["elman", "gru", "lstm"]
_NETWORKS: dict[CellKind, type[nn.RNN | nn.GRU | nn.LSTM]] = {"elman": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
GATES: dict[CellKind, int] = {"elman": 1, "gru": 3, "lstm": 4}
"""How many times its own width a cell takes from its input and from its hidden vector."""


@dataclass(frozen=True)
class RecurrentState:
    """What a recurrent network keeps from step to step: a vector a layer and direction, and an LSTM's cells."""

    hidden: Float[Tensor, "N layers D"]
    cell: Float[Tensor, "N layers D"] | None = None

    def select(self, indices: Int[Tensor, " N"]) -> "RecurrentState":
        """Return a state whose row i is this state's row `indices[i]`."""
        return select_rows(self, indices)


def elman_cell(by_input: Float[Tensor, "N D"], by_hidden: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
    """Compute h_t = tanh(W x_t + U h_{t-1}) (Elman 1990, with tanh for the logistic function).

    Args:
        by_input: W x_t and its bias, as in all three cells.
        by_hidden: U h_{t-1} and its bias, as in all three cells.
    """
    return torch.tanh(by_input + by_hidden)


def gru_cell(
    by_input: Float[Tensor, "N G"], by_hidden: Float[Tensor, "N G"], hidden: Float[Tensor, "N D"]
) -> Float[Tensor, "N D"]:
    """Compute one step of a gated recurrent unit (Cho et al. 2014, section 2.3, eq. 5 to 8).

    r = sigmoid(W_r x + U_r h), z = sigmoid(W_z x + U_z h), n = tanh(W_n x + r * U_n h), h' = z * h + (1 - z) * n. The
    paper resets before the product, U_n (r * h); this is the variant of the fused recurrences, which reset after it.
    """
    reset_input, update_input, new_input = by_input.chunk(3, dim=-1)
    reset_hidden, update_hidden, new_hidden = by_hidden.chunk(3, dim=-1)
    reset = torch.sigmoid(reset_input + reset_hidden)
    update = torch.sigmoid(update_input + update_hidden)
    new = torch.tanh(new_input + reset * new_hidden)
    return torch.lerp(new, hidden, update)


def lstm_cell(
    by_input: Float[Tensor, "N G"], by_hidden: Float[Tensor, "N G"], cell: Float[Tensor, "N D"]
) -> tuple[Float[Tensor, "N D"], Float[Tensor, "N D"]]:
    """Compute one step of a long short-term memory; return its hidden vector and its cell.

    With i, f, o = sigmoid(W x + U h) and g = tanh(W_g x + U_g h): c' = f * c + i * g and h' = o * tanh(c') (Hochreiter
    & Schmidhuber 1997; the forget gate f is Gers et al. 2000, "Learning to forget"; no peepholes).
    """
    enter, forget, new, leave = (by_input + by_hidden).chunk(4, dim=-1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(new)
    return torch.sigmoid(leave) * torch.tanh(cell), cell


class Recurrent(nn.Module):
    """A stack of recurrent layers over whole sequences, by torch's fused recurrences; dropout between layers.

    In both directions, each layer reads what both directions of the layer below have put out (Schuster & Paliwal 1997).
    """

    def __init__(
        self,
        cell: CellKind,
        d_input: int,
        d_hidden: int,
        layers: int = 1,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        self.cell, self.d_hidden = cell, d_hidden
        self.vectors = layers * (1 + bidirectional)
        # torch warns of a dropout that has no two layers to stand between.
        between = dropout if layers > 1 else 0.0
        self.network = _NETWORKS[cell](
            d_input, d_hidden, layers, batch_first=True, dropout=between, bidirectional=bidirectional
        )
        for name, parameter in self.network.named_parameters():
            draw_recurrent(parameter, cell, name)

    def start(self, rows: int) -> RecurrentState:
        """Return the state of so many sequences of which nothing is read yet: zeros."""
        zeros = next(self.parameters()).new_zeros(rows, self.vectors, self.d_hidden)
        return RecurrentState(zeros, zeros if self.cell == "lstm" else None)

    def forward(
        self,
        inputs: Float[Tensor, "B L E"],
        state: RecurrentState | None = None,
        mask: Bool[Tensor, "B L"] | None = None,
    ) -> tuple[Float[Tensor, "B L D"], RecurrentState]:
        """Read some more vectors; return what the last layer puts out at each, and the state after them.

        Args:
            inputs: the vectors to read.
            state: what to go on from; zeros if None.
            mask: which vectors are real; all if None. In each row the real ones come first. Outputs at the others are
                zero, and the state returned is that after the last real one.

        Raises:
            TypeError: the state is that of another cell, depth or width.
        """
        state = state or self.start(len(inputs))
        _expect_fit(state, self.vectors, self.d_hidden, self.cell)
        if mask is None or bool(mask.all()):
            outputs, last = self.network(inputs, self._for_torch(state))
            return outputs, self._from_torch(last)
        lengths = mask.sum(dim=1)
        # Packing refuses a row with nothing in it: such a row reads one vector, and what came of it is put aside.
        packed = pack_padded_sequence(inputs, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        packed_outputs, last = self.network(packed, self._for_torch(state))
        outputs, _ = pad_packed_sequence(packed_outputs, batch_first=True, total_length=inputs.size(1))
        after = self._from_torch(last)
        if bool((lengths == 0).any()):
            outputs, after = outputs * mask[..., None], _where(lengths > 0, after, state)
        return outputs, after

    def _for_torch(self, state: RecurrentState) -> Any:
        hidden = state.hidden.transpose(0, 1).contiguous()
        return hidden if state.cell is None else (hidden, state.cell.transpose(0, 1).contiguous())

    def _from_torch(self, last: Any) -> RecurrentState:
        if self.cell == "lstm":
            hidden, cell = last
            return RecurrentState(hidden.transpose(0, 1), cell.transpose(0, 1))
        return RecurrentState(last.transpose(0, 1))


class StepwiseRecurrent(nn.Module):
    """A stack of recurrent layers that goes one step at a time, because a step is fed what came of the one before.

    The first layer's input is a word and what is fed. Words are known beforehand: their products are computed for all
    steps at once. Dropout between layers.
    """

    def __init__(
        self, cell: CellKind, d_word: int, d_feed: int, d_hidden: int, layers: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.cell, self.d_hidden = cell, d_hidden
        gates = GATES[cell] * d_hidden
        self.by_words = nn.Linear(d_word, gates)
        self.by_feed = nn.Linear(d_feed, gates, bias=False)
        self.by_below = nn.ModuleList(nn.Linear(d_hidden, gates) for _ in range(layers - 1))
        self.by_hidden = nn.ModuleList(nn.Linear(d_hidden, gates) for _ in range(layers))
        self.dropout = Dropout(dropout)
        for linears, suffix in ((self.by_hidden, "hh"), ([self.by_words, self.by_feed, *self.by_below], "ih")):
            for linear in linears:
                for name, parameter in linear.named_parameters():
                    draw_recurrent(parameter, cell, f"{name}_{suffix}")

    def forward(
        self, by_word: Float[Tensor, "N G"], feed: Float[Tensor, "N F"], state: RecurrentState
    ) -> RecurrentState:
        """Take one step.

        Args:
            by_word: what `by_words` makes of the word.
            feed: the other part of the input.
            state: what to go on from.

        Raises:
            TypeError: the state is that of another cell, depth or width.
        """
        _expect_fit(state, len(self.by_hidden), self.d_hidden, self.cell)
        by_input = torch.addmm(by_word, feed, self.by_feed.weight.T)
        hiddens: list[Tensor] = []
        cells: list[Tensor] = []
        before = (state.hidden if state.cell is None else state.cell).unbind(1)
        for layer, hidden in enumerate(state.hidden.unbind(1)):
            if layer:
                by_input = self.by_below[layer - 1](self.dropout(hiddens[-1]))
            by_hidden = self.by_hidden[layer](hidden)
            match self.cell:
                case "elman":
                    hiddens.append(elman_cell(by_input, by_hidden))
                case "gru":
                    hiddens.append(gru_cell(by_input, by_hidden, hidden))
                case "lstm":
                    hidden, cell = lstm_cell(by_input, by_hidden, before[layer])
                    hiddens.append(hidden)
                    cells.append(cell)
        return RecurrentState(torch.stack(hiddens, dim=1), torch.stack(cells, dim=1) if cells else None)


@torch.no_grad()
def draw_recurrent(parameter: Tensor, cell: CellKind, name: str) -> None:
    """Draw a cell's weights, gate by gate, as is usual.

    Products with the input by Glorot's uniform draw, products with the hidden vector orthogonal (Saxe et al. 2014),
    biases zero, but an LSTM forgets nothing at first: 1 on its forget gate (Jozefowicz et al. 2015, section 3.2).

    Args:
        parameter: the weight or bias of all gates, one below the other.
        cell: which cell it belongs to.
        name: what it begins with, as in torch, tells which: "weight_ih", "weight_hh", "bias_ih" or "bias_hh".
    """
    gates = parameter.chunk(GATES[cell])
    if name.startswith("weight_ih"):
        for gate in gates:
            nn.init.xavier_uniform_(gate)
    elif name.startswith("weight_hh"):
        for gate in gates:
            nn.init.orthogonal_(gate)
    else:
        nn.init.zeros_(parameter)
        if cell == "lstm" and name.startswith("bias_ih"):
            nn.init.ones_(gates[1])


def _expect_fit(state: RecurrentState, vectors: int, width: int, cell: CellKind) -> None:
    # The states of Elman's cells and of gated units are of one form: nothing tells them apart.
    _, given_vectors, given_width = state.hidden.shape
    wanted, given = _form(vectors, width, cell == "lstm"), _form(given_vectors, given_width, state.cell is not None)
    if given != wanted:
        raise TypeError(
            f"a recurrent network that keeps {wanted} was given a state of {given}; "
            "a state belongs to the model whose `start` made it"
        )


def _form(vectors: int, width: int, has_cell: bool) -> str:
    return f"{vectors} x {width} numbers a row {'with' if has_cell else 'without'} an LSTM's cells"


def _where(keep: Bool[Tensor, " B"], new: RecurrentState, old: RecurrentState) -> RecurrentState:
    hidden = torch.where(keep[:, None, None], new.hidden, old.hidden)
    if new.cell is None or old.cell is None:
        return RecurrentState(hidden)
    return RecurrentState(hidden, torch.where(keep[:, None, None], new.cell, old.cell))
