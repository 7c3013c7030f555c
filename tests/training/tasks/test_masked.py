"""Masked language modelling: what is minimized and judged, as one would by hand."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from attento.data.masked.batching import masked_evaluation_windows
from attento.data.masked.config import MaskedDataConfig
from attento.data.masked.hiding import Hiding
from attento.data.stream.prepared import PreparedStream
from attento.engines.masked import MaskedEngine
from attento.errors import ConfigError, DataError, InputError
from attento.models.base import Sentences
from attento.text.learning import train_tokenizer
from attento.training.run import load_recipe
from attento.training.tasks.masked import MaskedObjective, MaskedTask

CONTEXT = 13
SETTINGS: dict[str, Any] = {
    "data": {
        "task": "masked_language_modeling",
        "language": "en",
        "train": [{"text": "text", "stop": 0.7}],
        "validation": {"text": "text", "start": 0.7},
        "context": CONTEXT,
        "mask_share": 0.3,
    },
    "model": {"architecture": "encoder_only", "layers": 1, "d_model": 12, "d_ff": 17, "num_heads": 2, "dropout": 0.3},
    "training": {"device": "cpu", "tokens_per_step": 61},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masked")
    (folder / "text").write_text("a bad cab faced a bead in a cafe\nbig dice\n" * 11)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(SETTINGS))
    config = load_recipe(folder / "recipe.yaml", folder).config
    MaskedTask.prepare(config, folder, folder / "prepared", workers=1, tell=lambda stage, done, total: None)
    return folder


def make(folder: Path, *overrides: str) -> MaskedTask:
    config = load_recipe(folder / "recipe.yaml", folder, overrides).config
    return MaskedTask(config, PreparedStream.open(folder / "prepared", MaskedDataConfig))


@pytest.fixture
def task(folder: Path) -> MaskedTask:
    return make(folder)


def test_the_objective_is_the_sum_over_hidden_places(task: MaskedTask) -> None:
    model = task.build_model().eval()
    _, batch = next(task.batches().from_position())
    logits = model(Sentences(batch.ids, batch.mask)).double()
    by_hand = torch.zeros((), dtype=torch.float64)
    for row, place in batch.hidden.nonzero().tolist():
        log_probs = logits[row, place].log_softmax(dim=-1)
        by_hand -= 0.8 * log_probs[batch.whole[row, place]] + 0.2 * log_probs.mean()
    assert batch.num_target_tokens == int(batch.hidden.sum()) < batch.num_places / 2
    torch.testing.assert_close(MaskedObjective(model, 0.2, 7)(batch).double(), by_hand, rtol=1e-5, atol=0)


def test_the_validator_counts_by_hand(task: MaskedTask) -> None:
    model = task.build_model().eval()
    mask_id = task.corpus.tokenizer.piece_id("<mask>")
    assert mask_id == 4
    hiding = Hiding(0.3, mask_id, task.corpus.tokenizer.vocab_size)
    losses, right = [], 0
    for batch in masked_evaluation_windows(task.corpus.validation, CONTEXT, 1, hiding):
        with torch.no_grad():
            logits = model(Sentences(batch.ids, batch.mask))[0].double()
        for place in batch.hidden[0].nonzero().flatten().tolist():
            losses.append(nn.functional.cross_entropy(logits[place], batch.whole[0, place]).item())
            right += int(logits[place].argmax() == batch.whole[0, place])
    found = task.validator().judge(model, torch.device("cpu"), 97)
    assert found.loss == pytest.approx(sum(losses) / len(losses), rel=1e-6)
    assert found.metrics == {
        "perplexity": pytest.approx(math.exp(sum(losses) / len(losses)), rel=1e-5),
        "accuracy": right / len(losses),
    }


def test_the_longest_batch_is_full_windows_between_their_ends(task: MaskedTask) -> None:
    batch = task.longest_batch(3)
    assert (batch.num_rows, batch.num_places, batch.num_target_tokens) == (3, 3 * (CONTEXT + 2), 3 * 4)
    assert batch.mask.all()


def test_a_window_longer_than_the_model_reads_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        make(folder, f"model.max_positions={CONTEXT + 1}").build_model()
    assert str(caught.value) == (
        f"a training window has {CONTEXT + 2} tokens, but the model reads at most {CONTEXT + 1}; raise "
        "`model.max_positions` or lower `data.context`"
    )
    assert make(folder, f"model.max_positions={CONTEXT + 2}").build_model().max_length == CONTEXT + 2


@pytest.mark.parametrize("setting", ["head=false", "segments=2", "pooling=tanh"])
def test_what_would_not_be_trained_is_refused(folder: Path, setting: str) -> None:
    name, _, value = setting.partition("=")
    with pytest.raises(ConfigError, match=f"`model.{name}: {value}` .*; set it to "):
        make(folder, f"model.{setting}").build_model()


def test_a_tokenizer_without_the_mask_is_told(task: MaskedTask) -> None:
    other = train_tokenizer(
        ["abc"],
        model="char",
        vocab_size=None,
        byte_fallback=False,
        character_coverage=1.0,
        normalization="identity",
        keep_whitespace=True,
    )
    broken = MaskedTask(task.config, replace(task.corpus, tokenizer=other))
    with pytest.raises(DataError, match="prepared: its tokenizer lacks `<mask>`"):
        broken.batches()


def test_an_empty_text_is_not_scored(task: MaskedTask) -> None:
    tokenizer = task.corpus.tokenizer
    engine = MaskedEngine(
        task.build_model(), tokenizer, hiding=Hiding(0.3, 4, tokenizer.vocab_size), context=CONTEXT, device="cpu"
    )
    with pytest.raises(InputError, match="no text to score"):
        engine.score("")
    # One token alone is hidden, and told by nothing but its ends.
    assert engine.score("a").tokens == 1
    with pytest.raises(ConfigError, match="`max_batch_tokens` must be at least 1"):
        MaskedEngine(engine.model, tokenizer, hiding=engine.hiding, context=CONTEXT, max_batch_tokens=0)
