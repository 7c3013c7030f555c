"""What engines refuse, and how long their outputs may be."""

import pytest

from attento.decoding.config import SearchConfig
from attento.engines.inputs import check_prefixes, check_sources, output_cap
from attento.errors import InputError


def test_the_cap_is_the_lesser_of_what_search_and_model_allow() -> None:
    search = SearchConfig(max_extra_length=5)
    assert output_cap([7, 8, 9], search, None) == 8
    # Bos is read too.
    assert output_cap([7, 8, 9], search, 7) == 6
    assert output_cap([7, 8, 9], search, 11) == 8


def test_sources_and_prefixes_that_fit_pass() -> None:
    check_sources([[], [4, 28], (5,)], 3, 29)
    check_sources([[4] * 101], None, 29)
    check_prefixes([[], (4, 28), [5]], [0, 2, 3], 29)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([[7], [7, 8, 9]], r"source 1 .* 3 pieces .* at most 3 tokens; split it"),
        ([[7], [29]], "source 1 .*vocabulary of 29"),
        ([[-1]], "source 0 .*vocabulary of 29"),
    ],
)
def test_sources_that_cannot_be_read_are_named(sources: list[list[int]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_sources(sources, 3, 29)


@pytest.mark.parametrize(
    ("prefixes", "message"),
    [
        ([[7]], "2 sources but 1 prefixes"),
        ([[], [7, 8, 9]], "prefix 1 .* 3 pieces, but its translation may have at most 2; shorten it, or raise"),
        ([[7], [29]], "prefix 1 .*vocabulary of 29"),
        ([[7, -1], []], "prefix 0 .*vocabulary of 29"),
        ([[7, 3], []], "prefix 0 .*the end of sentence"),
    ],
)
def test_prefixes_that_cannot_be_written_are_named(prefixes: list[list[int]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_prefixes(prefixes, [5, 2], 29)
