"""What is timed and how it is compared: cases, sources, rounds in turn, ratios, and the least time by hand."""

import numpy as np
import pytest

from attento.engines.packed.file import read_packed, write_packed
from attento.engines.packed.panels import pack_matrix
from attento.errors import ConfigError
from attento.speed.bench import usual_cases
from attento.speed.cases import Case, sources_for
from attento.speed.floor import Rates, Work, least_seconds
from attento.speed.measure import Timed, ratios, time_case

TEXTS = [[5, 7, 11], [13], [17, 19, 23, 29, 31, 37, 41]]


class Counting:
    """Writes as many pieces as it is given, and keeps a diary."""

    def __init__(self, name, diary):
        self.name, self.diary = name, diary

    def prepare(self, case):
        self.diary.append((self.name, "prepare"))

        def translate(sources):
            self.diary.append((self.name, len(sources)))
            return sum(map(len, sources))

        return translate


def test_sources_have_the_length_of_the_case():
    found = sources_for(Case(batch=7, beam_size=1, length=5), TEXTS, 7)
    assert [len(each) for each in found] == [5] * 7
    assert found[:3] == [[5, 7, 11, 5, 7], [13] * 5, [17, 19, 23, 29, 31]]
    assert found[3] == found[0]


def test_sources_without_a_length_are_the_texts():
    assert sources_for(Case(batch=2, beam_size=3, length=None), TEXTS, 5) == [*TEXTS, *TEXTS[:2]]


def test_a_length_is_the_least_and_the_most_of_an_output():
    search = Case(batch=2, beam_size=3, length=5).search
    assert (search.beam_size, search.min_length, search.max_extra_length) == (3, 5, 0)


def test_contenders_take_turns(monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr("attento.speed.measure.time.perf_counter", lambda: float(next(clock)))
    diary, told = [], []
    contenders = [Counting("one", diary), Counting("other", diary)]
    timed = time_case(Case(3, 1, 5, threads=2), contenders, TEXTS, 4, told.append)
    # A translation takes a second by this clock, which is long enough to be timed once a round.
    assert diary[2:6] == [("one", 6), ("one", 6), ("other", 6), ("other", 6)]
    assert diary[6:] == [("one", 6), ("other", 6)] * 4
    assert [each.contender for each in timed] == ["one", "other"]
    assert all(each.rates == (30.0,) * 4 for each in timed)
    assert told == ["batch 3, greedy, 5 pieces, 2 threads: one", "batch 3, greedy, 5 pieces, 2 threads: other"] * 4


def test_without_a_length_sentences_are_counted(monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr("attento.speed.measure.time.perf_counter", lambda: float(next(clock)))
    (timed,) = time_case(Case(2, 5, None), [Counting("one", [])], TEXTS, 3)
    assert timed.rates == (3.0,) * 3


def test_ratios_are_of_the_same_round():
    case = Case(1, 1, 5)
    one, other = Timed("one", case, (10.0, 30.0, 6.0)), Timed("other", case, (5.0, 10.0, 6.0))
    assert ratios(one, other) == (2.0, 1.0, 3.0)


def test_work_counts_what_a_token_multiplies(tmp_path):
    sizes = {
        "encoder.0.inner": (11, 7),
        "decoder.0.cross_attention.keys_values": (13, 7),
        "decoder.0.inner": (5, 7),
        "source_embedding": (17, 7),
        "target_embedding": (19, 7),
    }
    tensors = {}
    for name, shape in sizes.items():
        tensors |= pack_matrix(name, np.ones(shape, np.float32), "int8", None)
    write_packed(tmp_path / "m", {}, tensors)
    # Panels of 32 outputs, inputs in fours.
    assert Work.of(read_packed(tmp_path / "m")) == Work((11 + 13) * 7, (5 + 19) * 7, 2 * 32 * 8)


def test_the_least_time_is_the_greater_of_products_and_reading():
    work, case = Work(source_products=100, target_products=10, step_bytes=600), Case(3, 2, 4)
    reading = 3 * 5 * 100 / 1000
    assert least_seconds(work, Rates(products=1000, bytes=1e9), case) == pytest.approx(reading + 5 * 3 * 2 * 10 / 1000)
    assert least_seconds(work, Rates(products=1000, bytes=100), case) == pytest.approx(reading + 5 * 600 / 100)


def test_the_usual_cases():
    assert [case.text for case in usual_cases(64, 4, 24, 2)] == [
        "batch 64, greedy, 24 pieces",
        "batch 64, beam 4, 24 pieces",
        "batch 1, greedy, 24 pieces",
        "batch 1, beam 4, 24 pieces",
        "batch 64, greedy, 24 pieces, 2 threads",
        "batch 64, beam 4, 24 pieces, 2 threads",
        "batch 64, beam 4, 2 threads",
    ]
    with pytest.raises(ConfigError, match="--length must be at least 1, but got 0"):
        usual_cases(64, 4, 0, 1)
