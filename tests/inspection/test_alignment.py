"""Alignments are of words, from the layer that is named, and leave marks out."""

from dataclasses import replace

import architectures
import numpy as np
import pytest
import torch
from inspected import make_run

from attento.errors import InputError
from attento.inspection.alignment import Aligner, align, join_words, looks_at_source, pharaoh
from attento.inspection.tokens import Line
from attento.inspection.trace import Attention, Trace
from attento.text.special import EOS_ID

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


def _attention(layer: int, words: tuple[int, ...]) -> Attention:
    weights = torch.full((1, 2, 4, 5), 0.01)
    for row, column in enumerate(words):
        weights[0, :, row, column] = 1
    return Attention(f"decoder.{layer}.cross_attention", "cross", layer, weights)


def test_all_heads_of_all_layers_are_taken() -> None:
    generator = torch.Generator().manual_seed(1)
    looks = [
        replace(_attention(layer, ()), weights=torch.rand(1, heads, 4, 5, generator=generator))
        for layer, heads in enumerate((2, 3, 1))
    ]
    found = align(looks_at_source(Trace(looks)), SOURCE, OUTPUT)
    means = np.concatenate([each.weights[0].numpy() for each in looks]).mean(axis=0)
    np.testing.assert_allclose(found.weights, join_words(means, OUTPUT, SOURCE), rtol=1e-5)
    assert found.taken_from == "the mean of 6 heads of 3 layers"


def test_one_layer_is_taken_where_one_is_given() -> None:
    looks = [_attention(0, (0, 0, 0, 4)), _attention(1, (3, 1, 0, 4)), _attention(2, (2, 2, 2, 4))]
    found = align(looks[1:2], SOURCE, OUTPUT)
    assert found.pairs == ((0, 1), (2, 0))
    assert found.pharaoh == pharaoh(found.pairs) == "0-1 2-0"
    assert found.taken_from == "the mean of 2 heads of decoder.1.cross_attention"


def test_punctuation_does_not_speak_for_the_word_it_stands_with() -> None:
    source = Line((5, 6, 7, EOS_ID), ("don", "'", "t", "</s>"), (0, 0, 0, None), ("don't",))
    source = source.then(Line((8, 9, 10), ("go", ".", "--"), (0, 0, 1), ("go.", "--")))
    weights = np.full((4, 7), 0.02)
    weights[:3] = [0.1, 0.5, 0.05, 0.05, 0.2, 0.05, 0.05], [0, 0, 0, 0, 0.1, 0.9, 0], [0, 0, 0, 0, 0.1, 0, 0.9]
    output = Line((9, 10, 11, EOS_ID), ("x", "y", ".", "</s>"), (0, 1, 1, None), ("x", "y."))
    expected = np.array([[0.15, 0.2, 0.05], [0, 0.1, 0]])
    np.testing.assert_allclose(join_words(weights, output, source), expected / expected.sum(axis=1, keepdims=True))


def test_one_stack_over_both_texts_is_read_where_the_target_looks_at_the_source() -> None:
    weights = torch.zeros(1, 1, 9, 9)
    weights[0, 0, 5:, :5] = _attention(0, (3, 2, 2, 4)).weights[0, 0]
    weights[0, 0, :5, 0] = 1
    attention = Attention(
        "decoder.0", "decoder self", 0, weights, rows="source and target", columns="source and target"
    )
    assert align(looks_at_source(Trace([attention])), SOURCE, OUTPUT).pairs == ((1, 1), (2, 0))


@pytest.mark.parametrize("name", ["transformer", "prefix", "convs2s"])
def test_an_aligner_links_every_word_of_the_translation(name: str) -> None:
    aligner = Aligner(make_run("translation", architectures.TRANSLATION[name]))
    pairs = aligner.align("apple 3 and the 日本", "the cloud\u2028bridge")
    assert sorted(target for _, target in pairs) == [0, 1, 2]
    assert all(0 <= source < 5 for source, _ in pairs)
    assert aligner.pharaoh(" ", "cloud") == aligner.pharaoh("cloud", "") == ""


def test_what_cannot_align_says_so() -> None:
    with pytest.raises(InputError, match="no attention to its source"):
        Aligner(make_run("translation", architectures.TRANSLATION["rnn_gru"])).align("apple", "cloud")
    with pytest.raises(InputError, match="no source and translation"):
        Aligner(make_run("language_modeling", architectures.LANGUAGE["gru"]))
    learned = make_run("translation", architectures.TRANSLATION["transformer_pre_norm_learned"])
    with pytest.raises(InputError, match="at most 31"):
        Aligner(learned).align("apple " * 31, "cloud")
    with pytest.raises(InputError, match="the translation has"):
        Aligner(learned).align("apple", "cloud " * 31)
