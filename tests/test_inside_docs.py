"""docs/inside.md shows what was measured: its figures, diagrams, tables and numbers are those of the results."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "inside.md"


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(PROJECT / "benchmarks")
    return __import__("figures")


def test_diagrams_and_tables_are_those_of_the_results(figures: Any) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert figures.filled(page) == page
    assert page.count("```mermaid\nflowchart TD\n") == len(figures.seen()["diagrams"])
    assert all(f"<!-- table: {name} -->\n|" in page for name in figures.TABLES)


def test_figures_are_drawn_from_the_results_small_and_for_light_and_dark(figures: Any) -> None:
    drawn = figures.figures()
    page = PAGE.read_text(encoding="utf-8")
    assert {path.name for path in (PROJECT / "docs" / "figures").iterdir()} == set(drawn)
    for name, text in drawn.items():
        assert (PROJECT / "docs" / "figures" / name).read_text(encoding="utf-8") == text
        assert len(text.encode()) < 100_000
        root = ElementTree.fromstring(text)
        assert root.findtext("{http://www.w3.org/2000/svg}title")
        assert "prefers-color-scheme: dark" in text
        assert f"](figures/{name})" in page


def test_every_shade_of_a_figure_is_darker_than_the_one_before_or_lighter_in_the_dark(figures: Any) -> None:
    light, dark = (
        [sum(map(int, re.findall(r"\d+", colour))) for colour in re.findall(r"\.c\d+ \{ fill: rgb\((.*?)\)", part)]
        for part in figures.svg.picture(1, 1, "", []).split("prefers-color-scheme")
    )
    assert len(light) == len(dark) == figures.svg.LEVELS + 1
    assert light == sorted(light, reverse=True) and len(set(light)) == len(light)
    assert dark == sorted(dark) and len(set(dark)) == len(dark)


def test_the_numbers_of_the_text() -> None:
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    found = json.loads((PROJECT / "benchmarks" / "results" / "inside.json").read_text(encoding="utf-8"))
    seen = json.loads((PROJECT / "benchmarks" / "results" / "figures.json").read_text(encoding="utf-8"))
    for phrase in (*_pronouns(found), *_profiles(seen["heads"]), *_scale(found), *_order(found)):
        assert phrase in page


def _pronouns(found: dict[str, Any]) -> list[str]:
    pronouns = found["pronouns"]
    heads = {head["head"]: head for head in pronouns["heads"]}
    asks, looks = heads["cross 0.1"], heads["cross 1.1"]
    most = max((head for name, head in heads.items() if name.startswith("encoder")), key=lambda h: h["antecedent"])
    carriers = pronouns["carriers"]
    assert carriers["heads"] == ["cross 0.1"] and looks["antecedent"] == max(h["antecedent"] for h in heads.values())
    spared = sum(head["accuracy"] >= 0.97 for head in heads.values())
    return [
        f"of {pronouns['contrasts']} such sentences it holds the right translation for the more probable in all",
        f"more than {most['antecedent']:.1%} of its attention to the noun that is meant, and that one gives "
        f"{most['distractor']:.1%} to the other",
        f"cross 0.1 gives {asks['adjective']:.0%} of its attention to the adjective",
        f"cross 1.1 gives {looks['antecedent']:.0%} to the noun that is meant and {looks['distractor']:.1%} to the "
        "other",
        f"accuracy falls from {pronouns['accuracy']:.0%} to {asks['accuracy']:.0%}, a coin's; this head gives "
        f"{asks['antecedent']:.1%} to the noun",
        f"{looks['accuracy']:.0%} are still right, if with less margin ({looks['margin']:.1f} nats in place of "
        f"{pronouns['margin']:.1f})",
        f"is right in {found['pronouns-without-attention']['accuracy']:.1%} of the same "
        f"{found['pronouns-without-attention']['contrasts']} sentences",
        f"with any one of {spared} of the {len(heads)} heads off, at least 97% are right",
        f"not chosen on ({carriers['without']:.0%})",
        f"leaves {sum(carriers['random']) / len(carriers['random']):.1%}",
    ]


def _profiles(heads: dict[str, Any]) -> list[str]:
    own: dict[str, list[float]] = {}
    for head in heads["built-in"]:
        own.setdefault(head["head"].split(" ")[0] + head["head"][-5:] * head["head"].endswith("alike"), []).append(
            head["shares"][5]
        )
    every = [head["shares"] for part in heads.values() for head in part if not head["head"].endswith("alike")]
    german = {head["head"]: head["shares"] for head in heads["german"]}
    assert max(shares[12] for shares in every) < 0.5
    return [
        f"head 2.1 of the encoder gives {german['encoder self 2.1'][4]:.0%} to the token before",
        f"gives more than {max(max(shares[:11]) for shares in every):.0%} to one distance",
        f"heads give {min(own['encoder']):.0%} to {max(own['encoder']):.0%} to the token itself, where looking at all "
        f"alike would give {own['encoderalike'][0]:.0%}; in its decoder {min(own['decoder']):.0%} to "
        f"{max(own['decoder']):.0%}, against {own['decoderalike'][0]:.0%}",
    ]


def _scale(found: dict[str, Any]) -> list[str]:
    variances: dict[str, list[float]] = {}
    for head in found["scale"]["trained"]:
        variances.setdefault(head["name"].split(" ")[0], []).append(head["variance_divided"])
    encoder, cross = variances["encoder"], variances["cross"]
    return [
        f"variances from {min(encoder):.1f} to {max(encoder):.1f} in the encoder, and from {min(cross):.0f} to "
        f"{max(cross):.0f} in attention to the source"
    ]


def _order(found: dict[str, Any]) -> list[str]:
    order = found["order"]
    return [f"to a relative {order['change_without']:.1e}, which", f"change by {order['change']:.0%}"]


def test_the_mean_of_all_layers_beats_the_last_but_one() -> None:
    found = json.loads((PROJECT / "benchmarks" / "results" / "inside.json").read_text(encoding="utf-8"))
    rates = {part: each["error_rate"] for part, each in found["alignment"]["parts"].items()}
    assert found["alignment"]["model"]["error_rate"] < min(rates.values())
    several = [parts for parts in found["german"].values() if "all layers" in parts]
    assert len(several) == 3
    for parts in several:
        assert parts["all layers"]["error_rate"] < parts[f"layer {len(parts) - 3}"]["error_rate"]


def test_links_made_by_hand_link_every_english_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROJECT / "benchmarks")
    for german, english, links in __import__("hand_aligned").GERMAN:
        pairs = [tuple(map(int, link.split("-"))) for link in links.split()]
        assert {target for _, target in pairs} == set(range(len(english.split())))
        assert all(0 <= source < len(german.split()) for source, _ in pairs)
