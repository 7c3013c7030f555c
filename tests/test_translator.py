from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attento.decoding.config import SearchConfig
from attento.decoding.hypothesis import Hypothesis
from attento.errors import InputError
from attento.text.learning import train_tokenizer
from attento.text.pieces import SentencePieceTokenizer
from attento.text.tokenizer import TokenizerPair
from attento.translator import Alternative, Flag, Translation, Translator

SEARCH = SearchConfig(beam_size=3)
OFFSET = 5


class Characters(SentencePieceTokenizer):
    """One id a character: lossless on any text."""

    def __init__(self) -> None:
        super().__init__(b"")

    @property
    def vocab_size(self) -> int:
        return 0x110000 + OFFSET

    def encode(self, text: str) -> list[int]:
        return [ord(character) + OFFSET for character in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(i - OFFSET) for i in ids)


class FakeEngine:
    """Makes `rewrite(text)` of each source; keeps what it was given."""

    max_source_length: int | None = None

    def __init__(self, rewrite: Callable[[str], str] = str, *, finished: bool = True) -> None:
        self.rewrite = rewrite
        self.finished = finished
        self.calls: list[list[str]] = []
        self.searches: list[SearchConfig] = []
        self.prefixes: list[list[str] | None] = []
        self.tokenizer = Characters()

    def translate(
        self,
        sources: Sequence[Sequence[int]],
        search: SearchConfig,
        prefixes: Sequence[Sequence[int]] | None = None,
    ) -> list[list[Hypothesis]]:
        texts = [self.tokenizer.decode(source) for source in sources]
        self.calls.append(texts)
        self.searches.append(search)
        self.prefixes.append(None if prefixes is None else [self.tokenizer.decode(prefix) for prefix in prefixes])
        return [[self.hypothesis(self.rewrite(text), -float(len(text)))] for text in texts]

    def hypothesis(self, text: str, score: float) -> Hypothesis:
        ids = tuple(self.tokenizer.encode(text))
        return Hypothesis(ids=ids, log_probability=2 * score, score=score, finished=self.finished)


class RankedEngine(FakeEngine):
    """Gives `n_best` hypotheses "text/1", "text/2", ...; but only one for a text that begins with "single"."""

    def translate(
        self,
        sources: Sequence[Sequence[int]],
        search: SearchConfig,
        prefixes: Sequence[Sequence[int]] | None = None,
    ) -> list[list[Hypothesis]]:
        texts = [self.tokenizer.decode(source) for source in sources]
        return [
            [
                self.hypothesis(f"{text}/{rank}", -float(rank * len(text)))
                for rank in range(1, (1 if text.startswith("single") else search.n_best) + 1)
            ]
            for text in texts
        ]


def translator(engine: FakeEngine, **options: Any) -> Translator:
    characters = Characters()
    return Translator(TokenizerPair(characters, characters), engine, SEARCH, **options)


def translate_one(engine: FakeEngine, text: str, **options: Any) -> Translation:
    (translation,) = translator(engine).translate([text], **options)
    return translation


TEXTS = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("\n\r\u2028\x85\t  .!?。！ aB你'\"\u00a0\u200b"),
    ),
    max_size=80,
)


@given(st.lists(TEXTS, max_size=5), st.booleans())
def test_any_text_survives_an_engine_that_changes_nothing(texts: list[str], by_sentence: bool):
    translations = translator(FakeEngine(), max_piece_tokens=7).translate(texts, split_sentences=by_sentence)

    assert [each.text for each in translations] == texts
    assert [each.source for each in translations] == texts


@given(st.lists(TEXTS, max_size=5), st.booleans())
def test_lines_stay_lines_whatever_the_engine_writes(texts: list[str], by_sentence: bool):
    translations = translator(FakeEngine(lambda text: "x\ny")).translate(texts, split_sentences=by_sentence)

    for text, translation in zip(texts, translations, strict=True):
        source_lines, lines = text.split("\n"), translation.text.split("\n")
        assert len(lines) == len(source_lines)
        for source_line, line in zip(source_lines, lines, strict=True):
            if source_line.strip():
                assert "x y" in line
            else:
                assert line == source_line


def test_all_sentences_of_all_texts_go_to_the_engine_in_one_call_each_once():
    engine = FakeEngine(str.upper)

    translations = translator(engine).translate(["One dog. Two cats.", "Three birds.\n\n  One dog.\n", ""])

    assert engine.calls == [["One dog.", "Two cats.", "Three birds."]]
    assert [each.text for each in translations] == ["ONE DOG. TWO CATS.", "THREE BIRDS.\n\n  ONE DOG.\n", ""]
    assert engine.searches == [SEARCH]


def test_each_side_has_its_own_tokenizer():
    class Loud(Characters):
        def decode(self, ids: Sequence[int]) -> str:
            return super().decode(ids).upper()

    translator = Translator(TokenizerPair(Characters(), Loud()), FakeEngine(lambda text: text + text), SEARCH)

    assert translator.translate(["One dog."])[0].text == "ONE DOG.ONE DOG."


def test_the_space_between_sentences_is_that_of_the_source():
    translation = translate_one(FakeEngine(str.upper), "\tOne dog.   Two cats.\u00a0 \r\nThree birds. ")

    assert translation.text == "\tONE DOG.   TWO CATS.\u00a0 \r\nTHREE BIRDS. "


def test_where_a_wide_stop_becomes_a_narrow_one_a_space_is_written():
    words = {"你好。": "Hello.", "我很好。": "I am fine."}

    assert translate_one(FakeEngine(words.__getitem__), "你好。我很好。\n你好。").text == "Hello. I am fine.\nHello."
    assert translate_one(FakeEngine(), "你好。我很好。").text == "你好。我很好。"


def test_line_by_line_takes_a_line_whole():
    engine = FakeEngine()

    translate_one(engine, " One dog. Two cats.\nThree.", split_sentences=False)

    assert engine.calls == [["One dog. Two cats.", "Three."]]


def test_an_over_long_sentence_is_cut_said_aloud_and_nothing_of_it_is_lost():
    engine = FakeEngine()
    text = "one two, three four five six seven eight nine ten"

    (translation,) = translator(engine, max_piece_tokens=13).translate([text])

    assert translation.text == text
    assert translation.flags == (Flag.SPLIT,)
    (pieces,) = engine.calls
    assert len(pieces) > 3 and max(map(len, pieces)) <= 13
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")


def test_what_the_model_met_in_training_limits_sentences_but_not_whole_lines():
    engine = FakeEngine()
    text = "one two three four"

    (translation,) = translator(engine, max_piece_tokens=7).translate([text], split_sentences=False)

    assert engine.calls == [[text]]
    assert translation.flags == ()


@pytest.mark.parametrize("by_sentence", [True, False])
def test_the_engine_limit_holds_always_and_leaves_room_for_the_end_of_sentence(by_sentence: bool):
    engine = FakeEngine()
    engine.max_source_length = 12
    text = "hello world hello worlds"

    (translation,) = translator(engine, max_piece_tokens=100).translate([text], split_sentences=by_sentence)

    assert translation.text == text
    # "hello world" has 11 characters and fits, with one more for the end; "hello worlds" has 12 and does not.
    assert engine.calls[0][0] == "hello world"
    assert max(map(len, engine.calls[0])) <= 11


def test_text_without_ids_is_passed_through():
    class Dropping(Characters):
        def encode(self, text: str) -> list[int]:
            return super().encode(text.replace("\u200b", ""))

    tokenizer, engine = Dropping(), FakeEngine(str.upper)

    (translation,) = Translator(TokenizerPair(tokenizer, tokenizer), engine, SEARCH).translate(["a\n\u200b \n b"])

    assert translation.text == "A\n\u200b \n B"
    assert engine.calls == [["a", "b"]]


def test_the_score_is_the_search_score_and_for_several_sentences_their_mean():
    # The engine scores a sentence by minus its length: 8 and 10 characters, the first of them twice.
    assert translate_one(FakeEngine(), "One dog.").score == -8
    assert translate_one(FakeEngine(), "One dog. Three dogs.\nOne dog.").score == pytest.approx(-(8 + 11 + 8) / 3)
    assert translate_one(FakeEngine(), " \n").score == 0


def test_alternatives_of_one_sentence_are_the_next_best():
    translation = translate_one(RankedEngine(), "Dog", search=SearchConfig(beam_size=3, n_best=3))

    assert (translation.text, translation.score) == ("Dog/1", -3)
    assert translation.alternatives == (Alternative("Dog/2", -6.0), Alternative("Dog/3", -9.0))
    assert translate_one(RankedEngine(), "Dog").alternatives == ()


def test_alternatives_of_a_text_join_the_sentences_rank_by_rank():
    translation = translate_one(RankedEngine(), "Dog\n\nsingle", search=SearchConfig(beam_size=3, n_best=3))

    assert translation.text == "Dog/1\n\nsingle/1"
    assert translation.alternatives == (
        Alternative("Dog/2\n\nsingle/1", -(6 + 6) / 2),
        Alternative("Dog/3\n\nsingle/1", -(9 + 6) / 2),
    )


def test_alternatives_that_read_the_same_are_told_once():
    class Same(RankedEngine):
        def hypothesis(self, text: str, score: float) -> Hypothesis:
            return super().hypothesis(text.replace("/2", "/1").replace("/4", "/3"), score)

    translation = translate_one(Same(), "Dog", search=SearchConfig(beam_size=4, n_best=4))

    assert translation.text == "Dog/1"
    assert translation.alternatives == (Alternative("Dog/3", -9.0),)


def test_an_empty_translation_is_flagged():
    vanishing = FakeEngine(lambda text: "" if text == "Two cats." else text)

    translation = translate_one(vanishing, "One dog. Two cats.")

    assert translation.text == "One dog. "
    assert translation.flags == (Flag.EMPTY,)
    assert translate_one(vanishing, " \n").flags == ()


@pytest.mark.parametrize(
    ("source", "output", "flagged"),
    [
        ("salad", "salad salad salad salad ", True),
        ("salad", "salad salad salad ", False),
        ("a salad of greens", "the the the ab ab ab ab", True),
        ("no no no no no", "non non non non non", False),
        ("no, no, no", "non non non non non", True),
        ("One dog.", "aaa bbb ccc", False),
        ("One dog.", "aaaa", True),
    ],
)
def test_repetition_that_the_source_does_not_have_is_flagged(source: str, output: str, flagged: bool):
    translation = translate_one(FakeEngine(lambda text: output), source)

    assert translation.flags == ((Flag.REPETITIVE,) if flagged else ())


def test_a_translation_that_was_not_finished_is_flagged():
    assert translate_one(FakeEngine(finished=False), "One dog.").flags == (Flag.LENGTH_CAP,)


def test_flags_are_plain_words():
    assert [str(flag) for flag in Flag] == ["empty", "repetitive", "length cap reached", "over-long sentence cut"]


def test_a_single_string_is_refused():
    with pytest.raises(InputError, match=r"list of texts.*translate\(\[text\]\)"):
        translator(FakeEngine()).translate("One dog.")


def test_half_a_character_is_refused_by_name():
    with pytest.raises(InputError, match=r"text 2 .*U\+D83D.*position 4"):
        translator(FakeEngine()).translate(["fine", "abc\ud83d"])


def test_each_text_has_its_own_prefix_and_equal_ones_are_translated_once():
    engine = FakeEngine()
    texts = ["one", " one ", "two", "", "one"]
    translations = translator(engine).translate(texts, prefixes=["a", " a\t", "", "b", "c"])
    assert [each.text for each in translations] == texts
    assert engine.calls == [["one", "two", "one"]]
    assert engine.prefixes == [["a", "", "c"]]
    translator(engine).translate(["one"])
    assert engine.prefixes[1:] == [None]


def test_a_prefix_of_several_sentences_is_refused_unless_the_line_is_whole():
    text = "One is here. Two is there."
    with pytest.raises(InputError, match=r"text 2 is translated in 2 pieces.*`--whole-lines`"):
        translator(FakeEngine()).translate(["One.", text], prefixes=["a", "b"])
    # Who wants none has none.
    assert translator(FakeEngine()).translate([text], prefixes=[" "])[0].text == text
    engine = FakeEngine()
    translator(engine).translate([text], prefixes=["a"], split_sentences=False)
    assert engine.prefixes == [["a"]]


@pytest.mark.parametrize(
    ("prefixes", "message"),
    [
        (["a"], "one beginning for each of the 2 texts"),
        ("ab", "one beginning for each of the 2 texts"),
        (["a", "b\nc"], "prefix 2 has a line break"),
    ],
)
def test_prefixes_that_fit_no_text_are_refused(prefixes: Sequence[str], message: str):
    with pytest.raises(InputError, match=message):
        translator(FakeEngine()).translate(["one", "two"], prefixes=prefixes)


def test_raw_text_goes_through_a_real_tokenizer_and_back():
    lines = ["the animal was too tired to cross the street", "the street was too wide for the animal"] * 20
    tokenizer = train_tokenizer(
        lines, model="bpe", vocab_size=320, byte_fallback=True, character_coverage=1.0, normalization="identity"
    )

    class Echo(FakeEngine):
        def translate(
            self,
            sources: Sequence[Sequence[int]],
            search: SearchConfig,
            prefixes: Sequence[Sequence[int]] | None = None,
        ) -> list[list[Hypothesis]]:
            return [[Hypothesis(tuple(source), -1.0, -1.0, True)] for source in sources]

    text = "The animal was tired.  It slept — 睡觉!\n\n\tthe street 🙂\u2028was wide\x00 \r\nend"
    pair = TokenizerPair(tokenizer, tokenizer)
    (translation,) = Translator(pair, Echo(), SEARCH, max_piece_tokens=23).translate([text])

    assert translation.text == text
