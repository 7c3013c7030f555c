"""The settings of a search."""

import re
from dataclasses import asdict

import pytest

from attento.config import check_settings
from attento.decoding.config import SamplingConfig, SearchConfig
from attento.errors import ConfigError


def test_defaults_are_the_papers():
    assert asdict(SearchConfig()) == {
        "beam_size": 4,
        "length_penalty": 0.6,
        "max_extra_length": 50,
        "min_length": 0,
        "no_repeat_ngram": 0,
        "n_best": 1,
        "sampling": None,
    }


@pytest.mark.parametrize(
    "tree, named",
    [
        ({"beam_size": 0}, "beam_size"),
        ({"length_penalty": -0.1}, "length_penalty"),
        ({"length_penalty": float("nan")}, "length_penalty"),
        ({"length_penalty": float("inf")}, "length_penalty"),
        ({"max_extra_length": -1}, "max_extra_length"),
        ({"min_length": -1}, "min_length"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram"),
        ({"n_best": 0}, "n_best"),
        ({"beam_size": 3, "n_best": 5}, "n_best=5 and beam_size=3"),
        ({"sampling": {"temperature": 0}}, r"sampling\.temperature"),
        ({"sampling": {"temperature": float("inf")}}, r"sampling\.temperature"),
        ({"sampling": {"top_k": 0}}, r"sampling\.top_k"),
        ({"sampling": {"top_p": 1.5}}, r"sampling\.top_p"),
        ({"sampling": {"seed": -1}}, r"sampling\.seed"),
        ({"beamsize": 3}, "did you mean `beam_size`"),
    ],
)
def test_wrong_settings_are_refused_by_name(tree, named):
    with pytest.raises(ConfigError, match=named):
        check_settings(SearchConfig, tree, origin="recipe.yaml")


@pytest.mark.parametrize(
    "kind, given, named",
    [
        (SearchConfig, {"beam_size": 0}, "`beam_size`: input should be greater than 0, but got 0"),
        (
            SearchConfig,
            {"length_penalty": float("nan")},
            "`length_penalty`: input should be greater than or equal to 0",
        ),
        (SearchConfig, {"beam_size": 3, "n_best": 5}, "n_best=5 and beam_size=3"),
        (SamplingConfig, {"temperature": float("inf")}, "`temperature`: input should be a finite number, but got inf"),
        (SamplingConfig, {"top_k": 0}, "`top_k`: input should be greater than 0, but got 0"),
        (SamplingConfig, {"top_p": 1.5}, "`top_p`: input should be less than or equal to 1, but got 1.5"),
    ],
)
def test_wrong_settings_are_refused_when_they_are_made(kind, given, named):
    with pytest.raises(ValueError, match=re.escape(named)):
        kind(**given)


def test_as_many_samples_may_be_drawn_as_wanted():
    assert SearchConfig(beam_size=3, n_best=5, sampling=SamplingConfig()).n_best == 5
