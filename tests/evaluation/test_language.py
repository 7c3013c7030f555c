import json
import math

import pytest

from attento.errors import InputError
from attento.evaluation.language import LanguageReport


def test_a_uniform_model_has_its_vocabulary_as_perplexity():
    # 5 tokens, each one of 32: 5 bits a token; 20 characters in 25 bytes.
    report = LanguageReport(total_nats=5 * math.log(32), tokens=5, characters=20, bytes=25)

    assert report.perplexity == pytest.approx(32)
    assert report.nats_per_token == pytest.approx(math.log(32))
    assert report.bits_per_token == pytest.approx(5)
    assert report.bits_per_character == pytest.approx(5 / 4)
    assert report.bits_per_byte == pytest.approx(1)


def test_the_report_reads_as_text_and_as_json():
    report = LanguageReport(total_nats=7 * math.log(8), tokens=7, characters=11, bytes=13)

    assert report.text.splitlines() == [
        "perplexity = 8.00 (2.0794 nats a token)",
        "3.0000 bits a token, 1.9091 bits a character, 1.6154 bits a byte",
        "7 tokens, 11 characters, 13 bytes",
    ]
    assert json.loads(report.to_json()) == {
        "nats_per_token": report.nats_per_token,
        "perplexity": report.perplexity,
        "bits_per_token": report.bits_per_token,
        "bits_per_character": report.bits_per_character,
        "bits_per_byte": report.bits_per_byte,
        "tokens": 7,
        "characters": 11,
        "bytes": 13,
    }


def test_a_perplexity_beyond_all_numbers_is_infinite_and_still_json():
    report = LanguageReport(total_nats=3000.0, tokens=3, characters=3, bytes=3)

    assert report.perplexity == math.inf
    assert report.text.startswith("perplexity = inf (1000.0000 nats a token)")
    record = json.loads(report.to_json(), parse_constant=pytest.fail)
    assert record["perplexity"] is None and record["nats_per_token"] == 1000


@pytest.mark.parametrize(("tokens", "characters", "size"), [(0, 2, 3), (2, 0, 3), (2, 3, 0)])
def test_an_empty_text_is_refused(tokens: int, characters: int, size: int):
    with pytest.raises(InputError, match=f"{tokens} tokens, {characters} characters and {size} bytes"):
        LanguageReport(1.0, tokens, characters, size)


@pytest.mark.parametrize("total", [math.inf, math.nan])
def test_a_cross_entropy_that_is_no_number_is_refused(total: float):
    with pytest.raises(InputError, match=f"cross-entropy of the text is {total}.*diverged"):
        LanguageReport(total, 2, 3, 5)
