"""Measure training tokens/s and translating sentences/s of this very checkout, and write them to `results/`.

    python benchmarks/speed.py --data DATA --run runs/multi30k-de-en

Training: Multi30k English-German, joint vocabulary of 8,000, 7,034-token steps (source + target, no padding), dropout
on, every shape and precision in turn, round after round; median, least and most of all timed steps.
Translating: the test set of the run's recipe, in one call, as `attento evaluate` does it.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from facts import provenance, write_result
from translation_quality import read_lines

from attento.config import load_settings
from attento.data.batching import TokenBatches
from attento.data.config import CorpusConfig, DataConfig, TokenizerConfig
from attento.data.prepare import prepare
from attento.data.prepared import PreparedCorpus
from attento.models.build import build_model
from attento.models.config import TransformerConfig
from attento.run_folder import RunFolder
from attento.training.config import RecipeConfig, TrainingConfig
from attento.training.loop import Trainer
from attento.training.process import keep_freed_memory
from attento.training.validation import ValidationText, Validator
from attento.translator import Translator

SHAPES = {
    "tiny (3+3, d 256, FFN 1024)": {"encoder_layers": 3, "decoder_layers": 3, "d_model": 256, "d_ff": 1024},
    "base (6+6, d 512, FFN 2048)": {},
}
PRECISIONS = ("fp32", "bf16")
TOKENS_PER_STEP = 7034


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--run", type=Path, required=True, help="a finished run to translate with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5, help="timed steps a round")
    options = parser.parse_args()
    keep_freed_memory()
    result: dict[str, Any] = {"provenance": provenance(), "threads": torch.get_num_threads()}
    with tempfile.TemporaryDirectory() as folder:
        corpus = prepare(data_config(), options.data, Path(folder) / "prepared")
        result["training"] = measure_training(corpus, Path(folder), options.rounds, options.steps)
    result["translating"] = measure_translating(options.run, options.data, options.rounds)
    write_result("speed", result, table(result))


def data_config() -> DataConfig:
    """Return the text that the training figures are measured on."""
    return DataConfig(
        source_language="en",
        target_language="de",
        train=(CorpusConfig(source="multi30k/train.en", target="multi30k/train.de"),),
        validation=CorpusConfig(source="multi30k/val.en", target="multi30k/val.de"),
        tokenizer=TokenizerConfig(vocab_size=8000),
    )


def measure_training(corpus: PreparedCorpus, folder: Path, rounds: int, steps: int) -> list[dict[str, Any]]:
    """Time training steps of every shape and precision, in turn, so that a slow spell of the machine hits all."""
    trainers = {
        (shape, precision): make_trainer(corpus, folder, SHAPES[shape], precision)
        for shape in SHAPES
        for precision in PRECISIONS
    }
    streams = {key: trainer.batches.from_position() for key, trainer in trainers.items()}
    rates: dict[tuple[str, str], list[float]] = {key: [] for key in trainers}
    for _ in range(rounds):
        for key, trainer in trainers.items():
            for step in range(steps + 1):
                _, batch = next(streams[key])
                started = time.perf_counter()
                trainer.step(batch, print)
                seconds = time.perf_counter() - started
                # The first step of a round finds cold caches.
                if step:
                    rates[key].append((batch.num_source_tokens + batch.num_target_tokens) / seconds)
    return [{"shape": shape, "precision": precision, **spread(each)} for (shape, precision), each in rates.items()]


def make_trainer(corpus: PreparedCorpus, folder: Path, shape: dict[str, Any], precision: Any) -> Trainer:
    """Make a trainer that is only stepped, never run."""
    tokenizers = corpus.tokenizers
    config = TrainingConfig(tokens_per_step=TOKENS_PER_STEP, precision=precision)
    model = build_model(TransformerConfig(**shape), tokenizers.source.vocab_size, tokenizers.target.vocab_size)
    batches = TokenBatches(corpus.train, TOKENS_PER_STEP, config.seed)
    pairs = corpus.validation.take(range(len(corpus.validation)))
    text = ValidationText(*corpus.validation_texts(), pairs)
    validator = Validator(config.validation, text, tokenizers, "de")
    return Trainer(config, model, batches, validator, RunFolder(folder / "run"), corpus.fingerprint)


def measure_translating(run: Path, data: Path, rounds: int) -> list[dict[str, Any]]:
    """Time the translation of the run's test set, greedy and by beam, in turn."""
    config = load_settings(RecipeConfig, RunFolder(run).config)
    assert config.data.test is not None and config.data.test.source
    sources = read_lines(data / config.data.test.source)
    translator = Translator.load(run)
    rates: dict[int, list[float]] = {1: [], config.search.beam_size: []}
    for _ in range(rounds):
        for beam_size, seen in rates.items():
            search = config.search.model_copy(update={"beam_size": beam_size})
            started = time.perf_counter()
            translator.translate(sources, search=search, split_sentences=False)
            seen.append(len(sources) / (time.perf_counter() - started))
    return [{"run": run.name, "beam_size": beam_size, **spread(seen)} for beam_size, seen in rates.items()]


def spread(rates: list[float]) -> dict[str, Any]:
    """Return median, least, most and number of rates."""
    return {"median": median(rates), "least": min(rates), "most": max(rates), "timed": len(rates)}


def table(result: dict[str, Any]) -> list[str]:
    """Return the result as Markdown lines."""
    lines = [
        f"# Speed, {result['threads']} threads",
        "",
        "| training, 7,034-token steps | precision | tokens/s, median | least | most |",
        "|---|---|---|---|---|",
        *(
            f"| {each['shape']} | {each['precision']} | {each['median']:,.0f} | {each['least']:,.0f} | "
            f"{each['most']:,.0f} |"
            for each in result["training"]
        ),
        "",
        "| translating, fp32 | beam | sentences/s, median | least | most |",
        "|---|---|---|---|---|",
        *(
            f"| {each['run']} | {each['beam_size']} | {each['median']:.0f} | {each['least']:.0f} | {each['most']:.0f} |"
            for each in result["translating"]
        ),
    ]
    return lines


if __name__ == "__main__":
    main()
