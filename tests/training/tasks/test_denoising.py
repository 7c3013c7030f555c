"""Denoising: what is minimized and judged, as one would by hand."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from attento.data.denoising.batching import evaluation_pairs
from attento.data.denoising.config import DenoisingDataConfig
from attento.data.denoising.spans import Noise
from attento.data.stream.prepared import PreparedStream
from attento.engines.denoising import DenoisingEngine
from attento.errors import ConfigError, DataError, InputError
from attento.text.learning import train_tokenizer
from attento.text.special import BOS_ID, EOS_ID
from attento.training.run import load_recipe
from attento.training.tasks.denoising import DenoisingTask

CONTEXT = 23
NOISE = Noise(0.3, 2.0)  # 7 tokens in 4 spans (3.5 rounds to an even number)
SETTINGS: dict[str, Any] = {
    "data": {
        "task": "denoising",
        "language": "en",
        "train": [{"text": "text", "stop": 0.7}],
        "validation": {"text": "text", "start": 0.7},
        "context": CONTEXT,
        "noise_share": NOISE.share,
        "mean_span": NOISE.mean_span,
    },
    "model": {"encoder_layers": 1, "decoder_layers": 1, "d_model": 12, "d_ff": 17, "num_heads": 2, "dropout": 0.3},
    "training": {"device": "cpu", "tokens_per_step": 97},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("denoising")
    (folder / "text").write_text("a bad cab faced a bead in a cafe\nbig dice\n" * 11)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(SETTINGS))
    config = load_recipe(folder / "recipe.yaml", folder).config
    DenoisingTask.prepare(config, folder, folder / "prepared", workers=1, tell=lambda stage, done, total: None)
    return folder


def make(folder: Path, *overrides: str) -> DenoisingTask:
    config = load_recipe(folder / "recipe.yaml", folder, overrides).config
    return DenoisingTask(config, PreparedStream.open(folder / "prepared", DenoisingDataConfig))


@pytest.fixture
def task(folder: Path) -> DenoisingTask:
    return make(folder)


def test_the_validator_counts_by_hand(task: DenoisingTask) -> None:
    model, corpus = task.build_model().eval(), task.corpus
    sentinels = [corpus.tokenizer.piece_id(f"<extra_id_{number}>") for number in range(5)]
    assert sentinels == [4, 5, 6, 7, 8]
    assert corpus.tokenizer.piece_id("<extra_id_5>") is None
    losses, right = [], 0
    for source, target in evaluation_pairs(corpus.validation, CONTEXT, NOISE, [4, 5, 6, 7, 8]):
        ids = torch.tensor([[*source.tolist(), EOS_ID]])
        wanted = torch.tensor([*target.tolist(), EOS_ID])
        with torch.no_grad():
            state = model.start(model.encode(ids, torch.ones_like(ids, dtype=torch.bool)))
            logits, _ = model.decode(torch.tensor([[BOS_ID, *target.tolist()]]), state)
        losses += nn.functional.cross_entropy(logits[0].double(), wanted, reduction="none").tolist()
        right += int((logits[0].argmax(dim=-1) == wanted).sum())
    found = task.validator().judge(model, torch.device("cpu"), 97)
    assert found.loss == pytest.approx(sum(losses) / len(losses), rel=1e-6)
    assert found.metrics == {
        "perplexity": pytest.approx(math.exp(sum(losses) / len(losses)), rel=1e-5),
        "accuracy": right / len(losses),
    }


def test_batches_are_those_of_a_translation_and_of_one_vocabulary(task: DenoisingTask) -> None:
    _, batch = next(task.batches().from_position())
    assert batch.num_source_tokens + batch.num_target_tokens <= 97
    size = task.corpus.tokenizer.vocab_size
    model = task.build_model()
    assert (model.source_vocab_size, model.target_vocab_size) == (size, size)
    loss = task.objective(model.eval())(batch)
    logits, _ = model.decode(batch.target_input, model.start(model.encode(batch.source, batch.source_mask)))
    wanted = nn.functional.cross_entropy(
        logits[batch.target_mask], batch.target_output[batch.target_mask], reduction="sum"
    )
    torch.testing.assert_close(loss, wanted)


def test_the_longest_batch_is_as_long_as_a_full_window_makes_it(task: DenoisingTask) -> None:
    batch = task.longest_batch(3)
    # 23 tokens, 7 of them cut out in 4 spans.
    assert batch.source.shape == (3, 23 - 7 + 4 + 1)
    assert batch.target_output.shape == (3, 7 + 4 + 1 + 1)
    found = [batch for _, batch in zip(range(20), (each for _, each in task.batches().from_position()), strict=False)]
    assert max(each.source.size(1) for each in found) == batch.source.size(1)
    assert max(each.target_output.size(1) for each in found) == batch.target_output.size(1)


def test_a_window_longer_than_the_model_reads_is_refused(folder: Path) -> None:
    settings = ("model.positions=learned", "model.max_positions=20")
    with pytest.raises(
        ConfigError, match=r"^the source of a window has 21 tokens.* at most 20; .*lower `data\.context`"
    ):
        make(folder, *settings).build_model()
    assert make(folder, settings[0], "model.max_positions=21").build_model().max_source_length == 21


def test_a_tokenizer_without_a_sentinel_is_told(task: DenoisingTask) -> None:
    other = train_tokenizer(
        ["abc"],
        model="char",
        vocab_size=None,
        byte_fallback=False,
        character_coverage=1.0,
        normalization="identity",
        keep_whitespace=True,
        special_pieces=["<extra_id_0>", "<extra_id_1>"],
    )
    broken = DenoisingTask(task.config, replace(task.corpus, tokenizer=other))
    with pytest.raises(DataError, match="prepared: its tokenizer lacks `<extra_id_2>`"):
        broken.batches()


def test_an_empty_text_is_not_scored(task: DenoisingTask) -> None:
    arguments: dict[str, Any] = {"noise": NOISE, "sentinels": [4, 5, 6, 7, 8], "context": CONTEXT, "device": "cpu"}
    engine = DenoisingEngine(task.build_model(), task.corpus.tokenizer, **arguments)
    with pytest.raises(InputError, match="no text to score"):
        engine.score("")
    # A sentinel, the token, a sentinel, the end.
    assert engine.score("a").tokens == 4
    with pytest.raises(ConfigError, match="`max_batch_tokens` must be at least 1"):
        DenoisingEngine(engine.model, task.corpus.tokenizer, **arguments, max_batch_tokens=0)
