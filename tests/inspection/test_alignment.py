"""Alignments are of words, from the heads that are named, and leave marks out."""

import architectures
import numpy as np
import pytest
from inspected import make_run, tokenizer

from attento.decoding.config import SearchConfig
from attento.engines.torch import TorchEngine
from attento.errors import ConfigError, InputError
from attento.inspection.alignment import Aligner, Heads, align, join_words, pharaoh
from attento.inspection.probes.tracing import trace_pair
from attento.inspection.reading import LoadedRun
from attento.inspection.tokens import Line, read_text
from attento.inspection.trace import as_numpy
from attento.text.special import EOS_ID
from attento.text.tokenizer import TokenizerPair
from attento.translator import Translator

SOURCE = Line((5, 6, 7, 8, EOS_ID), ("a", "b", "c", "d", "</s>"), (0, 0, 1, 2, None), ("ab", "c", "d"))
OUTPUT = Line((9, 10, 11, EOS_ID), ("x", "y", "z", "</s>"), (0, 1, 1, None), ("x", "yz"))


def test_words_are_means_of_sums_without_marks() -> None:
    weights = np.random.default_rng(1).dirichlet(np.ones(5), size=4)
    found = join_words(weights, OUTPUT, SOURCE)
    for target, rows in enumerate(([0], [1, 2])):
        raw = [np.mean([sum(weights[r, c] for c in columns) for r in rows]) for columns in ([0, 1], [2], [3])]
        np.testing.assert_allclose(found[target], np.array(raw) / sum(raw))


def test_a_row_that_looks_at_marks_alone_has_no_word() -> None:
    weights = np.zeros((4, 5))
    weights[:, 4] = 1
    np.testing.assert_array_equal(join_words(weights, OUTPUT, SOURCE), np.zeros((2, 3)))


def test_all_heads_of_all_layers_are_taken() -> None:
    layers = [np.random.rand(heads, 4, 5).astype(np.float32) for heads in (2, 3, 1)]
    mean = sum(head.astype(np.float64) for layer in layers for head in layer) / 6
    np.testing.assert_allclose(align(layers, SOURCE, OUTPUT).weights, join_words(mean, OUTPUT, SOURCE))


def test_each_word_is_linked_to_the_word_of_most_weight() -> None:
    weights = np.full((1, 4, 5), 0.01)
    for row, column in enumerate((3, 1, 0, 4)):
        weights[0, row, column] = 1
    found = align([weights], SOURCE, OUTPUT)
    assert found.pairs == ((0, 1), (2, 0))
    assert found.pharaoh == pharaoh(found.pairs) == "0-1 2-0"


def test_punctuation_does_not_speak_for_the_word_it_stands_with() -> None:
    source = Line((5, 6, 7, EOS_ID), ("don", "'", "t", "</s>"), (0, 0, 0, None), ("don't",))
    source = source.then(Line((8, 9, 10), ("go", ".", "--"), (0, 0, 1), ("go.", "--")))
    weights = np.full((4, 7), 0.02)
    weights[:3] = [0.1, 0.5, 0.05, 0.05, 0.2, 0.05, 0.05], [0, 0, 0, 0, 0.1, 0.9, 0], [0, 0, 0, 0, 0.1, 0, 0.9]
    output = Line((9, 10, 11, EOS_ID), ("x", "y", ".", "</s>"), (0, 1, 1, None), ("x", "y."))
    expected = np.array([[0.15, 0.2, 0.05], [0, 0.1, 0]])
    np.testing.assert_allclose(join_words(weights, output, source), expected / expected.sum(axis=1, keepdims=True))


def _translator(run: LoadedRun) -> Translator:
    return Translator(run.tokenizers, TorchEngine(run.model, device="cpu"), run.search)


@pytest.mark.parametrize("name", ["transformer", "prefix", "convs2s"])
def test_an_aligner_links_every_word_of_the_translation(name: str) -> None:
    aligner = Aligner(_translator(make_run("translation", architectures.TRANSLATION[name])))
    pairs = aligner.align("apple 3 and the 日本", "the cloud\u2028bridge")
    assert sorted(target for _, target in pairs) == [0, 1, 2]
    assert all(0 <= source < 5 for source, _ in pairs)
    assert aligner.pharaoh(" ", "cloud") == aligner.pharaoh("cloud", "") == ""


def test_what_cannot_align_says_so() -> None:
    with pytest.raises(InputError, match="no attention to its source"):
        Aligner(_translator(make_run("translation", architectures.TRANSLATION["rnn_gru"])))
    learned = Aligner(_translator(make_run("translation", architectures.TRANSLATION["transformer_pre_norm_learned"])))
    with pytest.raises(InputError, match=r"the sentence has .* at most 31"):
        learned.align("apple " * 31, "cloud")
    with pytest.raises(InputError, match=r"the translation has .* at most 31"):
        learned.align("apple", "cloud " * 31)


TEXTS = "the bridge and 7 clouds", "apple 3 cloud"


@pytest.mark.parametrize(
    ("heads", "taken"),
    [
        (None, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]),
        ([(1, 2)], [(1, 2)]),
        ([(1, 0), (0, 2)], [(0, 2), (1, 0)]),
        ([(0, None)], [(0, 0), (0, 1), (0, 2)]),
        # Named twice, a head counts once.
        ([(1, 1), (0, 1), (1, 1)], [(0, 1), (1, 1)]),
        ([(1, 2), (1, None)], [(1, 0), (1, 1), (1, 2)]),
    ],
)
def test_the_heads_that_are_named_are_taken(heads: Heads | None, taken: list[tuple[int, int]]) -> None:
    run = make_run("translation", architectures.TRANSLATION["transformer"])
    source, target = (read_text(tokenizer(), text) for text in TEXTS)
    trace = trace_pair(run.model, source.ids, target.ids, "weights")
    mean = np.mean([as_numpy(trace.head("cross", layer, head)) for layer, head in taken], axis=0)
    words = join_words(mean, target.before(EOS_ID), source.before(EOS_ID))
    expected = {(int(row.argmax()), place) for place, row in enumerate(words)}
    assert len(expected) == 3
    assert set(Aligner(_translator(run), heads).align(*TEXTS)) == expected


@pytest.mark.parametrize(
    ("heads", "told"),
    [
        ([(0, 1), (2, 0)], r"no head 2\.0 .* layers 0 to 1 with heads 0 to 2"),
        ([(2, None)], "no layer 2 "),
        ([(-1, None)], "no layer -1 "),
        ([(1, 3)], r"no head 1\.3 "),
        ([(1, -1)], r"no head 1\.-1 "),
        ([], "no head is named"),
    ],
)
def test_heads_that_are_not_there_are_told_before_anything_is_aligned(heads: Heads, told: str) -> None:
    translator = _translator(make_run("translation", architectures.TRANSLATION["transformer"]))
    with pytest.raises(ConfigError, match=told):
        Aligner(translator, heads)


class _Engine:
    """Looks, in the one head of each of two layers, where it was told to."""

    max_source_length = max_length = None

    def __init__(self, *words: tuple[int, ...]) -> None:
        self.words, self.asked = words, []

    def source_attention(self, source, target):
        self.asked.append((source, target))
        layers = np.full((len(self.words), 1, len(target) + 1, len(source) + 1), 0.01, np.float32)
        for layer, words in zip(layers, self.words, strict=True):
            for row, column in enumerate(words[: len(target)]):
                layer[0, row, column] = 1
        return list(layers)

    def translate(self, sources, search, prefixes=None):
        raise AssertionError


def test_an_engine_that_tells_where_it_looks_is_asked_itself() -> None:
    source, target = "apple bridge cloud", "and 3"
    ids = [read_text(tokenizer(), text).ids for text in (source, target)]
    firsts = [read_text(tokenizer(), source).words.index(word) for word in range(3)]
    columns = [[firsts[word]] * len(ids[1]) for word in (2, 0)]
    engine = _Engine(*map(tuple, columns))
    translator = Translator(TokenizerPair(tokenizer(), tokenizer()), engine, SearchConfig())
    assert Aligner(translator, [(0, None)]).align(source, target) == ((2, 0), (2, 1))
    assert Aligner(translator, [(1, 0)]).pharaoh(source, target) == "0-0 0-1"
    assert engine.asked[1] == tuple(ids)
