"""What every sentence model keeps, whatever its architecture: one list, one set of promises."""

from typing import Any

import architectures
import pytest
import torch
from torch import Tensor

from attento.models.base import Classifier, Sentences

# Rows, vocabulary, classes; and the lengths of the sentences in each place of an example.
B, V, C = 5, 17, 7
LENGTHS = ([9, 1, 4, 6, 2], [3, 5, 1, 11, 8])

every_model = pytest.mark.parametrize(
    "settings", architectures.CLASSIFICATION.values(), ids=architectures.CLASSIFICATION
)


def make(settings: dict[str, Any]) -> Classifier:
    torch.manual_seed(0)
    model = architectures.classifier(settings, V, C).double()
    with torch.no_grad():
        # Away from what is drawn at first: gains of one and biases of zero would hide a mistake.
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter) * (parameter.std(correction=0) + 0.1))
    return model.eval()


def draw_sentences(model: Classifier) -> list[Sentences]:
    found = []
    for lengths in LENGTHS[: model.num_sentences]:
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        found.append(Sentences(torch.randint(4, V, mask.shape).masked_fill(~mask, 0), mask))
    return found


def attributes(model: Classifier) -> dict[tuple[str, str], int]:
    return {(name, key): id(value) for name, each in model.named_modules() for key, value in vars(each).items()}


def assert_close(actual: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10)


@every_model
def test_scores_are_of_classes_and_what_is_added_is_finite(settings: dict[str, Any]) -> None:
    model = make(settings)
    sentences = draw_sentences(model)
    with torch.no_grad():
        logits, penalty = model.score(sentences)
        assert torch.equal(model(sentences), logits)
    assert (logits.shape, penalty.shape) == ((B, C), (B,))
    assert logits.isfinite().all() and penalty.isfinite().all()
    assert (penalty > 0).all() if settings["architecture"] == "self_attentive" else (penalty == 0).all()


@every_model
def test_padding_changes_nothing(settings: dict[str, Any]) -> None:
    model = make(settings)
    sentences = draw_sentences(model)
    other = [Sentences(torch.where(s.mask, s.ids, torch.randint(V, s.ids.shape)), s.mask) for s in sentences]
    wider = [
        Sentences(torch.nn.functional.pad(s.ids, (0, more)), torch.nn.functional.pad(s.mask, (0, more)))
        for more, s in zip((2, 5), sentences, strict=False)
    ]
    with torch.no_grad():
        expected = model.score(sentences)
        assert_close(model.score(other), expected)
        assert_close(model.score(wider), expected)


@every_model
def test_a_row_does_not_know_its_neighbours(settings: dict[str, Any]) -> None:
    model = make(settings)
    sentences = draw_sentences(model)
    with torch.no_grad():
        logits, penalty = model.score(sentences)
        for row in range(B):
            alone = slice(row, row + 1)
            own = [
                Sentences(s.ids[alone, : lengths[row]], s.mask[alone, : lengths[row]])
                for lengths, s in zip(LENGTHS, sentences, strict=False)
            ]
            assert_close(model.score(own), (logits[alone], penalty[alone]))


@every_model
def test_each_sentence_is_read_and_its_place_counts(settings: dict[str, Any]) -> None:
    model = make(settings)
    sentences = draw_sentences(model)
    with torch.no_grad():
        before = model(sentences)
        for place, sentence in enumerate(sentences):
            ids = sentence.ids.clone()
            ids[:, 0] = (ids[:, 0] - 3) % (V - 4) + 4
            changed = [*sentences[:place], Sentences(ids, sentence.mask), *sentences[place + 1 :]]
            assert (model(changed) - before).abs().amax(dim=1).min() > 1e-3
        if model.num_sentences == 2:
            assert (model(sentences[::-1]) - before).abs().amax(dim=1).min() > 1e-3


@every_model
def test_every_weight_learns_and_nothing_is_written_on_the_model(settings: dict[str, Any]) -> None:
    model = make(settings)
    before = attributes(model)
    logits, penalty = model.score(draw_sentences(model))
    (logits.logsumexp(dim=-1) + penalty).sum().backward()
    assert attributes(model) == before
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    # A key's bias shifts all of a query's scores alike.
    still = [name for name, parameter in model.named_parameters() if parameter.grad.abs().max() == 0]
    assert all("key" in name for name in still), still


@every_model
def test_weights_in_bfloat16_compute(settings: dict[str, Any]) -> None:
    model = make(settings)
    sentences = draw_sentences(model)
    expected, expected_penalty = model.score(sentences)
    logits, penalty = model.bfloat16().score(sentences)
    assert logits.dtype == torch.bfloat16
    # Eight bits of each number, some layers deep.
    torch.testing.assert_close(logits.double(), expected, rtol=0.05, atol=0.05 * expected.abs().max().item())
    torch.testing.assert_close(penalty.double(), expected_penalty, rtol=0.1, atol=0.01)
    (logits.float().logsumexp(dim=-1) + penalty.float()).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def draw_task(num_sentences: int, rows: int) -> tuple[list[Sentences], Tensor]:
    """Hide a sign in some of the sentences; the label tells which sign, or for pairs, in which of them it stands."""
    label = torch.randint(3, (rows,))
    sentences = []
    for place in range(num_sentences):
        ids = torch.randint(7, V, (rows, 6))
        mask = torch.arange(6) < torch.randint(3, 7, (rows, 1))
        if num_sentences == 1:
            ids[:, 1] = 4 + label
        else:
            has_sign = (label == 2) | (label == place)
            ids[:, 1] = torch.where(has_sign, 4, ids[:, 1])
        sentences.append(Sentences(ids.masked_fill(~mask, 0), mask))
    return sentences, label


@pytest.mark.parametrize("name", architectures.CLASSIFICATION)
def test_learns_to_find_a_sign(name: str) -> None:
    torch.manual_seed(5)
    model = architectures.classifier(architectures.CLASSIFICATION[name] | {"dropout": 0.0}, V, 3).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
    losses = []
    for _ in range(150):
        sentences, label = draw_task(model.num_sentences, 67)
        logits, penalty = model.score(sentences)
        loss = torch.nn.functional.cross_entropy(logits, label)
        optimizer.zero_grad()
        (loss + penalty.mean()).backward()
        optimizer.step()
        losses.append(loss.item())
    # Guessing one of three costs 1.1 nats.
    assert losses[-1] < 0.1, losses[::15]
