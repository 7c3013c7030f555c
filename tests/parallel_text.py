"""A small parallel text on the disk, and what the folder prepared of it holds."""

import random
from pathlib import Path
from typing import Any

from attento.data.pairs.config import CorpusConfig, DataConfig, TokenizerConfig
from attento.data.pairs.corpora import Pair
from attento.data.pairs.prepared import PreparedCorpus

NOUNS = {"cat": "chat", "street": "rue", "animal": "animal", "house": "maison", "tree": "arbre"}
GOOD: list[Pair] = [
    (f"the {e} number {n} ends", f"ici finit {f} numéro {n}") for n in range(17) for e, f in NOUNS.items()
]
VALIDATION: list[Pair] = [("a street and a tree", "une rue et un arbre"), ("", "vide"), ("a cat", "un chat")]


def write_pairs(folder: Path, name: str, pairs: list[Pair]) -> CorpusConfig:
    for side, suffix in enumerate(("en", "fr")):
        (folder / f"{name}.{suffix}").write_bytes("".join(f"{pair[side]}\n" for pair in pairs).encode())
    return CorpusConfig(source=f"{name}.en", target=f"{name}.fr")


def configure(folder: Path, *corpora: list[Pair], validation: list[Pair] = VALIDATION, **changes: Any) -> DataConfig:
    settings: dict[str, Any] = {
        "source_language": "en",
        "target_language": "fr",
        "train": tuple(write_pairs(folder, f"train{n}", pairs) for n, pairs in enumerate(corpora)),
        "validation": write_pairs(folder, "dev", validation),
        "tokenizer": TokenizerConfig(vocab_size=293, normalization="identity"),
    }
    return DataConfig(**(settings | changes))


def texts(corpus: PreparedCorpus) -> list[Pair]:
    source, target = corpus.tokenizers.source, corpus.tokenizers.target
    return [
        (source.decode(s.tolist()), target.decode(t.tolist())) for s, t in corpus.train.take(range(len(corpus.train)))
    ]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def many_pairs() -> list[Pair]:
    generator = random.Random(7)
    words = [*NOUNS, *NOUNS.values()]

    def sentence() -> str:
        return " ".join(generator.choices(words, k=generator.randrange(4)))

    return [(sentence(), sentence()) for _ in range(9001)]
