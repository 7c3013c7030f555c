"""Make the text of recipes/english-french.yaml: sentences one by one, and two at a time where they follow one another.

    python benchmarks/pronoun_data.py --data DATA --output runs/pronoun-data

A model learns from two sentences at a time that "it" in the second may mean a noun of the first (Tiedemann & Scherrer
2017, arXiv:1708.05943, the "2+2" system). Only corpora in the order of their documents have such pairs. The same call
gives the same files; the contrastive set that the model is asked later has no part in them.
"""

import argparse
import random
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

LANGUAGES = ("en", "fr")
_EVERYDAY = ("storybooks-fr", "hf-course-subtitles-fr", "opensource-guide-fr")
_TECHNICAL = ("hf-course-fr", "react-docs-fr", "react-legacy-docs-fr", "python-docs-fr", "php-docs-fr")
_PRONOUN = re.compile(r"\b(it|they|them)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?…»\"”]\s*$")
_MOST_WORDS = 30
_VALIDATION, _TEST, _STORIES = 1000, 1000, 200
_UNRELATED = 30_000

Pair: TypeAlias = tuple[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--output", type=Path, default=Path("runs/pronoun-data"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for name, pairs in corpora(options.data).items():
        for side, language in enumerate(LANGUAGES):
            text = "".join(pair[side] + "\n" for pair in pairs)
            (options.output / f"{name}.{language}").write_bytes(text.encode("utf-8"))
        print(f"{name}: {len(pairs):,} pairs")


def corpora(data: Path) -> dict[str, list[Pair]]:
    """Return every corpus of the recipe by name.

    `tatoeba.*` are single sentences; `single` are the lines of everyday documents and `joined` each of these with the
    line before it; `technical` are the same of manuals, where the second line has a pronoun; `unrelated` are two
    sentences that have nothing to do with one another, neither with a pronoun, so that two everyday sentences in a line
    are nothing new. `stories.test` are the last stories, which stand in no other corpus.
    """
    draw = random.Random(1)
    made = split_by_english(read(data / "tatoeba-fra-eng"), draw)
    documents = {name: read(data / name) for name in (*_EVERYDAY, *_TECHNICAL)}
    stories = documents["storybooks-fr"]
    made["stories.test"], documents["storybooks-fr"] = stories[-_STORIES:], stories[:-_STORIES]
    made["single"] = [pair for name in _EVERYDAY for pair in documents[name]]
    made["joined"] = [pair for name in _EVERYDAY for pair in neighbours(documents[name])]
    made["technical"] = [pair for name in _TECHNICAL for pair in neighbours(documents[name], with_pronoun=True)]
    silent = [pair for pair in made["tatoeba.train"] if not _PRONOUN.search(pair[0])]
    made["unrelated"] = [join(*draw.sample(silent, 2)) for _ in range(_UNRELATED)]
    return made


def read(folder: Path) -> list[Pair]:
    """Read `train.en` and `train.fr`; a line ends at a newline alone."""
    sides = [(folder / f"train.{language}").read_bytes().decode("utf-8") for language in LANGUAGES]
    english, french = (side.removesuffix("\n").split("\n") for side in sides)
    return list(zip(english, french, strict=True))


def split_by_english(pairs: Iterable[Pair], draw: random.Random) -> dict[str, list[Pair]]:
    """Hold out English sentences with all their translations; of each held out one translation is kept.

    Sentences with the same letters are the same: "Come on!" must not be learnt from "Come on.".
    """
    by_letters: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_letters.setdefault("".join(filter(str.isalnum, pair[0].lower())), []).append(pair)
    order = sorted(by_letters)
    draw.shuffle(order)
    held = [draw.choice(by_letters[letters]) for letters in order[: _VALIDATION + _TEST]]
    return {
        "tatoeba.train": [pair for letters in order[_VALIDATION + _TEST :] for pair in by_letters[letters]],
        "tatoeba.validation": held[:_VALIDATION],
        "tatoeba.test": held[_VALIDATION:],
    }


def neighbours(pairs: Sequence[Pair], with_pronoun: bool = False) -> list[Pair]:
    """Join each line with the one before it where both are whole sentences and not long."""
    return [
        join(first, second)
        for first, second in pairwise(pairs)
        if _is_sentence(first) and _is_sentence(second) and (not with_pronoun or _PRONOUN.search(second[0]))
    ]


def join(first: Pair, second: Pair) -> Pair:
    """Put two sentences into one line, as the contrastive set has them."""
    return f"{first[0]} {second[0]}", f"{first[1]} {second[1]}"


def _is_sentence(pair: Pair) -> bool:
    return all(_SENTENCE.search(side) and len(side.split()) <= _MOST_WORDS for side in pair)


if __name__ == "__main__":
    main()
