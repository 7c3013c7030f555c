"""The recall task: its examples, and models made by hand that remember a known stretch."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attento.comparison.config import RecallConfig
from attento.comparison.recall import RecallTask, count_right, key_logits, measure_recall, small, train_recall
from attento.models.base import Classifier, NeuralLanguageModel
from attento.models.classification.config import DecomposableAttentionConfig, EncoderOnlyConfig
from attento.models.language.config import DecoderOnlyConfig
from attento.models.translation.config import TokenMixerConfig, TransformerConfig
from attento.nn.embedding import TokenEmbedding

CONFIG = RecallConfig(distances=(1, 3, 7), keys=5, fillers=11, updates=2, batch_size=3, test_examples=53)
TASK = RecallTask(CONFIG)


class Remembers(NeuralLanguageModel):
    """Names the key that stands among the last so many symbols; knows nothing else."""

    def __init__(self, stretch: int) -> None:
        super().__init__()
        self.vocab_size, self.max_length, self.d_model = TASK.vocab_size, None, TASK.vocab_size
        self.stretch, self.unused = stretch, nn.Parameter(torch.zeros(1))

    def start(self, rows: int) -> None:
        return None

    def features(self, target: Tensor, state: None) -> tuple[Tensor, None]:
        seen = nn.functional.one_hot(target[:, -self.stretch - 1 :], self.vocab_size).amax(dim=1, keepdim=True)
        return seen.float().expand(-1, target.size(1), -1), None

    def output_layer(self) -> tuple[Tensor, None]:
        return torch.eye(self.vocab_size), None


class Bag(Classifier):
    """Labels by the sum of the tokens, of one sentence or of two: order is nothing to it."""

    def __init__(self, sentences: int) -> None:
        super().__init__()
        self.d_model, self.vocab_size, self.num_classes, self.max_length = 16, TASK.vocab_size, CONFIG.keys, None
        self.num_sentences = sentences
        self.embedding, self.output = TokenEmbedding(TASK.vocab_size, 16), nn.Linear(16, CONFIG.keys)
        self.lengths: list[list[int]] = []

    def score(self, sentences: Any) -> tuple[Tensor, Tensor]:
        self.lengths.append([each.ids.size(1) for each in sentences])
        logits = self.output(sum(self.embedding(each.ids).sum(dim=1) for each in sentences))
        return logits, logits.new_zeros(len(logits))


def test_an_example_shows_one_key_at_its_distance_and_asks_at_the_end() -> None:
    distances = torch.tensor([1, 7, 3, 3])
    symbols, keys = TASK.draw(distances, torch.Generator().manual_seed(3))
    assert symbols.shape == (4, 8)
    for row, distance, key in zip(symbols.tolist(), distances.tolist(), keys.tolist(), strict=True):
        assert row[-1] == TASK.question == TASK.vocab_size - 1
        assert row[7 - distance] == TASK.first_key + key
        fillers = [symbol for place, symbol in enumerate(row) if place not in (7, 7 - distance)]
        assert all(4 <= symbol < TASK.first_key for symbol in fillers)


def test_all_keys_and_fillers_come_up() -> None:
    symbols, keys = TASK.draw(torch.full((400,), 3), torch.Generator().manual_seed(3))
    assert set(keys.tolist()) == set(range(5))
    assert set(symbols[:, 0].tolist()) == set(range(4, 15))


@pytest.mark.parametrize("stretch", [1, 3, 7])
def test_a_model_that_remembers_a_stretch_is_right_within_it_and_guesses_beyond(stretch: int) -> None:
    right = count_right(Remembers(stretch), TASK, seed=3)
    for distance, count in zip(CONFIG.distances, right, strict=True):
        # One that sees no key names the first one always: right in a fifth of the cases.
        assert count == 53 if distance <= stretch else 0 < count < 27


def test_what_a_translation_model_is_asked_for_is_its_first_word() -> None:
    from attento.models.translation.transformer import Transformer

    config = TransformerConfig(encoder_layers=1, decoder_layers=1, d_model=12, d_ff=17, num_heads=3, dropout=0.0)
    model = Transformer(config, TASK.vocab_size, TASK.vocab_size).eval()
    symbols, _ = TASK.draw(torch.tensor([1, 3]), torch.Generator().manual_seed(3))
    mask = torch.ones_like(symbols, dtype=torch.bool)
    logits, _ = model.decode(torch.full((2, 1), 2), model.start(model.encode(symbols, mask)))
    torch.testing.assert_close(key_logits(model, TASK, symbols), logits[:, 0, 15:20])


def test_a_classifier_learns_and_one_of_pairs_gets_the_question_as_second_sentence() -> None:
    config = CONFIG.model_copy(update={"updates": 200, "batch_size": 32, "learning_rate": 0.02})
    for sentences, lengths in ((1, [8]), (2, [8, 1])):
        torch.manual_seed(0)
        model = Bag(sentences)
        train_recall(model, RecallTask(config), seed=3)
        assert model.lengths[0] == lengths
        assert min(count_right(model, RecallTask(config), seed=5)) > 45


def test_sizes_are_set_where_a_system_has_them() -> None:
    recall = RecallConfig(distances=(50,), size={"d_model": 24, "num_heads": 3, "layers": 1, "encoder_layers": 2})
    transformer = small(TransformerConfig(d_ff=77), recall)
    assert (transformer.d_model, transformer.num_heads, transformer.encoder_layers) == (24, 3, 2)
    assert (transformer.d_ff, transformer.decoder_layers) == (77, 6)
    assert small(TokenMixerConfig(architecture="token_mixer", max_positions=17), recall).max_positions == 55
    assert small(EncoderOnlyConfig(architecture="encoder_only", max_positions=99), recall).max_positions == 99
    assert small(DecomposableAttentionConfig(architecture="decomposable_attention"), recall).d_model == 24
    assert small(DecoderOnlyConfig(architecture="decoder_only"), recall).layers == 1


def test_one_training_has_the_interval_of_its_examples_and_several_have_their_range() -> None:
    model = TransformerConfig()
    once = measure_recall(CONFIG, model, seed=1, device=torch.device("cpu"))
    assert [point.distance for point in once] == [1, 3, 7]
    for point in once:
        assert point.accuracy.runs == 1 and "95% interval" in point.accuracy.spread
        assert point.accuracy.low <= point.accuracy.value <= point.accuracy.high
    twice = measure_recall(CONFIG.model_copy(update={"repeats": 2}), model, seed=1, device=torch.device("cpu"))
    for first, both in zip(once, twice, strict=True):
        assert both.accuracy.runs == 2
        assert both.accuracy.low <= first.accuracy.value <= both.accuracy.high
        assert both.accuracy.value == pytest.approx((both.accuracy.low + both.accuracy.high) / 2)
