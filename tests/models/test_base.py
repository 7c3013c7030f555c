"""The contract is enough: a model of no known architecture is decoded and searched like any other."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from attento.decoding.beam import beam_search
from attento.decoding.greedy import greedy_search
from attento.models.base import EncoderDecoder, Memory
from attento.nn.state import DecoderState, select_rows

B, S, T, D, V, OUT = 3, 7, 5, 11, 13, 17
BOS, EOS = 2, 3


@dataclass(frozen=True)
class BagState:
    total: Tensor

    def select(self, indices: Tensor) -> "BagState":
        return select_rows(self, indices)


class BagOfWords(EncoderDecoder):
    """Adds up all it has read and written: no attention, no position, no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.d_model, self.source_vocab_size, self.target_vocab_size = D, V, OUT
        self.max_source_length = self.max_target_length = None
        self.read, self.write = nn.Embedding(V, D), nn.Embedding(OUT, D)
        self.out = nn.Linear(D, OUT)

    def encode(self, source: Tensor, source_mask: Tensor) -> Memory:
        return Memory(self.read(source) * source_mask[..., None], source_mask)

    def start(self, memory: Memory) -> BagState:
        return BagState(memory.hidden.sum(1))

    def features(self, target: Tensor, state: DecoderState) -> tuple[Tensor, BagState]:
        assert isinstance(state, BagState)
        totals = state.total[:, None] + self.write(target).cumsum(1)
        return totals.tanh(), BagState(totals[:, -1])

    def output_layer(self) -> tuple[Tensor, Tensor]:
        return self.out.weight, self.out.bias


def test_decode_projects_the_features_and_passes_the_state_on() -> None:
    model = BagOfWords()
    state = model.start(model.encode(torch.randint(V, (B, S)), torch.rand(B, S) < 0.7))
    assert isinstance(state, DecoderState)
    target = torch.randint(OUT, (B, T))
    logits, after = model.decode(target, state)
    features, expected = model.features(target, state)
    torch.testing.assert_close(logits, model.out(features))
    assert torch.equal(after.total, expected.total)


def test_any_model_can_be_searched() -> None:
    """Beam 1 is greedy; both call nothing but `decode` and `select`."""
    model = BagOfWords().eval()
    caps = torch.tensor([5, 2, 7])
    with torch.no_grad():
        state = model.start(model.encode(torch.randint(V, (B, S)), torch.rand(B, S) < 0.7))
        greedy = greedy_search(model.decode, state, bos_id=BOS, eos_id=EOS, max_lengths=caps)
        beams = beam_search(model.decode, state, beam_size=1, bos_id=BOS, eos_id=EOS, max_lengths=caps)
    assert [hypothesis.ids for hypothesis in greedy] == [best.ids for [best] in beams]
    assert all(len(hypothesis.ids) <= cap for hypothesis, cap in zip(greedy, caps.tolist(), strict=True))


@pytest.mark.parametrize("missing", ["encode", "start", "features", "output_layer"])
def test_a_model_without_one_of_the_four_cannot_be_made(missing: str) -> None:
    methods = {name: getattr(BagOfWords, name) for name in ("encode", "start", "features", "output_layer")}
    del methods[missing]
    with pytest.raises(TypeError, match=missing):
        type("Incomplete", (EncoderDecoder,), methods)()


def test_memory_selects_vectors_and_mask_together() -> None:
    memory = Memory(torch.randn(B, S, D), torch.rand(B, S) < 0.5)
    picked = memory.select(torch.tensor([2, 0, 2, 2]))
    assert torch.equal(picked.hidden, memory.hidden[[2, 0, 2, 2]])
    assert torch.equal(picked.mask, memory.mask[[2, 0, 2, 2]])
