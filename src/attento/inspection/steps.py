"""Word by word: what a model held for likely at each step, and the tree of what a beam search tried."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attento.decoding.beam import beam_search
from attento.decoding.config import SearchConfig
from attento.decoding.constraints import Constraints
from attento.decoding.hypothesis import Hypothesis
from attento.decoding.step import next_log_probabilities
from attento.inspection.tokens import readable
from attento.models.base import EncoderDecoder, Memory
from attento.nn.state import DecoderState, select_rows
from attento.text.special import BOS_ID, EOS_ID
from attento.text.tokenizer import Tokenizer

CANDIDATES = 10
"""How many candidates are shown at each step."""


@dataclass(frozen=True)
class Candidate:
    """A token that could come next, and how probable the model holds it."""

    text: str
    probability: float


@dataclass(frozen=True)
class StepView:
    """One step: where it stands, what came, and what else could have come.

    `place` is the number of the token in its line. `chosen` is None where nothing is known to come next.
    """

    place: int
    candidates: tuple[Candidate, ...]
    chosen: Candidate | None = None
    rank: int | None = None


def make_steps(
    tokenizer: Tokenizer, logits: Float[Tensor, "T V"], seen: Sequence[int], came: Sequence[int]
) -> list[StepView]:
    """Return the likeliest tokens at each step.

    Args:
        tokenizer: the one of what is written.
        logits: a row for each step.
        seen: the tokens of text that come, in order; those before step t are `seen[:t]`.
        came: the token that did come at each step; fewer than steps where the last is open.
    """
    steps = []
    for place, row in enumerate(logits.float().softmax(dim=-1)):
        likely, ids = row.topk(min(CANDIDATES, row.numel()))
        candidates = tuple(
            Candidate(readable(tokenizer, seen[:place], int(token)), float(probability))
            for probability, token in zip(likely, ids, strict=True)
        )
        if place < len(came):
            token = came[place]
            chosen = Candidate(readable(tokenizer, seen[:place], token), float(row[token]))
            steps.append(StepView(place, candidates, chosen, int((row > row[token]).sum()) + 1))
        else:
            steps.append(StepView(place, candidates))
    return steps


@dataclass(frozen=True)
class Node:
    """A hypothesis that a beam search kept at some step: the token it ends in, after those of its parent."""

    parent: int | None
    token: int
    log_probability: float
    finished: bool = False


@dataclass
class BeamTree:
    """What a beam search kept at every step, and what it found in the end, best first."""

    nodes: list[Node] = field(default_factory=list)
    best: list[Hypothesis] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    """The node that each hypothesis of `best` ends in."""


@dataclass(frozen=True)
class _Watched:
    """A state of the search with what its rows have written."""

    state: DecoderState
    node: Int[Tensor, " N"]
    total: Float[Tensor, " N"]
    log_probs: Float[Tensor, "N V"]

    def select(self, indices: Int[Tensor, " N"]) -> "_Watched":
        # The rows of the state inside are picked by the state itself.
        rows = _Rows(self.node, self.total, self.log_probs)
        picked = select_rows(rows, indices)
        return _Watched(self.state.select(indices), picked.node, picked.total, picked.log_probs)


@dataclass(frozen=True)
class _Rows:
    node: Int[Tensor, " N"]
    total: Float[Tensor, " N"]
    log_probs: Float[Tensor, "N V"]


def watch_beam(model: EncoderDecoder, memory: Memory, search: SearchConfig) -> BeamTree:
    """Search for the translation of one sentence and keep the tree of all that was live on the way.

    The search itself is the one that translates: its step function is wrapped, and sees which rows go on with what.
    """
    tree = BeamTree()

    def step(tokens: Int[Tensor, "N 1"], state: DecoderState) -> tuple[Float[Tensor, "N 1 V"], DecoderState]:
        assert isinstance(state, _Watched)
        total = state.total + state.log_probs.gather(1, tokens)[:, 0]
        nodes = []
        for parent, token, sum_so_far in zip(state.node.tolist(), tokens[:, 0].tolist(), total.tolist(), strict=True):
            if token == BOS_ID:
                nodes.append(-1)
                continue
            tree.nodes.append(Node(None if parent < 0 else parent, token, sum_so_far))
            nodes.append(len(tree.nodes) - 1)
        logits, after = model.decode(tokens, state.state)
        log_probs = next_log_probabilities(logits)
        return logits, _Watched(after, torch.tensor(nodes, device=tokens.device), total, log_probs)

    device = memory.hidden.device
    cap = torch.tensor([int(memory.mask.sum()) - 1 + search.max_extra_length], device=device)
    if model.max_target_length is not None:
        cap = cap.clamp(max=model.max_target_length - 1)
    nothing = torch.zeros(1, model.target_vocab_size, device=device)
    start = _Watched(model.start(memory), torch.full((1,), -1, device=device), torch.zeros(1, device=device), nothing)
    (tree.best,) = beam_search(
        step,
        start,
        beam_size=search.beam_size,
        bos_id=BOS_ID,
        eos_id=EOS_ID,
        max_lengths=cap,
        length_penalty=search.length_penalty,
        n_best=search.beam_size,
        constraints=Constraints.of(search, device=device),
    )
    _finish(tree)
    return tree


def _finish(tree: BeamTree) -> None:
    """Add the end of sentence to each hypothesis that was found."""
    paths: dict[tuple[int, ...], int] = {(): -1}
    by_node: dict[int, tuple[int, ...]] = {-1: ()}
    for number, node in enumerate(tree.nodes):
        path = (*by_node[-1 if node.parent is None else node.parent], node.token)
        by_node[number], paths[path] = path, number
    for hypothesis in tree.best:
        parent = paths[hypothesis.ids]
        tree.nodes.append(Node(None if parent < 0 else parent, EOS_ID, hypothesis.log_probability, finished=True))
        tree.ends.append(len(tree.nodes) - 1)
