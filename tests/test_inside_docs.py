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
    for phrase in (*_pronouns(found), *_apart(found), *_profiles(seen["heads"]), *_scale(found), *_order(found)):
        assert phrase in page


def _pronouns(found: dict[str, Any]) -> list[str]:
    pronouns = found["pronouns"]
    heads = {head["head"]: head for head in pronouns["heads"]}
    most = max((head for name, head in heads.items() if name.startswith("encoder")), key=lambda h: h["antecedent"])
    needed, unneeded, unseen = heads["cross 1.2"], heads["cross 1.0"], heads["decoder self 0.0"]
    carriers = pronouns["carriers"]
    assert carriers["heads"] == ["cross 1.2"] and needed["antecedent"] == max(h["antecedent"] for h in heads.values())
    spared = sum(head["accuracy"] >= 0.96 for head in heads.values())
    return [
        f"of {pronouns['contrasts']} such sentences it holds the right translation for the more probable in "
        f"{pronouns['accuracy']:.1%}",
        f"more than {most['antecedent']:.1%} of its attention to the noun that is meant, and that one gives "
        f"{most['distractor']:.1%} to the other",
        f"with it off accuracy falls from {pronouns['accuracy']:.0%} to {needed['accuracy']:.0%}",
        f"cross 1.0 gives {unneeded['adjective']:.0%} to the adjective, and with it off {unneeded['accuracy']:.0%} are "
        "still right",
        f"next to nothing to either noun ({max(unseen['antecedent'], unseen['distractor']):.2%}), but with it off only "
        f"{unseen['accuracy']:.0%} are right",
        f"is right in {found['pronouns-without-attention']['accuracy']:.1%} of the same "
        f"{found['pronouns-without-attention']['contrasts']} sentences",
        f"with any one of {spared} of the {len(heads)} heads off, at least 96% are right",
        f"not chosen on ({carriers['without']:.0%})",
        f"leaves {sum(carriers['random']) / len(carriers['random']):.1%}",
    ]


def _apart(found: dict[str, Any]) -> list[str]:
    animal, other = (
        {head["head"]: head for head in found["pronouns-apart"][which]["heads"]} for which in ("subject", "object")
    )
    return [
        f"cross 1.1 always looks at the animal: it gives it {animal['cross 1.1']['antecedent']:.0%} of its attention "
        f"where the animal is meant and {other['cross 1.1']['distractor']:.0%} where the other noun is",
        f"cross 1.2 gives {animal['cross 1.2']['adjective']:.0%} to an adjective that means the animal",
        f"it gives {other['cross 1.2']['antecedent']:.0%} to the other noun",
        f"{animal['cross 1.2']['accuracy']:.0%} are right where the animal is meant, and "
        f"{other['cross 1.2']['accuracy']:.0%} where it is not",
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


def test_the_mean_of_all_layers_beats_the_last_but_one_and_comes_near_the_best() -> None:
    found = json.loads((PROJECT / "benchmarks" / "results" / "inside.json").read_text(encoding="utf-8"))
    rates = {part: each["error_rate"] for part, each in found["alignment"]["parts"].items()}
    mean = found["alignment"]["model"]["error_rate"]
    assert mean < min(rate for part, rate in rates.items() if not part.endswith("mean"))
    assert mean < rates["cross 0, mean"] and mean < rates["cross 1, mean"] + 0.05
    several = [parts for parts in found["german"].values() if "all layers" in parts]
    assert len(several) == 3
    for parts in several:
        mean, *layers = (part["error_rate"] for part in parts.values())
        assert mean < layers[-2] and mean < min(layers) + 0.05


def test_links_made_by_hand_link_every_english_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROJECT / "benchmarks")
    for german, english, links in __import__("hand_aligned").GERMAN:
        pairs = [tuple(map(int, link.split("-"))) for link in links.split()]
        assert {target for _, target in pairs} == set(range(len(english.split())))
        assert all(0 <= source < len(german.split()) for source, _ in pairs)
