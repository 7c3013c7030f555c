"""Train a recipe (or go on with its run), translate its test set, and write the scores to `results/`.

    python benchmarks/translation_quality.py recipes/multi30k-de-en.yaml --data DATA --runs runs

The test set is read once, at the end; nothing is chosen by it. A run that is already finished is only scored.
"""

import argparse
import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from facts import provenance, write_result

from attento.config import load_settings
from attento.evaluation import evaluate_translations
from attento.run_folder import RunFolder
from attento.training.config import RecipeConfig
from attento.training.run import load_recipe, train
from attento.translator import Translator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    folder = RunFolder(options.runs / options.recipe.stem)
    if not folder.card.is_file() and not train(load_recipe(options.recipe, options.data), folder.path):
        raise SystemExit(130)
    config = load_settings(RecipeConfig, folder.config)
    result = {"recipe": options.recipe.stem, "provenance": provenance(), "training": training_facts(folder, config)}
    result["scores"] = [score(folder, config, options.data, beam) for beam in (1, config.search.beam_size)]
    write_result(options.recipe.stem, result, table(result))


def score(folder: RunFolder, config: RecipeConfig, data: Path, beam_size: int) -> dict[str, Any]:
    """Translate the test set line by line and score it."""
    assert config.data.test is not None and config.data.test.source and config.data.test.target
    sources = read_lines(data / config.data.test.source)
    references = read_lines(data / config.data.test.target)
    translator = Translator.load(folder.path)
    search = replace(config.search, beam_size=beam_size)
    started = time.perf_counter()
    translations = translator.translate(sources, search=search, split_sentences=False)
    seconds = time.perf_counter() - started
    report = evaluate_translations(
        [each.text for each in translations],
        references,
        target_language=config.data.target_language,
        tokenize=config.training.validation.tokenize,
    )
    return {
        "test_set": config.data.test.source,
        "beam_size": beam_size,
        "length_penalty": search.length_penalty,
        "bleu": report.bleu.value,
        "bleu_signature": report.bleu.signature,
        "chrf": report.chrf.value,
        "chrf_signature": report.chrf.signature,
        "sentences": report.sentences,
        "sentences_per_second": len(sources) / seconds,
        "flagged": sum(bool(each.flags) for each in translations),
    }


def training_facts(folder: RunFolder, config: RecipeConfig) -> dict[str, Any]:
    """Sum up what the run recorded of itself."""
    records = [json.loads(line) for line in folder.metrics.read_text(encoding="utf-8").splitlines()]
    reports = [each for each in records if "train/loss" in each]
    rates = [each["train/source_tokens_per_second"] + each["train/target_tokens_per_second"] for each in reports]
    return {
        "steps": reports[-1]["step"],
        "seed": config.training.seed,
        "tokens_per_step": config.training.tokens_per_step,
        "source_tokens": reports[-1]["train/source_tokens"],
        "target_tokens": reports[-1]["train/target_tokens"],
        "median_tokens_per_second": median(rates),
        "skipped_steps": reports[-1]["train/skipped_steps"],
        "final": next((each for each in records if "final/loss" in each), None),
        "weights_sha256": hashlib.sha256(folder.weights.read_bytes()).hexdigest(),
    }


def table(result: dict[str, Any]) -> list[str]:
    """Return the result as Markdown lines."""
    lines = [f"# {result['recipe']}", "", "| test set | beam | BLEU | chrF | sentences/s |", "|---|---|---|---|---|"]
    for each in result["scores"]:
        lines.append(
            f"| {each['test_set']} | {each['beam_size']} | {each['bleu']:.2f} | {each['chrf']:.2f} | "
            f"{each['sentences_per_second']:.0f} |"
        )
    training = result["training"]
    return [
        *lines,
        "",
        f"- BLEU: `{result['scores'][-1]['bleu_signature']}`",
        f"- chrF: `{result['scores'][-1]['chrf_signature']}`",
        f"- trained {training['steps']:,} updates of {training['tokens_per_step']:,} tokens, seed {training['seed']}, "
        f"{training['median_tokens_per_second']:,.0f} tokens/s (median; source + target, no padding)",
        f"- weights: sha256 {training['weights_sha256']}",
    ]


def read_lines(path: Path) -> list[str]:
    """Read lines ended by a newline alone."""
    return path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")


if __name__ == "__main__":
    main()
