"""What the native engine writes behind prompts of any length, in any numbers, alone or beside others."""

import pytest

from attento.decoding.config import SamplingConfig
from attento.engines.native import NativeEngine
from attento.engines.prompts import Row
from attento.errors import InputError
from attento.text.special import EOS_ID

attento_native = pytest.importorskip("attento_native", reason="the native engine is not installed: `make native`")
DRAWN = SamplingConfig(temperature=1.2, top_p=0.95, seed=3)
# Prompts are read in blocks of 256 tokens, the begin of text among them, but for their last token.
LENGTHS = [0, 1, 2, 255, 256, 257, 600]


def prompt(length):
    return tuple(4 + (place * place + 3 * length) % 49 for place in range(length))


ROWS = [Row(place, prompt(length), draw) for place, length in enumerate(LENGTHS) for draw in range(2)]


@pytest.mark.parametrize("numbers", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("positions", ["rotary", "alibi", "sinusoidal"])
def test_it_writes_what_is_most_probable_token_by_token(packed, language, positions, numbers):
    path = packed(*language(positions=positions), numbers)
    for kernels in attento_native.available_kernels():
        engine = NativeEngine.load(path, threads=1, kernels=kernels)
        rows = ROWS[::2]
        for row, ids in zip(rows, engine.write(rows, 5, None), strict=True):
            # Read one by one, not in blocks.
            logits = engine.logits(row.prompt, ids)[len(row.prompt) :]
            expected = [EOS_ID + 1 + int(each[EOS_ID + 1 :].argmax()) for each in logits[:-1]]
            assert list(ids) == expected, kernels


@pytest.mark.parametrize("sampling", [None, DRAWN])
def test_no_text_depends_on_what_is_written_beside_it(load, language, sampling):
    model = language(positions="relative")
    expected = [load(*model).write([row], 11, sampling)[0] for row in ROWS]
    for settings in ({"max_rows": 1}, {"threads": 3}, {"max_rows": 5, "threads": 2}):
        assert load(*model, **settings).write(ROWS, 11, sampling) == expected


def test_draws_of_a_prompt_differ(load, language):
    found = load(*language()).write([Row(0, prompt(5), draw) for draw in range(7)], 11, DRAWN)
    assert len(set(found)) == 7


def test_prompts_that_cannot_be_read_are_refused(load, language):
    engine = load(*language(positions="learned", max_positions=29))
    assert engine.max_length == 29
    assert len(engine.write([Row(0, prompt(17), 0)], 11, None)[0]) == 11
    with pytest.raises(InputError, match=r"prompt 0 .* 30 tokens long .* at most 29"):
        engine.write([Row(0, prompt(18), 0)], 11, None)
    with pytest.raises(InputError, match=r"prompt 3 .*vocabulary of 53"):
        engine.write([Row(1, (7,), 0), Row(3, (53,), 0)], 11, None)


def test_a_translation_model_goes_on_with_no_text(load, translation):
    with pytest.raises(InputError, match="translation model"):
        load(*translation()).write([Row(0, (), 0)], 5, None)
