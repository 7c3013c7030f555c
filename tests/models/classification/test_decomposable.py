"""Decomposable attention against the paper's equations, one word at a time in float64."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attento.models.base import Sentences
from attento.models.classification.config import DecomposableAttentionConfig
from attento.models.classification.decomposable import DecomposableAttention, distances, soft_align

# Pairs, words of the first and of the second sentence, width, vocabulary, classes.
B, L, M, D, V, C = 2, 5, 3, 7, 23, 11


def build(intra: bool, dropout: float = 0.0, d_model: int = D, classes: int = C) -> DecomposableAttention:
    config = DecomposableAttentionConfig(
        architecture="decomposable_attention", d_model=d_model, dropout=dropout, intra_sentence=intra
    )
    return DecomposableAttention(config, V, classes).eval()


def pad(rows: list[list[int]], width: int | None = None) -> Sentences:
    width = width or max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    return Sentences(ids, torch.tensor([[i < len(row) for i in range(width)] for row in rows]))


def through(network: nn.Sequential, vector: Tensor) -> Tensor:
    for layer in network:
        if isinstance(layer, nn.Linear):
            vector = torch.stack([row @ vector for row in layer.weight]) + layer.bias
            vector = vector.clamp(min=0)
    return vector


def softmax(scores: list[float]) -> list[float]:
    total = math.fsum(map(math.exp, scores))
    return [math.exp(score) / total for score in scores]


def read_by_formula(model: DecomposableAttention, ids: list[int]) -> list[Tensor]:
    words = [model.null] + [model.embedding.weight[i] * math.sqrt(D) for i in ids]
    if model.intra_sentence is None:
        return words
    projected = [through(model.intra_sentence.attend, word) for word in words]
    bias = model.intra_sentence.distance_bias
    read = []
    for i, word in enumerate(words):
        scores = []
        for j in range(len(words)):
            number = i - j + 10 if abs(i - j) <= 10 else 21
            scores.append(float(projected[i] @ projected[j] + bias[number]))
        itself = sum(w * other for w, other in zip(softmax(scores), words, strict=True))
        read.append(torch.cat((word, itself)))
    return read


def logits_by_formula(model: DecomposableAttention, first: list[int], second: list[int]) -> Tensor:
    """Equations 1 to 5 and section 3.4, for one pair."""
    a, b = read_by_formula(model, first), read_by_formula(model, second)
    e = [[float(through(model.attend, x) @ through(model.attend, y)) for y in b] for x in a]
    beta = [sum(w * y for w, y in zip(softmax(row), b, strict=True)) for row in e]
    columns = list(zip(*e, strict=True))
    alpha = [sum(w * x for w, x in zip(softmax(list(column)), a, strict=True)) for column in columns]
    v1 = sum(through(model.compare, torch.cat((x, y))) for x, y in zip(a, beta, strict=True))
    v2 = sum(through(model.compare, torch.cat((x, y))) for x, y in zip(b, alpha, strict=True))
    return model.classes.weight @ through(model.aggregate, torch.cat((v1, v2))) + model.classes.bias


@pytest.mark.parametrize("intra", [False, True])
@torch.no_grad()
def test_the_logits_are_the_equations_of_the_paper(intra: bool):
    model = build(intra).double()
    if model.intra_sentence is not None:
        nn.init.normal_(model.intra_sentence.distance_bias)
    # Long enough for distances beyond 10 to share a bias.
    first, second = [[5, 9, 22, 5, 8, 7, 6, 13, 4, 11, 12, 17, 19], [14, 6]], [[9], [21, 5, 6]]

    logits, added = model.score([pad(first), pad(second)])

    expected = torch.stack([logits_by_formula(model, a, b) for a, b in zip(first, second, strict=True)])
    torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-10)
    assert added.tolist() == [0.0, 0.0]


def test_far_words_share_one_distance_and_near_ones_have_their_own():
    numbers = distances(13)

    assert numbers[12].tolist() == [21, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10]
    assert numbers[0].tolist() == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 21, 21]


@torch.no_grad()
def test_alignment_gives_no_weight_to_padding():
    values = torch.eye(M).repeat(B, 1, 1)
    mask = torch.tensor([[True, False, False], [True, True, False]])

    aligned = soft_align(torch.full((B, L, M), 1000.0), values, mask)

    torch.testing.assert_close(aligned[0], torch.tensor([1.0, 0, 0]).expand(L, M))
    torch.testing.assert_close(aligned[1], torch.tensor([0.5, 0.5, 0]).expand(L, M))


@torch.no_grad()
def test_without_intra_sentence_attention_the_order_of_words_is_not_seen():
    swapped = [[9, 5, 7]]

    for intra, seen in ((False, False), (True, True)):
        model = build(intra)
        if model.intra_sentence is not None:
            nn.init.normal_(model.intra_sentence.distance_bias)
        ordered, other = model([pad([[5, 7, 9]]), pad([[8, 6]])]), model([pad(swapped), pad([[8, 6]])])
        assert torch.allclose(ordered, other, rtol=1e-5, atol=1e-6) is not seen


@torch.no_grad()
def test_a_sentence_without_words_is_read_as_nothing():
    model = build(intra=True)
    empty = Sentences(torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 2, dtype=torch.bool))

    logits = model([empty, pad([[5, 7]])])

    assert logits.isfinite().all()
    wider = Sentences(torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 3, dtype=torch.bool))
    torch.testing.assert_close(model([wider, pad([[5, 7]])]), logits)


@pytest.mark.parametrize("intra", [False, True])
def test_it_learns_whether_two_sentences_share_a_word(intra: bool):
    # Words 4 to 12 and 13 to 21 never meet, but for one shared word in half of the pairs.
    model = build(intra, d_model=32, classes=2).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def draw(rows: int) -> tuple[list[Sentences], Tensor]:
        first, second = torch.randint(4, 13, (rows, L)), torch.randint(13, 22, (rows, M))
        share = torch.arange(rows) % 2
        second[:, 1] = torch.where(share == 1, first[:, 2], second[:, 1])
        return [Sentences(ids, torch.ones_like(ids, dtype=torch.bool)) for ids in (first, second)], share

    for _ in range(100):
        sentences, labels = draw(64)
        optimizer.zero_grad()
        F.cross_entropy(model(sentences), labels).backward()
        optimizer.step()

    sentences, labels = draw(500)
    assert (model.eval()(sentences).argmax(dim=-1) == labels).float().mean() > 0.97
