"""What a torch model looks at in its source is cut out of what was recorded."""

import architectures
import numpy as np
import pytest
import torch
from inspected import make_run

from attento.inspection.probes.tracing import trace_pair
from attento.inspection.source_attention import RecordedEngine, looks_at_source, source_weights
from attento.inspection.trace import Attention, Trace

SOURCE, TARGET = [5, 11, 46, 7, 4, 23, 8], [13, 9, 52]


def test_one_stack_over_both_texts_is_read_where_the_target_looks_at_the_source() -> None:
    weights = torch.rand(1, 3, 9, 9)
    both = Attention("decoder.0", "decoder self", 0, weights, rows="source and target", columns="source and target")
    other = Attention("encoder.0", "encoder self", 0, weights, rows="source", columns="source")
    assert looks_at_source(Trace([other, both])) == [both]
    (found,) = source_weights(Trace([other, both]), range(5), range(4))
    np.testing.assert_array_equal(found, weights[0, :, 5:, :5].numpy())


def test_attention_of_a_kind_of_its_own_is_taken_whole() -> None:
    looks = [Attention(f"decoder.{layer}", "cross", layer, torch.rand(1, 2, 4, 5)) for layer in range(3)]
    found = source_weights(Trace(looks), range(5), range(4))
    for each, look in zip(found, looks, strict=True):
        np.testing.assert_array_equal(each, look.weights[0].numpy())


@pytest.mark.parametrize(("name", "heads"), [("transformer", 3), ("prefix", 3), ("convs2s", 1)])
def test_a_model_is_recorded_without_dropout_and_keeps_its_mode(name: str, heads: int) -> None:
    run = make_run("translation", architectures.TRANSLATION[name])
    trace = trace_pair(run.model, SOURCE, TARGET, "weights")
    found = RecordedEngine(run.model.train()).source_attention(SOURCE, TARGET)
    assert run.model.training
    assert [each.shape for each in found] == [(heads, 4, 8)] * 2
    for each, look in zip(found, looks_at_source(trace), strict=True):
        np.testing.assert_allclose(each, look.weights[0, :, -4:, :8].detach().numpy(), rtol=1e-5)


def test_a_model_that_looks_at_no_source_has_no_layers() -> None:
    run = make_run("translation", architectures.TRANSLATION["rnn_gru"])
    assert RecordedEngine(run.model).source_attention(SOURCE, TARGET) == []
