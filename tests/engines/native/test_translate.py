"""The native engine translates as the torch engine does, and no sentence's result depends on anything but itself."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packed_models import SOURCE, TARGET, named

from attento.decoding.config import SamplingConfig, SearchConfig
from attento.decoding.hypothesis import Hypothesis
from attento.engines import native
from attento.engines.base import Engine
from attento.engines.native import NativeEngine
from attento.engines.reference.engine import ReferenceEngine
from attento.engines.torch import TorchEngine
from attento.plain_settings import read_settings

attento_native = pytest.importorskip("attento_native", reason="the native engine is not installed: `make native`")
KERNELS = attento_native.available_kernels()
SOURCES = [[5, 11, 46, 7, 4], [], [23], [8, 8, 30, 41, 6, 6, 19], [13] * 11]
PREFIXES = [[9, 30], [], [], [4, 5, 4], [17]]
SEARCHES = [
    {"beam_size": 1, "max_extra_length": 7},
    {"beam_size": 1, "length_penalty": 1.3, "min_length": 9, "no_repeat_ngram": 1, "max_extra_length": 5},
    {"beam_size": 2, "max_extra_length": 31},
    {"beam_size": 5, "n_best": 3, "length_penalty": 0.0, "max_extra_length": 3},
    {"beam_size": 3, "n_best": 3, "length_penalty": 2.0, "min_length": 6, "no_repeat_ngram": 2, "max_extra_length": 2},
    {"beam_size": 61, "n_best": 5, "max_extra_length": 2},
    {"beam_size": 2, "max_extra_length": 0},
    {"n_best": 3, "max_extra_length": 5, "sampling": {"seed": 5}},
    {"n_best": 2, "max_extra_length": 2, "sampling": {"temperature": 1.3, "top_k": 13, "top_p": 0.9, "seed": 3}},
    {"n_best": 2, "min_length": 4, "no_repeat_ngram": 1, "sampling": {"top_p": 1.0}, "max_extra_length": 4},
]


def agree(engine, model, search, prefixes=None):
    assert isinstance(engine, Engine)
    found = engine.translate(SOURCES, search, prefixes)
    theirs = TorchEngine(model, device="cpu").translate(SOURCES, search, prefixes)
    assert [[each.ids for each in some] for some in found] == [[each.ids for each in some] for some in theirs]
    for some, others in zip(found, theirs, strict=True):
        for one, other in zip(some, others, strict=True):
            assert one.finished == other.finished
            assert one.log_probability == pytest.approx(other.log_probability, abs=1e-4)
            assert one.score == pytest.approx(other.score, abs=1e-4)
    return found


@pytest.mark.parametrize("settings", [{}, {"norm": "pre", "positions": "relative", "num_kv_heads": 2}], ids=named)
@pytest.mark.parametrize("search", SEARCHES, ids=named)
def test_an_encoder_decoder_translates_as_in_torch(load, translation, settings, search):
    model, config = translation(**settings)
    found = agree(load(model, config), model, read_settings(SearchConfig, search, "the case"))
    assert found[1] == [Hypothesis((), 0.0, 0.0, True)]


@pytest.mark.parametrize(
    "settings",
    [{"source_sees": "all"}, {"positions": "learned", "max_positions": 29}, {"positions": "alibi"}],
    ids=named,
)
@pytest.mark.parametrize("search", [*SEARCHES[:4], SEARCHES[8]], ids=named)
def test_a_decoder_only_model_translates_as_in_torch(load, one_stack, settings, search):
    model, config = one_stack(**settings)
    agree(load(model, config), model, read_settings(SearchConfig, search, "the case"))


@pytest.mark.parametrize("search", [*SEARCHES[:5], SEARCHES[8]], ids=named)
def test_translations_begin_with_their_prefix(load, translation, one_stack, search):
    for model, config in (translation(), one_stack()):
        found = agree(load(model, config), model, read_settings(SearchConfig, search, "the case"), PREFIXES)
        for some, prefix in zip(found, PREFIXES, strict=True):
            assert all(list(each.ids[: len(prefix)]) == prefix for each in some)


def test_no_output_is_longer_than_the_model_can_write(load, translation):
    # Seven positions: bos and six pieces are read.
    model, config = translation(positions="learned", max_positions=7)
    engine = load(model, config)
    assert engine.max_source_length == 7
    search = SearchConfig(beam_size=2, min_length=30)
    (found,) = engine.translate([[5, 6]], search)
    assert len(found[0].ids) == 6
    assert not found[0].finished
    assert found[0].ids == TorchEngine(model, device="cpu").translate([[5, 6]], search)[0][0].ids


@pytest.mark.parametrize("first", [1, 3, 11])
def test_draws_that_go_on_are_those_that_were_begun(load, translation, monkeypatch, first):
    monkeypatch.setattr(native, "_DRAWN_FIRST", first)
    model, config = translation()
    for search in SEARCHES[-3:]:
        search = read_settings(SearchConfig, search | {"max_extra_length": 29}, origin="")
        agree(load(model, config), model, search, PREFIXES)
        lengths = [
            len(each.ids) for some in TorchEngine(model, device="cpu").translate(SOURCES, search) for each in some
        ]
        assert min(lengths) < 11 < max(lengths)


def test_no_more_numbers_are_drawn_than_an_output_needs(load, translation):
    # For all that the outputs might become there would be 16 GB.
    model, config = translation()
    search = SearchConfig(n_best=2, max_extra_length=1000, sampling=SamplingConfig(temperature=1.7))
    expected = load(model, config).translate(SOURCES, search)
    assert all(each.finished for some in expected for each in some)
    assert load(model, config).translate(SOURCES, replace(search, max_extra_length=10**9)) == expected


def test_a_cap_of_nothing_leaves_eos(load, translation):
    model, config = translation(positions="learned", max_positions=1)
    engine = load(model, config)
    assert engine.max_source_length == 1
    assert engine.translate([[]], SearchConfig(beam_size=3)) == [[Hypothesis((), 0.0, 0.0, True)]]


@pytest.mark.parametrize("numbers", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("family", ["translation", "one_stack"])
def test_a_whole_target_as_a_prefix_is_scored(packed, request, family, numbers):
    path = packed(*request.getfixturevalue(family)(), numbers)
    engine, reference = NativeEngine.load(path, threads=1), ReferenceEngine.load(path)
    search = SearchConfig(beam_size=1, length_penalty=0, max_extra_length=len(TARGET) - len(SOURCE))
    ((found,),) = engine.translate([SOURCE], search, [TARGET])
    assert list(found.ids) == TARGET
    # Where numbers are coarse, one half way between two may be rounded either way.
    expected = float(reference.score(SOURCE, TARGET).sum())
    assert found.log_probability == pytest.approx(expected, rel=1e-5 if numbers == "fp32" else 0.02)


PIECES = st.lists(st.integers(4, 46), max_size=9).map(tuple)
ALONE = [
    SearchConfig(beam_size=1, max_extra_length=4),
    SearchConfig(beam_size=4, n_best=2, max_extra_length=4),
    SearchConfig(n_best=3, max_extra_length=4, sampling=SamplingConfig(top_k=11)),
]


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("numbers", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("family", ["translation", "one_stack"])
def test_a_result_depends_on_its_sentence_alone(packed, request, family, numbers, kernels):
    path = packed(*request.getfixturevalue(family)(), numbers)
    single = NativeEngine.load(path, threads=1, max_rows=1, kernels=kernels)
    known = {}

    def alone(source, search):
        key = source, ALONE.index(search)
        if key not in known:
            (known[key],) = single.translate([source], search)
        return known[key]

    @settings(max_examples=12, deadline=None)
    @given(
        sources=st.lists(PIECES, min_size=1, max_size=9).flatmap(
            # Duplicates, anywhere.
            lambda some: st.lists(st.sampled_from(some), min_size=1, max_size=23)
        ),
        search=st.sampled_from(ALONE),
        threads=st.integers(1, 3),
        max_rows=st.integers(1, 7),
    )
    def holds(sources, search, threads, max_rows):
        engine = NativeEngine.load(path, threads=threads, max_rows=max_rows, kernels=kernels)
        # To the last bit.
        assert engine.translate(sources, search) == [alone(source, search) for source in sources]

    holds()


@pytest.mark.parametrize("numbers", ["fp32", "bf16", "int8"])
def test_a_long_source_reads_the_same_beside_others(packed, translation, numbers):
    path = packed(*translation(), numbers)
    sources = [
        [4 + (place * place + start) % 43 for place in range(length)] for start, length in enumerate((301, 5, 263))
    ]
    found = NativeEngine.load(path, threads=1).translate(sources, replace(ALONE[1], max_extra_length=0))
    single = NativeEngine.load(path, threads=1, max_rows=1)
    for source, some in zip(sources, found, strict=True):
        assert single.translate([source], replace(ALONE[1], max_extra_length=0)) == [some]


def test_many_threads_may_ask_at_once(load, translation):
    engine = load(*translation(), threads=2, max_rows=5)
    calls = [(SOURCES[shift:] + SOURCES[:shift], ALONE[shift % 3]) for shift in range(5)] * 7
    expected = [engine.translate(*call) for call in calls[:5]] * 7
    with ThreadPoolExecutor(5) as threads:
        assert list(threads.map(lambda call: engine.translate(*call), calls)) == expected


def test_nothing_is_translated_into_nothing(load, translation):
    engine = load(*translation())
    assert engine.translate([], SearchConfig()) == []
    assert engine.translate_each([], SearchConfig(), []) == []
