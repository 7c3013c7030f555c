"""Comparisons of language models and of classifiers: measured to the end, by the task's own measures."""

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from attento.comparison.compare import compare
from attento.comparison.recipe import load_comparison
from attento.comparison.results import Quantity, Report

TRAINING = {
    "device": "cpu",
    "precision": "fp32",
    "tokens_per_step": 300,
    "schedule": {"name": "inverse_sqrt", "peak": 0.01, "warmup": 3},
    "validate_every": 3,
    "checkpoint_every": 3,
    "keep_last": 1,
    "report_every": 2,
}
MEASURE = {
    "cost": {"repeats": 1, "memory_steps": 1},
    "table": {"lengths": [4, 8], "path_lengths": [3, 6], "repeats": 1, "rows": 1},
    "recall": {
        "distances": [2],
        "updates": 2,
        "test_examples": 17,
        "size": {"d_model": 12, "num_heads": 2, "layers": 1},
    },
}


def report_on(folder: Path, data: dict[str, Any], systems: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Report:
    # It takes a process that begins from nothing.
    monkeypatch.setattr("attento.comparison.measure.peak_memory", lambda *arguments: Quantity(value=1.0))
    path = folder / "recipe.yaml"
    tree = {"data": data, "training": TRAINING, "budget": {"updates": 3}, "measure": MEASURE}
    tree["systems"] = {name: {"model": model} for name, model in systems.items()}
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    outcome = compare(load_comparison(path, folder), [], folder / "out", "attento compare ...", lambda message: None)
    assert outcome.failed == {} and outcome.report is not None
    return Report.model_validate_json(outcome.report.with_suffix(".json").read_bytes())


def test_language_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = random.Random(3)
    lines = [" ".join(generator.choices(("the", "cat", "sat", "on", "mats"), k=5)) for _ in range(150)]
    (tmp_path / "text").write_text("".join(f"{line}\n" for line in lines))
    data = {
        "task": "language_modeling",
        "language": "en",
        "train": [{"text": "text", "stop": 0.8}],
        "validation": {"text": "text", "start": 0.8, "stop": 0.9},
        "test": {"text": "text", "start": 0.9},
        "context": 16,
    }
    systems = {
        "trigrams": {"architecture": "ngram", "order": 3},
        "window": {"architecture": "window_mlp", "d_model": 12, "d_hidden": 13, "window": 4},
        "gru": {"architecture": "rnn", "cell": "gru", "d_model": 12, "layers": 1},
    }
    trigrams, window, gru = report_on(tmp_path, data, systems, monkeypatch).systems
    for system in (trigrams, window, gru):
        assert system.quality.keys() == {"nats", "perplexity", "bits_per_character"}
        assert system.cost["tokens_read_per_second"].value > 0
    # What counts has no parameters, no steps and no gradient, and says so.
    assert trigrams.parameters is None and trigrams.minutes is None
    assert trigrams.missing.keys() == {"table", "recall"}
    assert trigrams.quality["nats"].value < gru.quality["nats"].value
    assert window.table is not None and window.table.paths["text to text"].values[1] is None
    assert gru.table is not None and None not in gru.table.paths["text to text"].values
    sequential = gru.table.sequential.values
    assert sequential[1] == 2 * sequential[0]


def test_classifiers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = random.Random(3)
    for name, count in (("train", 101), ("test", 23)):
        words = [generator.choice(("fine", "awful")) for _ in range(count)]
        fillers = [" ".join(generator.choices(("it", "was", "so"), k=4)) for _ in range(count)]
        lines = [
            f"{'good' if word == 'fine' else 'bad'} {rest} {word}\n" for word, rest in zip(words, fillers, strict=True)
        ]
        (tmp_path / name).write_text("".join(lines))
    data = {"task": "classification", "language": "en", "train": [{"file": "train"}], "test": {"file": "test"}}
    systems = {
        "attentive": {"architecture": "self_attentive", "d_model": 12, "d_hidden": 7, "d_output": 5, "rows": 2},
        "encoder": {"architecture": "encoder_only", "d_model": 12, "layers": 1, "num_heads": 2, "d_ff": 13},
    }
    attentive, encoder = report_on(tmp_path, data, systems, monkeypatch).systems
    for system in (attentive, encoder):
        assert system.missing == {}
        accuracy = system.quality["accuracy"]
        assert accuracy.low <= accuracy.value <= accuracy.high and accuracy.note == "23 examples"
        assert system.cost["examples_labelled_per_second"].value > 0
        assert [point.distance for point in system.recall] == [2]
    # An LSTM reads one token after the other, an encoder all at once; either finds a short way to every token.
    assert attentive.table.sequential.values[0] < attentive.table.sequential.values[1]
    assert len(set(encoder.table.sequential.values)) == 1
    for system in (attentive, encoder):
        assert len(set(system.table.paths["sentence to label"].values)) == 1
