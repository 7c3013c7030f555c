"""The structured self-attentive embedding against the paper's equations, one word at a time in float64."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attento.models.base import Sentences
from attento.models.classification.config import SelfAttentiveConfig
from attento.models.classification.self_attentive import Annotation, SelfAttentive, redundancy

# Sentences, words, width of a word, of the LSTM, of the attention.
B, L, D, U, A = 2, 7, 5, 3, 11
# Rows of the attention, width of the last layer, vocabulary, classes.
R, W, V, C = 4, 13, 23, 17


def build(dropout: float = 0.0, penalty: float = 0.5, rows: int = R, classes: int = C) -> SelfAttentive:
    config = SelfAttentiveConfig(
        architecture="self_attentive",
        d_model=D,
        d_hidden=U,
        d_attention=A,
        rows=rows,
        d_output=W,
        dropout=dropout,
        penalty=penalty,
    )
    return SelfAttentive(config, V, classes).eval()


def pad(rows: list[list[int]], width: int | None = None) -> Sentences:
    width = width or max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    return Sentences(ids, torch.tensor([[i < len(row) for i in range(width)] for row in rows]))


def draw_sentences() -> list[list[int]]:
    return [torch.randint(4, V, (length,)).tolist() for length in (L, 2, 4, 1, 3)]


def annotate_by_formula(annotation: Annotation, hidden: Tensor) -> list[list[float]]:
    """Equation 6, for one sentence without padding: softmax over words of w_r . tanh(W_s1 h)."""
    squashed = [[math.tanh(float(row @ h)) for row in annotation.first.weight] for h in hidden]
    rows = []
    for look in annotation.second.weight.tolist():
        exponentials = [math.exp(math.fsum(w * x for w, x in zip(look, word, strict=True))) for word in squashed]
        rows.append([value / math.fsum(exponentials) for value in exponentials])
    return rows


def penalty_by_formula(weights: list[list[float]]) -> float:
    """Equation 8, one entry of A A^T - I at a time."""
    total = 0.0
    for i, one in enumerate(weights):
        for j, other in enumerate(weights):
            total += (math.fsum(x * y for x, y in zip(one, other, strict=True)) - (i == j)) ** 2
    return total


@torch.no_grad()
def test_the_scores_are_the_equations_of_the_paper():
    model = build(penalty=0.3).double()
    sentences = draw_sentences()

    logits, added = model.score([pad(sentences)])

    for row, ids in enumerate(sentences):
        embedded = model.embedding.weight[torch.tensor(ids)] * math.sqrt(D)
        read = model.recurrent(embedded[None], mask=torch.ones(1, len(ids), dtype=torch.bool))[0][0]
        weights = annotate_by_formula(model.annotation, read)
        matrix = [sum(w * h for w, h in zip(look, read, strict=True)) for look in weights]
        hidden = (model.hidden.weight @ torch.cat(matrix) + model.hidden.bias).clamp(min=0)
        expected = model.classes.weight @ hidden + model.classes.bias
        torch.testing.assert_close(logits[row], expected, rtol=1e-10, atol=1e-10)
        assert float(added[row]) == pytest.approx(0.3 * penalty_by_formula(weights), abs=1e-10)


@torch.no_grad()
def test_the_weights_sum_to_one_over_the_real_words_alone():
    annotation = Annotation(D, A, R)
    mask = torch.tensor([[True] * 3 + [False] * 4, [True] * 7, [False] * 7])

    weights = annotation(100 * torch.randn(3, L, D), mask)

    assert weights[0, :, 3:].abs().max() == 0
    torch.testing.assert_close(weights[:2].sum(dim=-1), torch.ones(2, R))
    assert weights[2].abs().max() == 0


def test_the_penalty_is_zero_where_each_row_has_a_word_of_its_own():
    one_hot = torch.eye(L)[torch.tensor([[2, 0, 6, 3], [1, 5, 4, 0]])]

    assert redundancy(one_hot).tolist() == [0.0, 0.0]


def test_the_penalty_is_greatest_where_all_rows_look_at_one_word():
    # A A^T is all ones: R x R entries, the R on the diagonal cancelled by I.
    same = torch.eye(L)[torch.tensor([[2] * R, [5] * R])]

    assert redundancy(same).tolist() == [R * R - R] * 2
    # Rows spread evenly: entries 1 / L, on the diagonal 1 / L - 1.
    even = R * (R - 1) / L**2 + R * (1 - 1 / L) ** 2
    assert redundancy(torch.full((B, R, L), 1 / L)).tolist() == pytest.approx([even] * 2)


@torch.no_grad()
def test_the_setting_weighs_the_penalty():
    sentences = [pad(draw_sentences())]
    model, free = build(penalty=0.25), build(penalty=0.0)
    free.load_state_dict(model.state_dict())
    heavy = build(penalty=1.0)
    heavy.load_state_dict(model.state_dict())

    torch.testing.assert_close(4 * model.score(sentences)[1], heavy.score(sentences)[1])
    assert free.score(sentences)[1].tolist() == [0.0] * 5
    assert (heavy.score(sentences)[1] > 0.1).all()


def test_the_penalty_drives_the_rows_apart():
    annotation = Annotation(D, A, 3)
    hidden, mask = torch.randn(1, L, D), torch.ones(1, L, dtype=torch.bool)
    optimizer = torch.optim.Adam(annotation.parameters(), lr=0.1)

    for _ in range(300):
        optimizer.zero_grad()
        redundancy(annotation(hidden, mask)).sum().backward()
        optimizer.step()

    weights = annotation(hidden, mask)[0]
    assert redundancy(weights[None]).item() < 0.01
    assert len(set(weights.argmax(dim=-1).tolist())) == 3


@torch.no_grad()
def test_bfloat16_weights_are_close_to_float32():
    model = build()
    sentences = [pad(draw_sentences())]
    exact, exact_penalty = model.score(sentences)

    rough, rough_penalty = model.bfloat16().score(sentences)

    assert rough.dtype == torch.bfloat16 and rough_penalty.dtype == torch.float32
    torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.05)
    torch.testing.assert_close(rough_penalty, exact_penalty, rtol=0.05, atol=0.05)


def test_it_learns_which_of_two_words_comes_first():
    # Words 4 and 5 both stand in each sentence: only their order tells the class.
    model = build(rows=2, classes=2, penalty=0.01).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def draw(rows: int) -> tuple[Sentences, Tensor]:
        ids = torch.randint(6, V, (rows, L))
        early, late = torch.randint(0, 3, (rows,)), torch.randint(3, L, (rows,))
        label = torch.arange(rows) % 2
        ids[torch.arange(rows), early] = 4 + label
        ids[torch.arange(rows), late] = 5 - label
        return Sentences(ids, torch.ones_like(ids, dtype=torch.bool)), label

    for _ in range(250):
        sentences, labels = draw(64)
        optimizer.zero_grad()
        logits, added = model.score([sentences])
        (F.cross_entropy(logits, labels) + added.mean()).backward()
        optimizer.step()

    sentences, labels = draw(500)
    assert (model.eval()([sentences]).argmax(dim=-1) == labels).float().mean() > 0.97
