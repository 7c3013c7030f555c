"""The classification engine: order, batches and limits with a stand-in model, loading with a real one."""

import json

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from attento.engines.classification import ClassificationEngine, Label
from attento.errors import ConfigError, InputError, RunFolderError
from attento.models.base import Classifier
from attento.models.build import build_classifier
from attento.models.classification.config import SelfAttentiveConfig
from attento.run_folder import RunFolder
from attento.text.learning import train_tokenizer
from attento.text.special import EOS_ID

WORDS = ["who", "is", "here", "what", "was", "that", "how", "many", "are", "there"]
LABELS = ["human", "number", "thing"]
SENTENCES = ["who is here", "what", "how many are there was that what", "", "is", "how many", "that that that"]
PAIRS = [("who is", "is here there"), ("what", "what"), ("how many are there that was", "that"), ("is", "")]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(
        [" ".join(WORDS)],
        model="word",
        vocab_size=None,
        byte_fallback=False,
        character_coverage=1.0,
        normalization="nmt_nfkc_cf",
    )


class CountingModel(Classifier):
    """Adds up a vector for each word of each sentence; notes what it was given."""

    def __init__(self, vocab_size, num_sentences=1, max_length=None):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.d_model, self.vocab_size, self.num_classes = 3, vocab_size, len(LABELS)
        self.num_sentences, self.max_length = num_sentences, max_length
        self.weight = nn.Parameter(torch.randn(num_sentences, vocab_size, len(LABELS), generator=generator))
        self.given, self.modes = [], []

    def score(self, sentences):
        self.modes.append(self.training)
        self.given.append([[row[mask].tolist() for row, mask in zip(s.ids, s.mask, strict=True)] for s in sentences])
        parts = [(w[s.ids] * s.mask[..., None]).sum(1) for w, s in zip(self.weight, sentences, strict=True)]
        logits = sum(parts)
        return logits, torch.zeros(len(logits))


def expected_label(model, tokenizer, sentences):
    logits = torch.zeros(len(LABELS), dtype=torch.float64)
    for weight, sentence in zip(model.weight.detach(), sentences, strict=True):
        for i in [*tokenizer.encode(sentence), EOS_ID]:
            logits += weight[i]
    probabilities = (logits.exp() / logits.exp().sum()).tolist()
    best = max(range(len(LABELS)), key=probabilities.__getitem__)
    return Label(LABELS[best], probabilities[best])


@pytest.mark.parametrize("max_batch_tokens", [1, 11, 4096])
@pytest.mark.parametrize("examples", [[[s] for s in SENTENCES], PAIRS], ids=["sentences", "pairs"])
def test_labels_are_those_of_a_plain_sum_and_keep_the_order(tokenizer, examples, max_batch_tokens):
    model = CountingModel(tokenizer.vocab_size, num_sentences=len(examples[0]))
    engine = ClassificationEngine(model, tokenizer, LABELS, device="cpu", max_batch_tokens=max_batch_tokens)
    found = engine.classify(examples)
    wanted = [expected_label(model, tokenizer, example) for example in examples]
    assert [label.name for label in found] == [label.name for label in wanted]
    assert [label.probability for label in found] == pytest.approx([label.probability for label in wanted], rel=1e-5)
    assert len({label.name for label in found}) > 1
    given = [list(example) for batch in model.given for example in zip(*batch, strict=True)]
    assert sorted(given) == sorted([[*tokenizer.encode(s), EOS_ID] for s in example] for example in examples)
    assert len(model.given) == {1: len(examples), 4096: 1}.get(max_batch_tokens, len(model.given))


def test_nothing_in_nothing_out(tokenizer):
    model = CountingModel(tokenizer.vocab_size)
    assert ClassificationEngine(model, tokenizer, LABELS, device="cpu").classify([]) == []
    assert model.given == []


@pytest.mark.parametrize(
    ("wanted", "example", "told"),
    [
        (1, ("who", "what"), r"example 1 .* is 2 sentences, .* list of 1: one sentence, not a pair"),
        (2, ("who",), r"example 1 .* is 1 sentences, .* list of 2: a pair of sentences"),
        (2, "hi", "example 1 .* is a single string"),
    ],
)
def test_a_wrong_number_of_sentences_is_told(tokenizer, wanted, example, told):
    engine = ClassificationEngine(CountingModel(tokenizer.vocab_size, wanted), tokenizer, LABELS, device="cpu")
    with pytest.raises(InputError, match=told):
        engine.classify([("who",) * wanted, example])


def test_a_sentence_too_long_is_named_with_the_limit(tokenizer):
    model = CountingModel(tokenizer.vocab_size, max_length=4)
    engine = ClassificationEngine(model, tokenizer, LABELS, device="cpu")
    assert len(engine.classify([["who is here"]])) == 1
    with pytest.raises(InputError, match=r"example 1 .* sentence of 5 tokens, .* at most 4; .*`model\.max_positions`"):
        engine.classify([["who"], ["who is here there"]])


def test_scores_that_are_no_numbers_are_told(tokenizer):
    model = CountingModel(tokenizer.vocab_size)
    nn.init.constant_(model.weight, torch.nan)
    with pytest.raises(RunFolderError, match="not numbers"):
        ClassificationEngine(model, tokenizer, LABELS, device="cpu").classify([["who"]])


@pytest.mark.parametrize("training", [True, False])
def test_the_model_runs_without_dropout_and_gets_its_mode_back(tokenizer, training):
    model = CountingModel(tokenizer.vocab_size).train(training)
    ClassificationEngine(model, tokenizer, LABELS, device="cpu").classify([["who"]])
    assert model.modes == [False]
    assert model.training is training


def test_a_budget_that_holds_nothing_is_refused(tokenizer):
    with pytest.raises(ConfigError, match="max_batch_tokens"):
        ClassificationEngine(CountingModel(tokenizer.vocab_size), tokenizer, LABELS, max_batch_tokens=0)


CONFIG = SelfAttentiveConfig(architecture="self_attentive", d_model=11, d_hidden=7, d_attention=5, rows=2, d_output=13)


@pytest.fixture
def run(tmp_path, tokenizer):
    folder = RunFolder(tmp_path)
    settings = {"data": {"task": "classification"}, "model": CONFIG.model_dump()}
    folder.config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    tokenizer.save(folder.path / "tokenizer.model")
    folder.labels.write_text(json.dumps(LABELS), encoding="utf-8")
    save_file(build_classifier(CONFIG, tokenizer.vocab_size, len(LABELS)).state_dict(), folder.weights)
    return folder


def test_the_same_model_comes_back(run, tokenizer):
    torch.manual_seed(7)
    trained = build_classifier(CONFIG, tokenizer.vocab_size, len(LABELS))
    save_file(trained.state_dict(), run.weights)
    examples = [[sentence] for sentence in SENTENCES]
    expected = ClassificationEngine(trained, tokenizer, LABELS, device="cpu").classify(examples)
    assert ClassificationEngine.load(run.path, "cpu").classify(examples) == expected


@pytest.mark.parametrize("content", ["", "{}", "[1, 2]", "[]", '"human"'])
def test_damaged_labels_are_told(run, content):
    run.labels.write_text(content)
    with pytest.raises(RunFolderError, match=r"labels\.json: "):
        ClassificationEngine.load(run.path, "cpu")


def test_missing_labels_are_told(run):
    run.labels.unlink()
    with pytest.raises(RunFolderError, match=r"labels\.json: cannot be read"):
        ClassificationEngine.load(run.path, "cpu")


def test_labels_that_do_not_fit_the_weights_are_told(run):
    run.labels.write_text(json.dumps(LABELS[:2]))
    with pytest.raises(RunFolderError, match=r"model\.safetensors: does not hold the model"):
        ClassificationEngine.load(run.path, "cpu")
