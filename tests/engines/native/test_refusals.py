"""What the native engine refuses, and in which words."""

import math

import pytest
import torch

from attento.decoding.config import SamplingConfig, SearchConfig
from attento.engines.native import NativeEngine
from attento.errors import ConfigError, InputError, RunFolderError

attento_native = pytest.importorskip("attento_native", reason="the native engine is not installed: `make native`")
GREEDY = SearchConfig(beam_size=1, max_extra_length=3)
SEARCHES = [GREEDY, SearchConfig(), SearchConfig(n_best=2, sampling=SamplingConfig())]


def test_what_cannot_be_translated_is_refused(load, translation):
    engine = load(*translation(positions="learned", max_positions=7))
    with pytest.raises(InputError, match=r"source 1 .* 7 pieces .* at most 7 tokens"):
        engine.translate([[7], [7] * 7], GREEDY)
    for ids in ([47], [-1], [5, 2**40]):
        with pytest.raises(InputError, match=r"source 0 .*vocabulary of 47"):
            engine.translate([ids], GREEDY)
    with pytest.raises(InputError, match=r"2 sources but 1 prefixes"):
        engine.translate([[7], [8]], GREEDY, [[5]])
    for ids in ([53], [-1], [3], [2**40]):
        with pytest.raises(InputError, match=r"prefix 0 .*vocabulary of 53"):
            engine.translate([[7]], GREEDY, [ids])
    with pytest.raises(InputError, match=r"prefix 0 .* 5 pieces, .* at most 4"):
        engine.translate([[7]], GREEDY, [[5] * 5])


def test_a_language_model_translates_nothing(load, language):
    with pytest.raises(InputError, match="language model"):
        load(*language()).translate([[7]], GREEDY)


@pytest.mark.parametrize(
    "search",
    [
        SearchConfig(beam_size=256),
        SearchConfig(beam_size=10**12),
        SearchConfig(n_best=256, sampling=SamplingConfig()),
        SearchConfig(n_best=10**12, beam_size=10**12),
    ],
)
def test_more_hypotheses_than_the_engine_can_keep_are_refused(load, translation, search):
    with pytest.raises(ConfigError, match="from 1 to 255"):
        load(*translation()).translate([[7]], search)


def test_settings_beyond_all_measure_do_what_they_say(load, translation):
    engine = load(*translation())
    search = {"beam_size": 3, "max_extra_length": 4}
    ((longest, *_),) = engine.translate([[7]], SearchConfig(**search, min_length=10**12))
    assert len(longest.ids) == 5
    plain = engine.translate([[7]], SearchConfig(**search))
    assert engine.translate([[7]], SearchConfig(**search, no_repeat_ngram=10**12)) == plain
    drawn = engine.translate([[7]], SearchConfig(**search, sampling=SamplingConfig()))
    assert engine.translate([[7]], SearchConfig(**search, sampling=SamplingConfig(top_k=10**12))) == drawn
    # Its longest path ends by itself.
    endless = SearchConfig(beam_size=1, max_extra_length=10**12, no_repeat_ngram=1)
    ((found,),) = engine.translate([[7]], endless)
    assert found.finished


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"beam_size": 0}, "from 1 to 255"),
        ({"beam_size": -1}, "from 1 to 255"),
        ({"beam_size": 300}, "from 1 to 255"),
        ({"n_best": 0}, "from 1 to 255"),
        ({"n_best": 5}, "greater than `beam_size`"),
        ({"sample": True, "n_best": 256}, "from 1 to 255"),
        ({"length_penalty": -0.1}, "0 or more"),
        ({"length_penalty": math.nan}, "0 or more"),
        ({"length_penalty": math.inf}, "0 or more"),
        ({"min_length": -1}, "0 or more"),
        ({"no_repeat_ngram": -1}, "0 or more"),
        ({"sample": True, "temperature": 0.0}, "above 0"),
        ({"sample": True, "temperature": math.nan}, "above 0"),
        ({"sample": True, "temperature": math.inf}, "above 0"),
        ({"sample": True, "top_k": -1}, "0 or more"),
        ({"sample": True, "top_p": 0.0}, "at most 1"),
        ({"sample": True, "top_p": 1.1}, "at most 1"),
        ({"sample": True, "top_p": math.nan}, "at most 1"),
    ],
)
def test_no_search_is_made_of_nonsense(packed, translation, settings, words):
    engine = attento_native.Engine(str(packed(*translation())))
    search = attento_native.SearchSettings(**settings)
    with pytest.raises(ValueError, match=words):
        engine.translate([[7]], [3], search=search)


@pytest.mark.parametrize(
    "source, given, words",
    [
        ([7], {"max_lengths": [-1]}, "0 or more"),
        ([7], {"max_lengths": []}, "one item for each source"),
        ([7], {"max_lengths": [3, 3]}, "one item for each source"),
        ([7], {"prefixes": [[5], [5]]}, "one item for each source"),
        ([7], {"uniform": [[0.5], [0.5]]}, "one item for each source"),
    ],
)
def test_nothing_is_asked_of_a_model_that_cannot_be_answered(packed, translation, source, given, words):
    engine = attento_native.Engine(str(packed(*translation())))
    with pytest.raises(ValueError, match=words):
        engine.translate([source], **({"max_lengths": [3]} | given), search=attento_native.SearchSettings())


@pytest.mark.parametrize(
    "source, given, words",
    [
        ([47], {}, "outside the model's vocabulary of 47"),
        ([-1], {}, "outside the model's vocabulary of 47"),
        ([7] * 7, {}, "at most 7 tokens"),
        ([7], {"prefixes": [[53]]}, "outside the model's vocabulary of 53"),
        ([7], {"prefixes": [[3]]}, "no piece"),
        ([7], {"prefixes": [[5] * 4]}, "prefix of 4 pieces"),
        ([7], {"max_lengths": [7]}, "at most 6"),
    ],
)
def test_what_is_wrong_with_one_sentence_is_its_own_result(packed, translation, source, given, words):
    engine = attento_native.Engine(str(packed(*translation(positions="learned", max_positions=7))))
    search = attento_native.SearchSettings()
    lists = {"max_lengths": [3], "prefixes": [[]]} | given
    right = engine.translate([[9]], [3], search=search)
    found = engine.translate(
        [[9], source], [3, *lists["max_lengths"]], prefixes=[[], *lists["prefixes"]], search=search
    )
    assert found[:1] == right
    assert words in found[1]


def test_numbers_for_every_draw_are_needed(packed, translation):
    engine = attento_native.Engine(str(packed(*translation())))
    search = attento_native.SearchSettings(sample=True, n_best=2, beam_size=2)
    (found,) = engine.translate([[7]], [3], uniform=[[0.5] * 7], search=search)
    assert "needs 8 random numbers, but has 7" in found
    # What no generator gives changes the draw, not the memory that is read.
    for number in (math.nan, math.inf, -math.inf, -1.0, 1.0, 1e300):
        (found,) = engine.translate([[7]], [3], uniform=[[number] * 8], search=search)
        assert isinstance(found, list | str)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"threads": 0}, "threads"),
        ({"threads": -3}, "threads"),
        ({"threads": 10**12}, "threads"),
        ({"max_rows": 0}, "max_rows"),
        ({"max_rows": 10**12}, "max_rows"),
        ({"kernels": "abacus"}, '"abacus" do not run here; there are: .*portable'),
    ],
)
def test_what_the_machine_does_not_have_is_refused(packed, translation, settings, words):
    with pytest.raises(ConfigError, match=words):
        NativeEngine.load(packed(*translation()), **({"threads": 1} | settings))


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("numbers", ["fp32", "bf16", "int8"])
def test_numbers_that_grow_beyond_all_bounds_are_told(packed, translation, search, norm, numbers):
    model, config = translation(norm=norm)
    with torch.no_grad():
        model.encoder[1].feed_forward.outer.weight.fill_(3e38)
        model.encoder[1].feed_forward.outer.bias.fill_(3e38)
    path = packed(model, config, numbers)
    for kernels in attento_native.available_kernels():
        engine = NativeEngine.load(path, threads=1, kernels=kernels)
        with pytest.raises(RunFolderError, match="not numbers"):
            engine.translate([[7, 9]], search)


def test_weights_that_are_no_numbers_are_refused(packed, translation):
    model, config = translation()
    with torch.no_grad():
        model.decoder[1].feed_forward.inner.weight[3, 5] = math.nan
    with pytest.raises(RunFolderError, match=r"`decoder\.1\.inner\.weight` holds what is no number"):
        NativeEngine.load(packed(model, config), threads=1)
    engine = NativeEngine.load(packed(model, config, "bf16"), threads=1)
    with pytest.raises(RunFolderError, match="not numbers"):
        engine.translate([[7, 9]], GREEDY)
