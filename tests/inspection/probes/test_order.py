"""An encoder without positions is equivariant to permutations, exactly; with them it is not, whichever they are."""

from typing import Any

import pytest
import torch
from architectures import MASKED, TRANSLATION, language_model, masked_model, translation_model

from attento.inspection.probes.order import FARTHEST, probe_order
from attento.inspection.record import record

V = 19
PAIRS = [([7, 4, 11, 5, 17], [6, 9, 13]), ([8, 12, 4], [10, 5]), ([5, 5, 9, 16, 18, 4, 6], [7])]


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary", "alibi", "relative"])
def test_positions_end_equivariance(positions: str) -> None:
    settings = TRANSLATION["transformer"] | {"positions": positions, "d_key": 6, "norm": "pre"}
    model = translation_model(settings, V, V)
    # Biases by distance are learned, and some start at nothing.
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    found = probe_order("untrained", model, PAIRS)
    assert found.change is not None and found.change > 1e-3
    assert found.change_without is not None and found.change_without < 1e-12


def test_without_positions_there_are_none_to_take_out() -> None:
    found = probe_order("untrained", translation_model(TRANSLATION["transformer_without_positions"], V, V), PAIRS)
    assert found.change is not None and found.change < 1e-12
    assert found.change_without is None


def test_a_recurrent_encoder_knows_order_by_itself() -> None:
    found = probe_order("untrained", translation_model(TRANSLATION["rnn_gru"], V, V), PAIRS)
    assert found.change is not None and found.change > 1e-2
    assert (found.change_without, found.profiles) == (None, ())


def test_the_model_is_left_as_it_was() -> None:
    model = translation_model(TRANSLATION["transformer"], V, V)
    before = str(model), {name: weight.clone() for name, weight in model.state_dict().items()}
    probe_order("untrained", model.train(), PAIRS)
    assert str(model) == before[0] and model.training
    assert all(torch.equal(weight, before[1][name]) for name, weight in model.state_dict().items())


def test_profiles_are_means_over_queries() -> None:
    model = translation_model(TRANSLATION["transformer"], V, V).eval()
    found = {each.head: each for each in probe_order("untrained", model, PAIRS[:1]).profiles}
    assert len(found) == 12
    source = torch.tensor([[*PAIRS[0][0], 3]])
    with record(model, "weights") as trace:
        memory = model.encode(source, torch.ones_like(source, dtype=torch.bool))
        model.decode(torch.tensor([[2, *PAIRS[0][1]]]), model.start(memory))
    for kind, layer, head in (("encoder self", 1, 2), ("decoder self", 0, 1)):
        weights: Any = trace.find(kind, layer).weights[0, head].tolist()  # type: ignore[arg-type]
        profile = found[f"{kind} {layer}.{head}"]
        by_distance = dict.fromkeys(profile.distances, 0.0)
        mean = 0.0
        for query, row in enumerate(weights):
            for key, weight in enumerate(row):
                by_distance[key - query] += weight / len(weights)
                mean += abs(key - query) * weight / len(weights)
        assert profile.weights == pytest.approx(tuple(by_distance.values()), abs=1e-6)
        assert profile.mean == pytest.approx(mean, abs=1e-5)
        assert sum(profile.weights) == pytest.approx(1, abs=1e-5)


def test_what_is_far_is_told_as_one() -> None:
    model = language_model({"architecture": "decoder_only", "d_model": 12, "num_heads": 3, "d_ff": 13, "layers": 1}, V)
    (first, *_) = probe_order("untrained", model, [([5] * 31, [])]).profiles
    assert first.distances == tuple(range(-FARTHEST, FARTHEST + 1))
    assert sum(first.weights) == pytest.approx(1, abs=1e-5)
    # Nobody looks ahead.
    assert set(first.weights[FARTHEST + 1 :]) == {0.0}


def test_a_masked_model_is_asked_too() -> None:
    found = probe_order("untrained", masked_model(MASKED["masked"], V), PAIRS)
    assert found.change is not None and found.change > 1e-3
    assert found.change_without is not None and found.change_without < 1e-12
    assert [section.title for section in found.sections()] == ["Tokens shuffled", "Distances"]
