import json
import math

import pytest

from attento.errors import InputError
from attento.evaluation.telling import TellingReport


def test_figures_are_those_of_the_formulas() -> None:
    report = TellingReport(total_nats=7 * math.log(3), tokens=7, right=2)
    assert report.nats_per_token == pytest.approx(math.log(3))
    assert report.perplexity == pytest.approx(3)
    assert report.accuracy == 2 / 7
    assert report.text == "perplexity = 3.00 (1.0986 nats a token)\naccuracy = 28.57% (2 of 7 tokens)"
    assert json.loads(report.to_json()) == {
        "nats_per_token": report.nats_per_token,
        "perplexity": report.perplexity,
        "accuracy": report.accuracy,
        "tokens": 7,
        "right": 2,
    }


def test_a_perplexity_that_no_float_holds_is_infinite() -> None:
    report = TellingReport(total_nats=5000.0, tokens=5, right=0)
    assert report.perplexity == math.inf
    assert json.loads(report.to_json())["perplexity"] is None


def test_nothing_to_tell_and_damaged_weights_are_told() -> None:
    with pytest.raises(InputError, match="no token was to be told"):
        TellingReport(total_nats=0.0, tokens=0, right=0)
    with pytest.raises(InputError, match="the cross-entropy of the tokens is nan"):
        TellingReport(total_nats=math.nan, tokens=3, right=0)
