import pytest

from attento.data.pairs.scripts import script_of, script_share, scripts_of_language


@pytest.mark.parametrize(
    ("character", "script"),
    [
        ("a", "latin"), ("É", "latin"), ("ß", "latin"), ("Ａ", "latin"), ("ª", "latin"), ("ж", "cyrillic"),
        ("中", "han"), ("々", "han"), ("あ", "hiragana"), ("ア", "katakana"), ("ー", "katakana"), ("ｱ", "katakana"),
        ("π", "greek"),
        ("한", "hangul"), ("ب", "arabic"), ("ש", "hebrew"), ("क", "devanagari"), ("ก", "thai"), ("ა", "georgian"),
        ("7", None), (" ", None), ("。", None), ("!", None), ("😀", None),
    ],
)  # fmt: skip
def test_script_of(character: str, script: str | None) -> None:
    assert script_of(character) == script


@pytest.mark.parametrize(
    ("code", "scripts"),
    [
        ("en", {"latin"}), ("de", {"latin"}), ("fr", {"latin"}), ("pt-BR", {"latin"}), ("pt_BR", {"latin"}),
        ("EN", {"latin"}), ("eng", {"latin"}), ("ru", {"cyrillic"}), ("zh", {"han"}), ("zh-Hant", {"han"}),
        ("ja", {"han", "hiragana", "katakana"}), ("ko", {"hangul", "han"}), ("sr", {"cyrillic", "latin"}),
        ("sr-Latn", {"latin"}), ("sr_Cyrl_RS", {"cyrillic"}), ("el", {"greek"}), ("he", {"hebrew"}), ("ar", {"arabic"}),
        ("hi", {"devanagari"}),
    ],
)  # fmt: skip
def test_scripts_of_language(code: str, scripts: set[str]) -> None:
    assert scripts_of_language(code) == scripts


@pytest.mark.parametrize("code", ["src", "tlh", "xx"])
def test_unknown_languages_have_no_script(code: str) -> None:
    assert scripts_of_language(code) is None


def test_share_counts_letters_alone() -> None:
    # Three of five letters are Han; digits and marks do not count.
    assert script_share("我用 C9, 好 D!", frozenset({"han"})) == 3 / 5
    assert script_share("我用 C9, 好 D!", frozenset({"latin"})) == 2 / 5
    assert script_share("12.5 %", frozenset({"han"})) == 1
    assert script_share("", frozenset({"han"})) == 1
    assert script_share("plain ASCII", frozenset({"latin"})) == 1
    assert script_share("plain ASCII", frozenset({"greek"})) == 0
