"""What every translation model keeps, whatever its architecture: one list, one set of promises."""

from itertools import accumulate, product
from typing import Any

import architectures
import pytest
import torch
from torch import Tensor

from attento.decoding.beam import beam_search
from attento.decoding.config import SearchConfig
from attento.decoding.greedy import greedy_search
from attento.engines.torch import TorchEngine
from attento.errors import ConfigError
from attento.models.base import EncoderDecoder
from attento.nn.state import DecoderState

# Rows, source, target, source and target vocabulary.
B, S, T, V, OUT = 5, 9, 7, 17, 13
LENGTHS = [9, 1, 4, 6, 2]
BOS, EOS = 2, 3

every_model = pytest.mark.parametrize("settings", architectures.TRANSLATION.values(), ids=architectures.TRANSLATION)


class Stranger:
    """A state that no model made."""

    def select(self, indices: Tensor) -> "Stranger":
        return self


def make(settings: dict[str, Any], out: int = OUT, seed: int = 0) -> EncoderDecoder:
    torch.manual_seed(seed)
    model = architectures.translation_model(settings | {"tied_embeddings": "target"}, V, out).double()
    with torch.no_grad():
        # Away from what is drawn at first: gains of one and biases of zero would hide a mistake.
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter) * (parameter.std(correction=0) + 0.1))
    return model.eval()


def draw_source() -> tuple[Tensor, Tensor]:
    mask = torch.arange(S) < torch.tensor(LENGTHS)[:, None]
    return torch.randint(4, V, (B, S)).masked_fill(~mask, 0), mask


def attributes(model: EncoderDecoder) -> dict[tuple[str, str], int]:
    return {(name, key): id(value) for name, each in model.named_modules() for key, value in vars(each).items()}


def assert_learns(model: EncoderDecoder, settings: dict[str, Any]) -> None:
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
    model, target = make(settings), torch.randint(OUT, (B, T))
    with torch.no_grad():
        state: DecoderState = model.start(model.encode(*draw_source()))
        expected, _ = model.decode(target, state)
        logits = []
        for end, length in zip(accumulate(pieces), pieces, strict=True):
            more, state = model.decode(target[:, end - length : end], state)
            logits.append(more)
    assert_close(torch.cat(logits, dim=1), expected)


@every_model
def test_a_row_does_not_know_its_neighbours_nor_their_padding(settings: dict[str, Any]) -> None:
    model, target = make(settings), torch.randint(OUT, (B, T))
    source, mask = draw_source()
    with torch.no_grad():
        together, _ = model.decode(target, model.start(model.encode(source, mask)))
        # What stands on padding is nobody's business.
        other = torch.where(mask, source, torch.randint(V, (B, S)))
        assert_close(model.decode(target, model.start(model.encode(other, mask)))[0], together)
        for row, length in enumerate(LENGTHS):
            alone = slice(row, row + 1)
            memory = model.encode(source[alone, :length], mask[alone, :length])
            assert_close(model.decode(target[alone], model.start(memory))[0], together[alone])


@every_model
def test_the_future_is_not_seen_and_the_source_is(settings: dict[str, Any]) -> None:
    model, target = make(settings), torch.randint(4, OUT, (B, T))
    source, mask = draw_source()
    changed = target.clone()
    changed[:, 4] = (target[:, 4] - 3) % (OUT - 4) + 4
    with torch.no_grad():
        state = model.start(model.encode(source, mask))
        before, after = model.decode(target, state)[0], model.decode(changed, state)[0]
        assert_close(after[:, :4], before[:, :4])
        assert (after[:, 4] - before[:, 4]).abs().amax() > 1e-6
        source[:, 0] = (source[:, 0] - 3) % (V - 4) + 4
        elsewhere, _ = model.decode(target, model.start(model.encode(source, mask)))
    assert (elsewhere - before).abs().amax() > 1e-9


@every_model
@pytest.mark.parametrize("rows", [[4, 0, 0], [2], [1, 3, 4, 0, 2, 2, 1]], ids=str)
def test_selecting_from_the_state_is_selecting_from_the_input(settings: dict[str, Any], rows: list[int]) -> None:
    model, target = make(settings), torch.randint(OUT, (B, T))
    picked = torch.tensor(rows)
    with torch.no_grad():
        memory = model.encode(*draw_source())
        state: DecoderState = model.start(memory)
        expected, _ = model.decode(target, state)
        assert_close(model.decode(target[picked], model.start(memory.select(picked)))[0], expected[picked])
        for start, stop in ((0, 3), (3, 4), (4, T)):
            logits, after = model.decode(target[:, start:stop], state)
            chosen, _ = model.decode(target[picked, start:stop], state.select(picked))
            assert_close(chosen, expected[picked, start:stop])
            # Neither the step before nor the choice has changed the state.
            assert_close(logits, expected[:, start:stop])
            state = after


@every_model
def test_every_weight_learns_and_nothing_is_written_on_the_model(settings: dict[str, Any]) -> None:
    model = make(settings)
    before = attributes(model)
    logits, _ = model.decode(torch.randint(OUT, (B, T)), model.start(model.encode(*draw_source())))
    logits.logsumexp(dim=-1).sum().backward()
    assert attributes(model) == before
    assert_learns(model, settings)


@every_model
def test_weights_in_bfloat16_compute_and_learn(settings: dict[str, Any]) -> None:
    model = make(settings).float().train()
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16()
    logits, _ = model.decode(torch.randint(OUT, (B, T)), model.start(model.encode(*draw_source())))
    assert logits.dtype == torch.bfloat16
    logits.float().square().sum().backward()
    assert_learns(model, settings)


@every_model
def test_a_source_with_no_token_at_all_gives_numbers_and_finite_gradients(settings: dict[str, Any]) -> None:
    model = make(settings)
    source, mask = draw_source()
    mask[2] = False
    logits, _ = model.decode(torch.randint(OUT, (B, T)), model.start(model.encode(source, mask)))
    logits.square().sum().backward()
    assert logits.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@every_model
def test_each_matrix_has_one_name_and_learns(settings: dict[str, Any]) -> None:
    """Safetensors refuses two names for one tensor; and a name must not be missing either."""
    for number, tied in enumerate(("all", "target", "none"), start=1):
        vocab_size = V if tied == "all" else OUT
        model = architectures.translation_model(settings | {"tied_embeddings": tied}, V, vocab_size)
        weights, saved = dict(model.named_parameters()), model.state_dict()
        assert weights.keys() <= saved.keys()
        assert len({tensor.data_ptr() for tensor in saved.values()}) == len(saved)
        logits, _ = model.decode(torch.randint(vocab_size, (B, T)), model.start(model.encode(*draw_source())))
        logits.square().sum().backward()
        matrices = [name for name in weights if "embedding" in name]
        assert len(matrices) == number
        assert all((weights[name].grad != 0).any() for name in matrices)
    with pytest.raises(ConfigError, match=r"17 tokens and the target 13.*`data\.tokenizer\.joint: true`"):
        architectures.translation_model(settings | {"tied_embeddings": "all"}, V, OUT)


@every_model
@pytest.mark.parametrize(("beam_size", "n_best"), [(1, 1), (3, 2)], ids=["greedy", "beam"])
def test_a_search_finds_the_same_alone_and_among_others(settings: dict[str, Any], beam_size: int, n_best: int) -> None:
    # An untrained model writes until it is stopped: not much longer than the source, but by each source's own length.
    search = SearchConfig(beam_size=beam_size, n_best=n_best, max_extra_length=13)
    engine = TorchEngine(make(settings), device="cpu")
    sources = [torch.randint(4, V, (length,)).tolist() for length in (1, 8, 3, 5)]
    together = engine.translate(sources, search)
    for source, expected in zip(sources, together, strict=True):
        [found] = engine.translate([source], search)
        assert [each.ids for each in found] == [each.ids for each in expected]
        assert [each.score for each in found] == pytest.approx([each.score for each in expected], rel=1e-9)


@every_model
def test_a_beam_wide_enough_is_exhaustive_and_of_one_is_greedy(settings: dict[str, Any]) -> None:
    vocab_size, most = 5, 2
    model = make(settings, out=vocab_size, seed=1)
    source, mask = draw_source()
    caps = torch.full((B,), most)
    with torch.no_grad():
        state = model.start(model.encode(source, mask))
        beams = beam_search(
            model.decode, state, beam_size=97, bos_id=BOS, eos_id=EOS, max_lengths=caps, length_penalty=0.6
        )
        scores = _all_scores(model, state, vocab_size, most)
        greedy = greedy_search(model.decode, state, bos_id=BOS, eos_id=EOS, max_lengths=caps)
        ones = beam_search(model.decode, state, beam_size=1, bos_id=BOS, eos_id=EOS, max_lengths=caps)
    for row, [best] in enumerate(beams):
        ids = max(scores, key=lambda each: scores[each][row].item())
        assert best.ids == ids
        assert best.score == pytest.approx(scores[ids][row].item(), rel=1e-5)
    assert [each.ids for each in greedy] == [best.ids for [best] in ones]


def _all_scores(
    model: EncoderDecoder, state: DecoderState, vocab_size: int, most: int
) -> dict[tuple[int, ...], Tensor]:
    """Score every possible output by one forward pass each: teacher forcing, no search."""
    tokens = [token for token in range(vocab_size) if token != EOS]
    found = {}
    for length in range(most + 1):
        for ids in product(tokens, repeat=length):
            whole = torch.tensor([BOS, *ids]).expand(B, -1)
            logits, _ = model.decode(whole, state)
            log_probs = logits.float().log_softmax(dim=-1)
            wanted = torch.tensor([*ids, EOS]).expand(B, -1)
            total = log_probs.gather(2, wanted[:, :, None]).sum(dim=(1, 2))
            found[ids] = total / ((5 + length + 1) / 6) ** 0.6
    return found


@every_model
def test_a_state_of_another_model_is_refused(settings: dict[str, Any]) -> None:
    model = make(settings)
    with pytest.raises(TypeError, match="a state belongs to the model whose `start` made it"):
        model.decode(torch.randint(OUT, (B, 1)), Stranger())


@pytest.mark.parametrize("name", architectures.TRANSLATION)
def test_learns_to_write_a_source_backwards(name: str) -> None:
    settings = architectures.TRANSLATION[name]
    torch.manual_seed(5)
    width = {"d_model": 36} | {name: 72 for name in ("d_ff",) if name in settings}
    vocab_size, length = 9, 3
    shape = settings | width | {"dropout": 0.0, "tied_embeddings": "none"}
    model = architectures.translation_model(shape, vocab_size, vocab_size).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    losses = []
    for _ in range(220):
        pieces = torch.randint(4, vocab_size, (67, length))
        source = torch.nn.functional.pad(pieces, (0, 1), value=EOS)
        target = torch.nn.functional.pad(pieces.flip(1), (1, 0), value=BOS)
        logits, _ = model.decode(target, model.start(model.encode(source, torch.ones_like(source, dtype=torch.bool))))
        wanted = torch.nn.functional.pad(pieces.flip(1), (0, 1), value=EOS)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if max(losses[-9:]) < 0.3:
            break
    if name == "transformer_without_positions":
        # It sees which symbols there are, but not in which order: log(3!) nats over four tokens, but for repetitions.
        assert 0.3 < losses[-1] < 0.6
    elif name == "transformer_without_residual":
        # What the layers below have seen is gone but for what attention mixes of it.
        assert losses[-1] < losses[0] - 0.5
    else:
        # Guessing three of five symbols costs 1.2 nats a token.
        assert losses[-1] < 0.3, losses[::20]
