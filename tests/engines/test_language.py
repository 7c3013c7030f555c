"""The language engine against loops in plain Python, with a stand-in model; loading with real ones."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from attento.decoding.config import SamplingConfig
from attento.engines import language
from attento.engines.language import LanguageEngine, TextScore
from attento.errors import ConfigError, InputError, RunFolderError
from attento.models.base import LanguageModel
from attento.models.build import build_language_model
from attento.models.language.config import DecoderOnlyConfig, NGramConfig
from attento.nn.state import select_rows
from attento.run_folder import RunFolder
from attento.text.learning import train_tokenizer
from attento.text.special import BOS_ID, EOS_ID

TEXT = "a cab in a bad cafe\n  fed bad ice\n\nand a bee\n"
PROMPTS = ["a cab", "", "bad\n", "dec", "a", "  ice and\nice", "", "fed b"]
DRAWN = SamplingConfig(temperature=1.2, top_k=11, top_p=0.95, seed=5)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(
        TEXT.split("\n"),
        model="char",
        vocab_size=None,
        byte_fallback=False,
        character_coverage=1.0,
        normalization="identity",
        keep_whitespace=True,
    )


@dataclass(frozen=True)
class FadingState:
    total: torch.Tensor

    def select(self, indices):
        return select_rows(self, indices)


class FadingModel(LanguageModel):
    """Halves what it remembers at every token; notes how much it was given at once, and its mode."""

    def __init__(self, vocab_size, max_length=None):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.vocab_size, self.max_length = vocab_size, max_length
        self.read = nn.Parameter(torch.randn(vocab_size, 13, generator=generator))
        self.write = nn.Parameter(torch.randn(13, vocab_size, generator=generator))
        self.shapes, self.modes = [], []

    def start(self, rows):
        return FadingState(torch.zeros(rows, 13))

    def decode(self, target, state):
        self.shapes.append(tuple(target.shape))
        self.modes.append(self.training)
        total, totals = state.total, []
        for column in target.unbind(1):
            total = total / 2 + self.read[column]
            totals.append(total)
        return torch.stack(totals, 1) @ self.write, FadingState(total)

    def log_probs(self, ids):
        """After all of these, in float64, written out."""
        total = sum(0.5**age * self.read[i].double() for age, i in enumerate(reversed(ids)))
        logits = (total @ self.write.double()).tolist()
        return [logit - math.log(sum(map(math.exp, logits))) for logit in logits]


@pytest.fixture
def model(tokenizer):
    return FadingModel(tokenizer.vocab_size)


def make_engine(model, tokenizer, context=5, max_batch_tokens=4096):
    return LanguageEngine(model, tokenizer, context=context, device="cpu", max_batch_tokens=max_batch_tokens)


@pytest.mark.parametrize("max_batch_tokens", [1, 17, 4096])
@pytest.mark.parametrize("context", [1, 5, 1009])
def test_score_is_the_sum_over_windows_that_begin_afresh(tokenizer, model, context, max_batch_tokens):
    ids = [BOS_ID, *tokenizer.encode(TEXT)]
    expected = 0.0
    with torch.no_grad():
        for place in range(1, len(ids)):
            first = (place - 1) // context * context
            expected -= model.log_probs(ids[first:place])[ids[place]]
    found = make_engine(model, tokenizer, context, max_batch_tokens).score(TEXT)
    assert found == TextScore(found.total_nats, len(TEXT), 0)
    assert found.total_nats == pytest.approx(expected, rel=1e-5)
    assert all(rows * length <= max(max_batch_tokens, context) for rows, length in model.shapes)


def test_what_the_vocabulary_lacks_is_counted(tokenizer, model):
    assert make_engine(model, tokenizer).score("a? cab!\n").unknown == 2


def test_nothing_to_score_is_told(tokenizer, model):
    with pytest.raises(InputError, match="no text to score"):
        make_engine(model, tokenizer).score("")


def continue_greedily(model, tokenizer, prompt, max_tokens):
    ids = [BOS_ID, *tokenizer.encode(prompt)]
    written = []
    while len(written) < max_tokens:
        log_probs = model.log_probs(ids + written)
        # Marks, and what the vocabulary lacks, have the lowest ids; they stand in no text.
        written.append(max(range(EOS_ID + 1, len(log_probs)), key=lambda token: log_probs[token]))
    return tokenizer.decode(written)


@torch.no_grad()
def test_greedy_texts_are_those_of_a_plain_loop(tokenizer, model):
    found = make_engine(model, tokenizer).generate(PROMPTS, max_tokens=17)
    assert found == [[continue_greedily(model, tokenizer, prompt, 17)] for prompt in PROMPTS]
    assert len({text for [text] in found}) > 4


@pytest.mark.parametrize("sampling", [None, DRAWN])
def test_texts_are_the_same_alone_in_any_batch_and_in_any_order(tokenizer, model, sampling):
    def generate(prompts, max_batch_tokens=4096):
        engine = make_engine(model, tokenizer, max_batch_tokens=max_batch_tokens)
        return engine.generate(prompts, max_tokens=13, sampling=sampling, count=3)

    together = generate(PROMPTS)
    assert together == [generate([prompt])[0] for prompt in PROMPTS]
    assert together == generate(PROMPTS, 1) == generate(PROMPTS, 41)
    assert together[::-1] == generate(PROMPTS[::-1])


def test_draws_of_one_prompt_differ_and_the_seed_brings_them_back(tokenizer, model):
    engine = make_engine(model, tokenizer)
    [first] = engine.generate(["a b"], max_tokens=11, sampling=DRAWN, count=5)
    assert len(set(first)) == 5
    assert engine.generate(["a b"], max_tokens=11, sampling=DRAWN, count=3) == [first[:3]]
    other = replace(DRAWN, seed=6)
    assert engine.generate(["a b"], max_tokens=11, sampling=other, count=5) != [first]


def test_prompts_of_one_length_are_read_at_once_and_long_ones_in_parts(tokenizer, model, monkeypatch):
    engine = make_engine(model, tokenizer)
    whole = engine.generate(["fed", "bad", "a cab a"], max_tokens=3)
    assert {(2, 4), (1, 8)} <= set(model.shapes)
    monkeypatch.setattr(language, "PROMPT_TOKENS", 3)
    model.shapes.clear()
    assert engine.generate(["fed", "bad", "a cab a"], max_tokens=3) == whole
    assert {(2, 3), (2, 1), (1, 3), (1, 2)} <= set(model.shapes)
    assert max(length for _, length in model.shapes) == 3


def test_batches_stay_within_the_budget(tokenizer, model):
    make_engine(model, tokenizer, max_batch_tokens=37).generate(["fed"] * 5, max_tokens=7)
    assert max(rows for rows, _ in model.shapes) == 37 // (1 + 3 + 7)


@pytest.mark.parametrize("sampling", [None, DRAWN])
def test_more_than_the_model_can_read_is_refused(tokenizer, sampling):
    engine = make_engine(FadingModel(tokenizer.vocab_size, max_length=13), tokenizer)
    engine.generate(["a", "fed b"], max_tokens=7, sampling=sampling)
    with pytest.raises(InputError, match=r"prompt of 5 tokens and 8 more.* 13 tokens .*`model\.max_positions`"):
        engine.generate(["a", "fed b"], max_tokens=8, sampling=sampling)


def test_wrong_use_is_told(tokenizer, model):
    engine = make_engine(model, tokenizer)
    with pytest.raises(InputError, match=r"generate\(\[prompt\]\)"):
        engine.generate("a cab", max_tokens=3)
    with pytest.raises(InputError, match="`max_tokens` must be at least 1"):
        engine.generate(["a cab"], max_tokens=0)
    with pytest.raises(ConfigError, match="`max_batch_tokens` must be at least 1"):
        make_engine(model, tokenizer, max_batch_tokens=0)
    assert engine.generate([], max_tokens=3) == []


@pytest.mark.parametrize("sampling", [None, DRAWN])
def test_scores_that_are_no_numbers_are_told(tokenizer, model, sampling):
    with torch.no_grad():
        model.write[0, 0] = torch.nan
    with pytest.raises(RunFolderError, match="not numbers"):
        make_engine(model, tokenizer).generate(["a"], max_tokens=3, sampling=sampling)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_runs_without_dropout_and_gets_its_mode_back(tokenizer, model, training):
    model.train(training)
    engine = make_engine(model, tokenizer)
    engine.score(TEXT)
    engine.generate(["a"], max_tokens=3)
    assert set(model.modes) == {False}
    assert model.training is training


def save_run(folder, config, model, tokenizer):
    settings = {"data": {"task": "language_modeling", "context": 7}, "model": config.model_dump()}
    folder.config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    tokenizer.save(folder.path / "tokenizer.model")
    save_file(dict(model.state_dict()), folder.weights)


CONFIGS = [
    DecoderOnlyConfig(architecture="decoder_only", layers=1, d_model=12, num_heads=2, d_ff=17, max_positions=101),
    NGramConfig(architecture="ngram", order=3),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.architecture)
def test_the_same_model_comes_back(tmp_path, tokenizer, config):
    trained = build_language_model(config, tokenizer.vocab_size)
    if config.architecture == "ngram":
        ids = torch.tensor([BOS_ID, *tokenizer.encode(TEXT)], dtype=torch.int32)
        trained.fit(ids.numpy())
    save_run(RunFolder(tmp_path), config, trained, tokenizer)
    loaded, expected = LanguageEngine.load(tmp_path, "cpu"), make_engine(trained, tokenizer, context=7)
    assert loaded.score(TEXT) == expected.score(TEXT)
    for sampling in (None, DRAWN):
        texts = loaded.generate(PROMPTS, max_tokens=19, sampling=sampling)
        assert texts == expected.generate(PROMPTS, max_tokens=19, sampling=sampling)


def test_a_run_of_another_task_is_refused(tmp_path, tokenizer):
    save_run(RunFolder(tmp_path), CONFIGS[1], build_language_model(CONFIGS[1], tokenizer.vocab_size), tokenizer)
    settings = {"data": {"task": "translation"}, "model": {"architecture": "convs2s"}}
    RunFolder(tmp_path).config.write_text(yaml.safe_dump(settings))
    with pytest.raises(RunFolderError, match=r"`model\.architecture: convs2s`.*`attento translate`"):
        LanguageEngine.load(tmp_path)
