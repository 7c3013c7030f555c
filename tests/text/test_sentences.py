"""Sentence splitting: nothing is ever lost, and tables of what is one sentence in each language."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attento.text.sentences import Segment, split_long, split_sentences

# Sentences that must come apart exactly at the bars.
ENGLISH = [
    "Hello there.| How are you?| Fine!",
    "Mr. and Mrs. Smith met Dr. No. 5 times.| Then they left.",
    "J. S. Bach wrote it.| G. F. Handel did not.",
    "See No. 5 and fig. 3 in vol. II of it.| Nothing else.",
    "Pi is 3.14 and not 1.000.| It never ends.",
    "Use version 2.0.1.| Then open https://a.example/x.y?z=1!w now.",
    "Some fruit, e.g. Apples, i.e. Red ones.| Others too.",
    "Apples, pears, etc. are fruit.| Apples, pears, etc.| They are fruit.",
    "“Stop!” he said.| “Why?” she asked.| (Nobody knew.)| It was late.",
    'He said "Stop."| Then he left.',
    "Wait... what?!| Nothing...| So it seems.",
    "He came at 5 p.m. on Friday.| She came at 6 p.m.| They met.",
    "The U.S. Army left the U.S.| They went home.",
    "It rained in 1999.| The sun shone in 2000.",
    "1. Introduction to Yahoo! and others.| A second sentence.",
    "It works (see Smith et al. 2010).| Jones et al. (2011) agree.",
    "I don't.| You can't.| It's hers.",
    "It is known.[1]| So is this.[2][3]| And **this.**| Right?",
    "In the 1980s.| Films in 3D.| Resold for... 5 dollars at 10 m/s.| Vitamin C.| It helps.",
    "I am 42.| My brother is 7.",
    "Nice. :-)",
    "?! Really.",
    "On Jan. 5 we met.| Phones are fine. iPhones are not.",
]
GERMAN = [
    "Am 3. Mai kam Dr. Müller.| Er blieb bis zum 5. Juni.",
    "Das ist z. B. Gold, d. h. Metall.| Oder z.B. Silber.",
    "Äpfel, Birnen usw. sind Obst.| Äpfel, Birnen usw.| Das war alles.",
    "Im 19. Jahrhundert und im 2. Weltkrieg.| Danach nicht.",
    "„Komm!“, sagte er.| „Nein.“| »Doch.«| Sie ging.",
    "Vgl. Abb. 3 bzw. Kap. IV, S. 12.| Siehe auch Bd. 2.",
    "Der 1. Platz ging an Hrn. Schmidt.| Das kostet 1.000 Euro.",
]
FRENCH = [
    "M. Dupont est là.| Mme Durand aussi !| Pourquoi ?| Parce que.",
    "Par exemple, p. ex. Paris, etc.| Rien d'autre.",
    "« Oui ! » dit-il.| « Non. »| Elle partit.",
    "Il a dit\u00a0: «\u00a0Viens\u00a0!\u00a0»| Elle est venue.",
    "En 70 av. J.-C. à Rome.| Les joueurs qu'on a.| On accepte.",
    "Voir l'art. 5 et le chap. 3.| C'est tout…| Fin.",
]
CHINESE = [
    "你好。|你是谁？|我是小明！|再见。",
    "他说：“你好。”|然后走了。|“真的？！”|她问。",
    "圆周率是3.14。|我……我不知道。",
    "什么?|我不知道!|好吧。",
    "他走了。|“你好。”",
    "她说：“真好！”。|是吗？",
]
OTHERS = [
    "「はい。」と言った。|そうですか。|（本当。）|はい。",
    "¿Qué?| ¡No!| El Sr. López vive aquí.| Él es alto.",
    "Он пришёл.| А. С. Пушкин, т. е. поэт.| Да!",
    "वह आया।| वह गया।",
    "هل أنت هنا؟| نعم.",
    "안녕하세요.| 반갑습니다.",
]


def joined(text: str) -> str:
    return "".join(segment.text + segment.separator for segment in split_sentences(text))


@pytest.mark.parametrize("marked", ENGLISH + GERMAN + FRENCH + CHINESE + OTHERS)
def test_sentences_come_apart_at_the_bars(marked: str) -> None:
    text = marked.replace("|", "")
    assert [segment.text for segment in split_sentences(text)] == [part.strip() for part in marked.split("|")]
    assert joined(text) == text


def test_white_space_and_empty_lines_are_kept_in_separators() -> None:
    assert split_sentences(" \tOne.  Two. \r\n\n  three\u2028four\n") == [
        Segment("", " \t"),
        Segment("One.", "  "),
        Segment("Two.", " \r\n\n  "),
        Segment("three\u2028four", "\n"),
    ]


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", []),
        (" \n ", [Segment("", " \n ")]),
        ("a", [Segment("a", "")]),
        ("...", [Segment("...", "")]),
        ("a\nb", [Segment("a", "\n"), Segment("b", "")]),
        ("a\x85b\x0cc\rd", [Segment("a\x85b\x0cc\rd", "")]),
    ],
)
def test_edges(text: str, segments: list[Segment]) -> None:
    assert split_sentences(text) == segments


# Text dense in what the rules look at, beside any text at all.
dense = st.text(alphabet=" \n\r\t\u00a0\u2028.!?…。！？\"'”“»«)([]1IVaZz好と-*_:,", max_size=60)


@given(text=st.text() | dense)
@example(text="A. \u2028B")
def test_nothing_is_lost(text: str) -> None:
    segments = split_sentences(text)
    assert joined(text) == text
    assert all(segment.text == segment.text.strip() for segment in segments)
    assert all(not segment.separator.strip() for segment in segments)
    assert all(segment.text for segment in segments[1:])
    assert all("\n" not in segment.text for segment in segments)


@given(text=st.text() | dense)
def test_splitting_a_sentence_line_by_line_changes_nothing(text: str) -> None:
    of_lines = [segment.text for line in text.split("\n") for segment in split_sentences(line) if segment.text]
    assert of_lines == [segment.text for segment in split_sentences(text) if segment.text]


@given(text=st.text() | dense, limit=st.integers(1, 20))
def test_every_part_of_long_text_fits(text: str, limit: int) -> None:
    parts = split_long(text, lambda part: len(part) <= limit)
    assert "".join(parts) == text
    assert all(len(part) <= limit for part in parts)
    assert all(parts) or text == ""


@given(text=dense, limit=st.integers(0, 5))
def test_long_text_is_cut_to_characters_when_nothing_fits(text: str, limit: int) -> None:
    assert split_long(text, lambda part: False) == (list(text) or [""])


@pytest.mark.parametrize(
    ("text", "limit", "parts"),
    [
        ("one two; three, four", 12, ["one two; ", "three, four"]),
        ("one two three, four five", 15, ["one two three, ", "four five"]),
        ("one two three four", 10, ["one two ", "three four"]),
        ("我们走吧，他们来了", 6, ["我们走吧，", "他们来了"]),
        ("a, bcdefghijklm nopqrs", 16, ["a, bcdefghijklm ", "nopqrs"]),
        ("aaaabbbb", 4, ["aaaa", "bbbb"]),
        ("aae\u0301e\u0301", 4, ["aae\u0301", "e\u0301"]),
        ("short", 5, ["short"]),
    ],
)
def test_long_text_is_cut_where_it_reads_best(text: str, limit: int, parts: list[str]) -> None:
    assert split_long(text, lambda part: len(part) <= limit) == parts
