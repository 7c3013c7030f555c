"""What every language model keeps, whatever its architecture, with weights or counted: one list of promises."""

from itertools import accumulate, product
from typing import Any

import architectures
import numpy as np
import pytest
import torch
from torch import Tensor

from attento.decoding.beam import beam_search
from attento.decoding.greedy import greedy_search
from attento.decoding.sampling import sample
from attento.models.base import LanguageModel, NeuralLanguageModel
from attento.models.language.ngram import NGramModel
from attento.nn.state import DecoderState

# Rows, tokens, vocabulary.
B, T, V = 5, 7, 13
BOS, EOS = 2, 3
MODELS = architectures.LANGUAGE | architectures.COUNTED

every_model = pytest.mark.parametrize("settings", MODELS.values(), ids=MODELS)
every_neural_model = pytest.mark.parametrize(
    "settings", architectures.LANGUAGE.values(), ids=architectures.LANGUAGE.keys()
)


class Stranger:
    """A state that no model made."""

    def select(self, indices: Tensor) -> "Stranger":
        return self


def make(settings: dict[str, Any], vocab_size: int = V, seed: int = 0) -> LanguageModel:
    torch.manual_seed(seed)
    model = architectures.language_model(settings, vocab_size).double()
    if isinstance(model, NGramModel):
        texts = [[BOS, *torch.randint(4, vocab_size, (11,)).tolist(), EOS] for _ in range(29)]
        model.fit(np.concatenate(texts))
    with torch.no_grad():
        # Away from what is drawn at first: gains of one and biases of zero would hide a mistake.
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter) * (parameter.std(correction=0) + 0.1))
    return model.eval()


def attributes(model: LanguageModel) -> dict[tuple[str, str], int]:
    return {(name, key): id(value) for name, each in model.named_modules() for key, value in vars(each).items()}


def assert_learns(model: LanguageModel, settings: dict[str, Any]) -> None:
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    still = [name for name, parameter in model.named_parameters() if parameter.grad.abs().max() == 0]
    # A key's bias shifts all of a query's scores alike; where scores are not used, queries and keys are for nothing.
    assert all("key" in name or ("query" in name and settings.get("scores") == "uniform") for name in still), still


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10)


@every_model
@pytest.mark.parametrize("pieces", [[1] * T, [1, 4, 2], [6, 1]], ids=str)
def test_step_by_step_is_all_at_once(settings: dict[str, Any], pieces: list[int]) -> None:
    model, target = make(settings), torch.randint(V, (B, T))
    with torch.no_grad():
        expected, _ = model.decode(target, model.start(B))
        state: DecoderState = model.start(B)
        logits = []
        for end, length in zip(accumulate(pieces), pieces, strict=True):
            more, state = model.decode(target[:, end - length : end], state)
            logits.append(more)
    assert_close(torch.cat(logits, dim=1), expected)


@every_model
def test_probabilities_sum_to_one(settings: dict[str, Any]) -> None:
    model, target = make(settings), torch.randint(V, (B, T))
    with torch.no_grad():
        logits, _ = model.decode(target, model.start(B))
    assert logits.shape == (B, T, V)
    probabilities = logits.softmax(dim=-1)
    assert (probabilities > 0).all()
    assert_close(probabilities.sum(dim=-1), torch.ones(B, T, dtype=torch.double))
    if isinstance(model, NGramModel):
        # What it counts are probabilities from the first: nothing is left for a softmax to put right.
        assert_close(probabilities, logits.exp())


@every_model
def test_a_row_does_not_know_its_neighbours_nor_what_follows(settings: dict[str, Any]) -> None:
    model, target = make(settings), torch.randint(V, (B, T))
    with torch.no_grad():
        together, _ = model.decode(target, model.start(B))
        for row, length in enumerate([7, 1, 4, 6, 2]):
            alone, _ = model.decode(target[row : row + 1, :length], model.start(1))
            assert_close(alone, together[row : row + 1, :length])


@every_model
def test_what_is_read_is_seen(settings: dict[str, Any]) -> None:
    model, target = make(settings), torch.randint(4, V, (B, T))
    changed = target.clone()
    changed[:, 4] = (target[:, 4] - 3) % (V - 4) + 4
    with torch.no_grad():
        before, after = (model.decode(each, model.start(B))[0] for each in (target, changed))
    assert_close(after[:, :4], before[:, :4])
    # Unigrams look at nothing.
    assert ((after[:, 4] - before[:, 4]).abs().amax() > 1e-3) == (settings.get("order") != 1)


@every_model
@pytest.mark.parametrize("rows", [[4, 0, 0], [2], [1, 3, 4, 0, 2, 2, 1]], ids=str)
def test_selecting_from_the_state_is_selecting_from_the_input(settings: dict[str, Any], rows: list[int]) -> None:
    model, target = make(settings), torch.randint(V, (B, T))
    picked = torch.tensor(rows)
    with torch.no_grad():
        expected, _ = model.decode(target, model.start(B))
        state: DecoderState = model.start(B)
        for start, stop in ((0, 3), (3, 4), (4, T)):
            logits, after = model.decode(target[:, start:stop], state)
            chosen, _ = model.decode(target[picked, start:stop], state.select(picked))
            assert_close(chosen, expected[picked, start:stop])
            # Neither the step before nor the choice has changed the state.
            assert_close(logits, expected[:, start:stop])
            state = after


@every_neural_model
def test_every_weight_learns_and_nothing_is_written_on_the_model(settings: dict[str, Any]) -> None:
    model = make(settings)
    before = attributes(model)
    logits, _ = model.decode(torch.randint(V, (B, T)), model.start(B))
    logits.logsumexp(dim=-1).sum().backward()
    assert attributes(model) == before
    assert_learns(model, settings)


@every_neural_model
def test_weights_in_bfloat16_compute_and_learn(settings: dict[str, Any]) -> None:
    model = make(settings).float().train()
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16()
    logits, _ = model.decode(torch.randint(V, (B, T)), model.start(B))
    assert logits.dtype == torch.bfloat16
    logits.float().square().sum().backward()
    assert_learns(model, settings)


@every_neural_model
def test_features_and_output_layer_make_the_logits(settings: dict[str, Any]) -> None:
    model, target = make(settings), torch.randint(V, (B, T))
    assert isinstance(model, NeuralLanguageModel)
    with torch.no_grad():
        features, _ = model.features(target, model.start(B))
        weight, bias = model.output_layer()
        logits = torch.einsum("btd,vd->btv", features, weight) + (0 if bias is None else bias)
        assert_close(model.decode(target, model.start(B))[0], logits)
    assert features.shape == (B, T, model.d_model)


@every_model
def test_a_beam_wide_enough_is_exhaustive_and_of_one_is_greedy(settings: dict[str, Any]) -> None:
    vocab_size, most = 5, 2
    model = make(settings, vocab_size=vocab_size, seed=1)
    caps, ends = torch.full((B,), most), {"bos_id": BOS, "eos_id": EOS}
    prompt = torch.randint(4, vocab_size, (B, 1)) - torch.arange(B)[:, None] % 4
    with torch.no_grad():
        _, state = model.decode(prompt, model.start(B))
        beams = beam_search(model.decode, state, beam_size=97, max_lengths=caps, length_penalty=0.6, **ends)
        scores = _all_scores(model, state, vocab_size, most)
        greedy = greedy_search(model.decode, state, max_lengths=caps, **ends)
        ones = beam_search(model.decode, state, beam_size=1, max_lengths=caps, **ends)
    for row, [best] in enumerate(beams):
        ids = max(scores, key=lambda each: scores[each][row].item())
        assert best.ids == ids
        assert best.score == pytest.approx(scores[ids][row].item(), rel=1e-5)
    assert [each.ids for each in greedy] == [best.ids for [best] in ones]


def _all_scores(model: LanguageModel, state: DecoderState, vocab_size: int, most: int) -> dict[tuple[int, ...], Tensor]:
    """Score every possible output by one forward pass each: teacher forcing, no search."""
    tokens = [token for token in range(vocab_size) if token != EOS]
    outputs = [ids for length in range(most + 1) for ids in product(tokens, repeat=length)]
    return {ids: _log_probability(model, state, ids) / ((5 + len(ids) + 1) / 6) ** 0.6 for ids in outputs}


def _log_probability(model: LanguageModel, state: DecoderState, ids: tuple[int, ...]) -> Tensor:
    logits, _ = model.decode(torch.tensor([BOS, *ids]).expand(B, -1), state)
    wanted = torch.tensor([*ids, EOS]).expand(B, -1)
    return logits.log_softmax(dim=-1).gather(2, wanted[:, :, None]).sum(dim=(1, 2))


@every_model
def test_what_a_row_draws_is_its_own_and_scored_as_it_is_read(settings: dict[str, Any]) -> None:
    model, ends = make(settings), {"bos_id": BOS, "eos_id": EOS}
    caps, seeds = torch.tensor([6, 1, 3, 5, 6]), [(number,) for number in (11, 5, 7, 3, 2)]
    with torch.no_grad():
        drawn = sample(model.decode, model.start(B), max_lengths=caps, seeds=seeds, temperature=2.0, **ends)
        for row, found in enumerate(drawn):
            alone = slice(row, row + 1)
            [again] = sample(
                model.decode, model.start(1), max_lengths=caps[alone], seeds=seeds[alone], temperature=2.0, **ends
            )
            assert again.ids == found.ids
            read = _log_probability(model, model.start(B), found.ids)[row].item()
            assert found.log_probability == pytest.approx(read, rel=1e-5)
        # With nothing but the most probable token to draw from, sampling is greedy search.
        greedy = greedy_search(model.decode, model.start(B), max_lengths=caps, **ends)
        sharp = sample(model.decode, model.start(B), max_lengths=caps, seeds=seeds, top_k=1, **ends)
    assert [each.ids for each in sharp] == [each.ids for each in greedy]
    assert len({found.ids for found in drawn}) > 2


@every_model
def test_a_state_of_another_model_is_refused(settings: dict[str, Any]) -> None:
    model = make(settings)
    with pytest.raises(TypeError, match="a state belongs to the model whose `start` made it"):
        model.decode(torch.randint(V, (B, 1)), Stranger())


PERIOD, TIMES, LETTERS = 3, 3, 5


def draw_periodic(rows: int) -> Tensor:
    """Make rows of bos and letters that come back with a fixed period."""
    letters = torch.randint(4, 4 + LETTERS, (rows, PERIOD)).repeat(1, TIMES)
    return torch.nn.functional.pad(letters, (1, 0), value=BOS)


def repeated_loss(model: LanguageModel, text: Tensor) -> Tensor:
    """Compute the mean loss of the letters that have been there before."""
    logits, _ = model.decode(text[:, :-1], model.start(len(text)))
    return torch.nn.functional.cross_entropy(logits[:, PERIOD:].flatten(0, 1), text[:, PERIOD + 1 :].flatten())


@pytest.mark.parametrize("name", architectures.LANGUAGE)
def test_learns_a_text_that_repeats_itself(name: str) -> None:
    torch.manual_seed(5)
    settings = architectures.LANGUAGE[name]
    width = {"d_model": 36} | {name: 72 for name in ("d_ff", "d_hidden") if name in settings}
    model = architectures.language_model(settings | width | {"dropout": 0.0}, 4 + LETTERS).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
    losses = []
    for _ in range(150):
        loss = repeated_loss(model, draw_periodic(67))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # Guessing one of five letters costs 1.6 nats.
    assert losses[-1] < 0.4, losses[::15]


def test_counts_a_text_that_repeats_itself() -> None:
    model = architectures.language_model(architectures.COUNTED["fourgrams"], 4 + LETTERS)
    assert isinstance(model, NGramModel)
    model.fit(draw_periodic(997).flatten().numpy())
    assert repeated_loss(model, draw_periodic(67)) < 0.2
