"""The torch engine: order, caps, limits and devices with a model that copies, invariance with a real one."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from attento.decoding.config import SamplingConfig, SearchConfig
from attento.decoding.hypothesis import Hypothesis
from attento.engines.torch import TorchEngine
from attento.errors import ConfigError, InputError, RunFolderError
from attento.models.base import EncoderDecoder, Memory
from attento.models.translation.config import TransformerConfig
from attento.models.translation.transformer import Transformer

EOS = 3
GREEDY = SearchConfig(beam_size=1)
BEAM = SearchConfig(beam_size=3, n_best=2)
DRAWN = SearchConfig(n_best=5, max_extra_length=5, sampling=SamplingConfig(temperature=1.3, top_k=13, seed=3))
NOTHING = [Hypothesis((), 0.0, 0.0, True)]


@dataclass(frozen=True)
class CopyState:
    source: torch.Tensor
    position: int

    def select(self, indices):
        return CopyState(self.source[indices], self.position)


class CopyModel(EncoderDecoder):
    """Writes its source, eos included, with probability near 1; notes what it was given."""

    def __init__(self, vocab_size=29, max_source_length=None, max_target_length=None, logit=20.0):
        super().__init__()
        self.source_vocab_size = self.target_vocab_size = vocab_size
        self.max_source_length, self.max_target_length = max_source_length, max_target_length
        self.logit = nn.Parameter(torch.tensor(logit))
        self.sources, self.modes = [], []

    def encode(self, source, source_mask):
        self.sources.append([row[mask].tolist() for row, mask in zip(source, source_mask, strict=True)])
        self.modes.append(self.training)
        return Memory(source[:, :, None].float(), source_mask)

    def start(self, memory):
        return CopyState(memory.hidden[:, :, 0].long(), 0)

    def features(self, target, state):
        assert target.shape == (len(state.source), 1)
        # Beyond a source there is no eos to copy: go on with token 5.
        column = state.source[:, state.position] if state.position < state.source.size(1) else torch.tensor(5)
        wanted = column.expand(len(target))
        features = nn.functional.one_hot(wanted, self.target_vocab_size).float()[:, None] * self.logit
        return features, CopyState(state.source, state.position + 1)

    def output_layer(self):
        return torch.eye(self.target_vocab_size), None


class ForgetfulModel(CopyModel):
    """Never ends by itself."""

    def features(self, target, state):
        features, state = super().features(target, state)
        return features.index_fill(2, torch.tensor([EOS]), -20.0), state


SOURCES = [[7], [5, 6, 7, 8, 9], [], [11, 12, 13], [4, 4], [], [23] * 13]


@pytest.mark.parametrize("search", [GREEDY, BEAM])
@pytest.mark.parametrize("max_batch_tokens", [1, 17, 4096])
def test_keeps_the_order_and_drops_nothing(search, max_batch_tokens):
    engine = TorchEngine(CopyModel(), device="cpu", max_batch_tokens=max_batch_tokens)
    found = engine.translate(SOURCES, search)
    assert [hypotheses[0].ids for hypotheses in found] == [tuple(source) for source in SOURCES]
    assert [len(hypotheses) for hypotheses in found] == [search.n_best if source else 1 for source in SOURCES]
    assert all(hypotheses[0].finished for hypotheses in found)


def test_sources_end_in_eos_and_share_batches_within_the_budget():
    model = CopyModel()
    TorchEngine(model, device="cpu", max_batch_tokens=17).translate(SOURCES, GREEDY)
    given = [row for batch in model.sources for row in batch]
    assert sorted(given) == sorted([*source, EOS] for source in SOURCES if source)
    assert all(len(batch) * max(map(len, batch)) <= 17 for batch in model.sources)
    assert len(model.sources) < len(given)


def test_a_beam_shrinks_the_batches():
    model = CopyModel()
    TorchEngine(model, device="cpu", max_batch_tokens=17).translate([[7], [8], [9], [10]], SearchConfig(beam_size=4))
    assert [len(batch) for batch in model.sources] == [2, 2]


def test_empty_sources_never_reach_the_model():
    model = CopyModel()
    engine = TorchEngine(model, device="cpu")
    assert engine.translate([], BEAM) == []
    assert engine.translate([[], ()], BEAM) == [NOTHING, NOTHING]
    assert model.sources == []


@pytest.mark.parametrize("search", [GREEDY, BEAM, DRAWN])
def test_output_is_capped_by_the_length_of_its_own_source(search):
    search = replace(search, max_extra_length=3)
    found = TorchEngine(ForgetfulModel(), device="cpu").translate([[7], [8, 9], [10] * 11], search)
    assert [len(hypotheses[0].ids) for hypotheses in found] == [4, 5, 14]
    assert not any(hypotheses[0].finished for hypotheses in found)


@pytest.mark.parametrize("search", [GREEDY, BEAM, DRAWN])
def test_output_is_capped_by_what_the_model_can_write(search):
    # Seven positions: bos and six pieces are read.
    found = TorchEngine(ForgetfulModel(max_target_length=7), device="cpu").translate([[7, 8]], search)
    assert len(found[0][0].ids) == 6


@pytest.mark.parametrize("search", [GREEDY, BEAM, DRAWN])
def test_each_source_has_its_own_prefix(search):
    prefixes = [(21,), (), (22, 23), (24, 25, 26), (), (), (27,)]
    search = replace(search, length_penalty=0.0)
    for max_batch_tokens in (1, 4096):
        engine = TorchEngine(CopyModel(), device="cpu", max_batch_tokens=max_batch_tokens)
        found = engine.translate(SOURCES, search, prefixes)
        for source, prefix, hypotheses in zip(SOURCES, prefixes, found, strict=True):
            if not source:
                assert hypotheses == NOTHING
                continue
            assert all(each.ids[: len(prefix)] == prefix for each in hypotheses)
            assert hypotheses[0].ids[len(prefix) :] == tuple(source[len(prefix) :])
            # Each piece that is not the source's costs 20 nats.
            assert hypotheses[0].log_probability == pytest.approx(-20.0 * len(prefix), abs=0.01)


@pytest.mark.parametrize("search", [GREEDY, BEAM, DRAWN])
def test_prefixes_of_nothing_change_no_bit(search):
    engine = TorchEngine(CopyModel(logit=1.0), device="cpu")
    assert engine.translate(SOURCES, search, [()] * len(SOURCES)) == engine.translate(SOURCES, search)


def test_a_prefix_longer_than_the_cap_is_refused():
    engine = TorchEngine(CopyModel(max_target_length=4), device="cpu")
    assert engine.translate([[7] * 5], GREEDY, [[8, 9, 10]])[0][0].ids == (8, 9, 10)
    with pytest.raises(InputError, match=r"prefix 0 .* 4 pieces, but its translation may have at most 3"):
        engine.translate([[7] * 5], GREEDY, [[8, 9, 10, 11]])


@pytest.mark.parametrize("search", [GREEDY, BEAM, DRAWN])
def test_the_constraints_of_the_settings_reach_the_search(search):
    longer = replace(search, min_length=4, max_extra_length=5)
    found = TorchEngine(CopyModel(), device="cpu").translate([[7], [8, 9, 10, 11, 12]], longer)
    assert all(len(each.ids) >= 4 for each in found[0])
    assert found[1][0].ids == (8, 9, 10, 11, 12)
    varied = replace(search, no_repeat_ngram=1)
    for each in TorchEngine(CopyModel(), device="cpu").translate([[7, 7, 7]], varied)[0]:
        assert len(set(each.ids)) == len(each.ids)


def test_a_source_too_long_is_named_with_the_limit():
    engine = TorchEngine(CopyModel(max_source_length=6), device="cpu")
    assert engine.max_source_length == 6
    assert engine.translate([[7] * 5], GREEDY)[0][0].ids == (7,) * 5
    with pytest.raises(InputError, match=r"source 1 .* 6 pieces .* at most 6 tokens"):
        engine.translate([[7], [7] * 6], GREEDY)


@pytest.mark.parametrize("wrong", [29, -1])
def test_an_id_outside_the_vocabulary_is_refused(wrong):
    with pytest.raises(InputError, match=r"source 2 .*vocabulary of 29"):
        TorchEngine(CopyModel(), device="cpu").translate([[7], [], [7, wrong, 8]], GREEDY)


@pytest.mark.parametrize("search", [GREEDY, BEAM, DRAWN])
def test_scores_that_are_no_numbers_are_told(search):
    with pytest.raises(RunFolderError, match="not numbers"):
        TorchEngine(CopyModel(logit=float("nan")), device="cpu").translate([[7, 8]], search)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_runs_without_dropout_and_gets_its_mode_back(training):
    model = CopyModel().train(training)
    TorchEngine(model, device="cpu").translate([[7]], GREEDY)
    assert model.modes == [False]
    assert model.training is training


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="`warp`"):
        TorchEngine(CopyModel(), device="warp")


def test_a_budget_that_holds_nothing_is_refused():
    with pytest.raises(ConfigError, match="max_batch_tokens"):
        TorchEngine(CopyModel(), device="cpu", max_batch_tokens=0)


VOCAB_SIZE = 31


def real_engine(max_batch_tokens):
    """A Transformer drawn at random, its logits spread wide, so that no choice hangs on the last bits of a sum."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = TransformerConfig(
            encoder_layers=1, decoder_layers=1, d_model=32, d_ff=23, num_heads=2, tied_embeddings="none", norm="pre"
        )
        model = Transformer(config, VOCAB_SIZE, VOCAB_SIZE)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "attention" in name and parameter.dim() > 1:
                    parameter.mul_(3.0)
                elif name.startswith("output_embedding"):
                    parameter.mul_(8.0)
    return TorchEngine(model, device="cpu", max_batch_tokens=max_batch_tokens)


ENGINES = SimpleNamespace(alone=real_engine(1), few=real_engine(41), all=real_engine(4096))
sources_in_two_orders = st.lists(st.lists(st.integers(4, VOCAB_SIZE - 1), max_size=11), min_size=2, max_size=7).flatmap(
    lambda sources: st.tuples(st.just(sources), st.permutations(range(len(sources))))
)


@pytest.mark.parametrize(
    "search",
    [
        SearchConfig(beam_size=1, max_extra_length=5),
        SearchConfig(beam_size=3, n_best=2, max_extra_length=5),
        SearchConfig(beam_size=5, n_best=1, length_penalty=0.0, max_extra_length=5),
        DRAWN,
    ],
)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(drawn=sources_in_two_orders)
def test_translations_are_the_same_alone_in_any_batch_and_in_any_order(search, drawn):
    sources, order = drawn
    alone = [ENGINES.alone.translate([source], search)[0] for source in sources]
    for found in (
        ENGINES.few.translate(sources, search),
        ENGINES.all.translate(sources, search),
        put_back(ENGINES.all.translate([sources[i] for i in order], search), order),
    ):
        assert ids(found) == ids(alone)
        for these, those in zip(found, alone, strict=True):
            assert [h.score for h in these] == pytest.approx([h.score for h in those], abs=1e-4)


def test_draws_are_ordered_by_score_and_come_back_with_their_seed():
    sources = [[5, 6, 7], [11, 13]]
    found = ENGINES.all.translate(sources, DRAWN)
    assert ENGINES.all.translate(sources, DRAWN) == found
    for hypotheses in found:
        assert len(hypotheses) == len({hypothesis.ids for hypothesis in hypotheses}) == 5
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
    other = replace(DRAWN, sampling=replace(DRAWN.sampling, seed=4))
    assert ids(ENGINES.all.translate(sources, other)) != ids(found)


def test_fewer_draws_are_the_first_of_more():
    few = ids(ENGINES.all.translate([[5, 6, 7]], replace(DRAWN, n_best=2)))[0]
    assert set(few) < set(ids(ENGINES.all.translate([[5, 6, 7]], DRAWN))[0])


def test_draws_at_a_low_temperature_are_the_greedy_translation():
    sources = [[5, 6, 7], [11, 13], [17]]
    cold = SearchConfig(max_extra_length=5, sampling=SamplingConfig(temperature=1e-6))
    greedy = ENGINES.all.translate(sources, SearchConfig(beam_size=1, max_extra_length=5))
    assert ids(ENGINES.all.translate(sources, cold)) == ids(greedy)


def test_the_number_of_draws_shrinks_the_batches():
    model = CopyModel()
    search = SearchConfig(beam_size=1, n_best=4, sampling=SamplingConfig())
    TorchEngine(model, device="cpu", max_batch_tokens=17).translate([[7], [8], [9], [10]], search)
    assert [len(batch) for batch in model.sources] == [2, 2]


def test_the_real_model_writes_different_things_of_different_lengths():
    """The test above would prove little about a model that always writes the same."""
    sources = [[token] * length for token in range(4, VOCAB_SIZE) for length in (1, 5, 11)]
    outputs = [h[0].ids for h in ENGINES.all.translate(sources, SearchConfig(beam_size=3, max_extra_length=5))]
    assert len(set(outputs)) > 50
    assert len({len(output) for output in outputs}) > 10


def ids(found):
    return [[(h.ids, h.finished) for h in hypotheses] for hypotheses in found]


def put_back(found, order):
    restored = [None] * len(found)
    for place, index in enumerate(order):
        restored[index] = found[place]
    return restored
