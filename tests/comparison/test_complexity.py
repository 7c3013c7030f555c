"""Table 1's measurements on a Transformer and on models that are made by hand for their known answers."""

import math

import pytest
import torch
from torch import Tensor, nn

from attento.comparison.complexity import count_operations, measure_table
from attento.comparison.config import TableConfig
from attento.comparison.probe import is_measurable, longest_input, run, trace
from attento.evaluation.growth import exponent
from attento.models.base import Classifier, NeuralLanguageModel
from attento.models.language.config import NGramConfig
from attento.models.language.ngram import NGramModel
from attento.models.translation.config import TransformerConfig
from attento.models.translation.transformer import Transformer
from attento.nn.embedding import TokenEmbedding


class Window(NeuralLanguageModel):
    """Mixes each token with some before it, layer by layer: a mean is free, the tanh costs one operation a layer."""

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.vocab_size, self.max_length, self.d_model = 17, None, 5
        self.embedding, self.layers, self.width = TokenEmbedding(17, 5), layers, width

    def start(self, rows: int) -> None:
        return None

    def features(self, target: Tensor, state: None) -> tuple[Tensor, None]:
        hidden = self.embedding(target)
        for _ in range(self.layers):
            padded = nn.functional.pad(hidden, (0, 0, self.width - 1, 0))
            hidden = padded.unfold(1, self.width, 1).sum(dim=-1).tanh()
        return hidden, None

    def output_layer(self) -> tuple[Tensor, None]:
        return self.embedding.weight, None


class Bag(Classifier):
    """Labels a sentence by the sum of its tokens."""

    def __init__(self, sentences: int = 1, max_length: int | None = None) -> None:
        super().__init__()
        self.d_model, self.vocab_size, self.num_classes, self.max_length, self.num_sentences = (
            5,
            17,
            3,
            max_length,
            sentences,
        )
        self.embedding, self.output = TokenEmbedding(17, 5), nn.Linear(5, 3)

    def score(self, sentences: list) -> tuple[Tensor, Tensor]:  # type: ignore[type-arg]
        bags = [(self.embedding(each.ids) * each.mask[..., None]).sum(dim=1) for each in sentences]
        logits = self.output(sum(bags))
        return logits, logits.new_zeros(len(logits))


def transformer(**changes: object) -> Transformer:
    shape = {"encoder_layers": 2, "decoder_layers": 1, "d_model": 12, "d_ff": 17, "num_heads": 3, "dropout": 0.0}
    return Transformer(TransformerConfig.model_validate(shape | changes), 23, 23)


def test_a_transformer_takes_the_same_steps_and_paths_at_any_length() -> None:
    sequential, paths = count_operations(transformer(), (2, 5, 11))
    assert len(set(sequential.values)) == 1
    assert paths.keys() == {"source to target", "target to target"}
    for counts in paths.values():
        assert len(set(counts.values)) == 1
    assert 0 < paths["target to target"].values[0] < paths["source to target"].values[0] < sequential.values[0]


def test_more_layers_make_longer_chains_and_no_longer_paths() -> None:
    (shallow, short), (deep, far) = (count_operations(transformer(encoder_layers=n), (3, 5)) for n in (1, 4))
    assert shallow.values[0] < deep.values[0]
    assert short["target to target"] == far["target to target"]


def test_the_counted_model_is_left_as_it_was() -> None:
    model = transformer()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    count_operations(model, (3, 5))
    assert model.training and all(each.requires_grad and each.dtype == torch.float32 for each in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(each._forward_hooks for each in model.modules())


def test_a_window_joins_far_tokens_by_its_layers_and_farther_ones_never() -> None:
    # Three layers of width 3 reach six tokens back.
    sequential, paths = count_operations(Window(layers=3, width=3), (3, 7, 8))
    assert sequential.values == (3, 3, 3)
    assert paths["text to text"].values == (3, 3, None)


def test_a_classifier_is_joined_to_all_tokens() -> None:
    # The mask's product and the output's, for one sentence and for two.
    for sentences in (1, 2):
        sequential, paths = count_operations(Bag(sentences), (2, 5))
        assert sequential.values == (2, 2)
        assert paths["sentence to label"].values == (2, 2)


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        (Window(1, 2), None),
        (Bag(), None),
        (Bag(max_length=13), 11),
        (Bag(2, max_length=13), 4),
        (transformer(), None),
        (transformer(positions="learned", max_positions=19), 19),
    ],
)
def test_the_longest_input(model: nn.Module, limit: int | None) -> None:
    assert longest_input(model) == limit
    assert run(model, limit or 7, rows=2).size(0) == 2


def test_n_grams_have_no_gradient() -> None:
    model = NGramModel(NGramConfig(architecture="ngram", order=2), 17)
    assert not is_measurable(model)
    assert is_measurable(transformer()) and is_measurable(Bag()) and is_measurable(Window(1, 2))


def test_a_trace_cuts_off_the_embeddings() -> None:
    model = transformer()
    traced = trace(model, length=5, rows=3)
    assert [(flow.name, flow.causal) for flow in traced.flows] == [
        ("source to target", False),
        ("target to target", True),
    ]
    traced.outputs.sum().backward()
    for flow in traced.flows:
        (embedded,) = flow.inputs
        assert embedded.shape == (3, 5, 12) and embedded.grad is not None
    assert model.target_embedding.weight.grad is None


def test_a_table_holds_all_lengths_that_the_model_takes() -> None:
    settings = TableConfig(lengths=(3, 5, 11, 23), rows=2, repeats=2, path_lengths=(2, 7, 13))
    model = transformer(positions="learned", max_positions=11)
    table = measure_table(model, settings, torch.device("cpu"))
    assert table is not None
    assert table.seconds.lengths == table.memory.lengths == (3, 5, 11)
    assert table.sequential.lengths == (2, 7)
    for quantity in table.seconds.values:
        assert quantity.low is not None and quantity.high is not None and quantity.runs == 2
        assert 0 < quantity.low <= quantity.value <= quantity.high
    kept = [quantity.value for quantity in table.memory.values]
    assert kept == sorted(set(kept))
    assert math.isclose(table.memory.exponent, exponent((3, 5, 11), kept))
    assert all(each.grad is None for each in model.parameters())


def test_a_model_that_takes_too_few_lengths_has_no_table() -> None:
    settings = TableConfig(lengths=(3, 5), path_lengths=(2, 3))
    model = transformer(positions="learned", max_positions=4)
    assert measure_table(model, settings, torch.device("cpu")) is None
