"""Ask a model from English to French what "it" means when the noun stands in the sentence before; write `results/`.

    python benchmarks/pronoun_data.py --data DATA --output runs/pronoun-data
    attento train recipes/english-french.yaml --data runs/pronoun-data --output runs/english-french
    python benchmarks/pronouns.py --run runs/english-french --data runs/pronoun-data --contrasts anaphora.json

The set is that of Bawden et al. 2018 (arXiv:1711.00513, section 4.1). Its four translations of one source come in two
genders, and what is right in one is wrong in another: whoever does not see the sentence before tells half of them.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from facts import provenance, write_result
from translation_quality import read_lines, score, training_facts

from attento.config import load_settings
from attento.data.pairs.config import CorpusConfig
from attento.engines.loading import evaluating
from attento.evaluation.report.section import number
from attento.inspection.probes.choose import Asking, probe
from attento.inspection.probes.contrasts import LEFT_OUT, LeftOut, margins, read_contrasts, tokenize
from attento.inspection.probes.pronouns import PronounResult
from attento.inspection.reading import load_run
from attento.models.base import EncoderDecoder
from attento.run_folder import RunFolder
from attento.training.config import RecipeConfig

TESTS = ("tatoeba.test", "stories.test")
_GENDERS = {"m": "masculine", "f": "feminine"}
_RESAMPLES = 10_000
_SHOWN = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/english-french"))
    parser.add_argument("--data", type=Path, default=Path("runs/pronoun-data"))
    parser.add_argument("--contrasts", type=Path, required=True, help="anaphora.json")
    options = parser.parse_args()
    folder = RunFolder(options.run)
    config = load_settings(RecipeConfig, folder.config)
    asked = Asking(sentences=len(read_contrasts(options.contrasts)), data=options.contrasts, device="cpu")
    found = probe(options.run, "pronouns", asked)
    assert isinstance(found, PronounResult)
    result: dict[str, Any] = {
        "provenance": provenance(),
        "training": training_facts(folder, config),
        "quality": [quality(folder, config, options.data, name) for name in TESTS],
        "told": told(options.run, options.contrasts),
        "probe": json.loads(found.to_json()),
    }
    write_result("pronouns", result, lines(result))


def quality(folder: RunFolder, config: RecipeConfig, data: Path, name: str) -> dict[str, Any]:
    """Score the run on a held-out text; tell how many of its sources are among those trained on."""
    test = CorpusConfig(source=f"{name}.en", target=f"{name}.fr")
    config = config.model_copy(update={"data": config.data.model_copy(update={"test": test})})
    known = {line for each in config.data.train for line in read_lines(data / str(each.source))}
    seen = sum(line in known for line in read_lines(data / f"{name}.en"))
    return score(folder, config, data, config.search.beam_size) | {"sources_trained_on": seen}


def told(run: Path, path: Path) -> list[dict[str, Any]]:
    """Tell how many contrasts are told rightly, whole and with the sentence before left out; of each gender, too."""
    loaded = load_run(run, "cpu")
    assert isinstance(loaded.model, EncoderDecoder)
    whole = read_contrasts(path)
    blocks = np.unique([each.source for each in whole], return_inverse=True)[1]
    genders = np.array([pair["type"][0] for block in json.loads(path.read_bytes()).values() for pair in block["trg"]])
    found = []
    with evaluating(loaded.model):
        choices: list[LeftOut | None] = [None, *LEFT_OUT]
        for left_out in choices:
            tokens = tokenize(read_contrasts(path, left_out), loaded.tokenizers)
            each = margins(loaded.model, tokens).numpy()
            right = (each > 0) + 0.5 * (each == 0)
            found.append(
                {
                    "left_out": left_out,
                    "accuracy": float(right.mean()),
                    "interval": interval(right, blocks),
                    "margin": float(each.mean()),
                    "margin_interval": interval(each, blocks),
                    **{name: float(right[genders == letter].mean()) for letter, name in _GENDERS.items()},
                }
            )
    return found


def interval(values: Sequence[float], blocks: Sequence[int]) -> list[float]:
    """Compute the 95% percentile interval of a mean by drawing whole blocks: contrasts of one source are alike."""
    sums, counts = np.bincount(blocks, weights=values), np.bincount(blocks)
    drawn = np.random.default_rng(1).integers(len(sums), size=(_RESAMPLES, len(sums)))
    return [float(end) for end in np.percentile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), (2.5, 97.5))]


def lines(result: dict[str, Any]) -> list[str]:
    """Return the result as Markdown lines."""
    training, asked = result["training"], result["probe"]
    return [
        '# What "it" means when the noun stands in the sentence before',
        "",
        f"{asked['contrasts']} contrasts of {asked['data']}, a right and a wrong translation each; a coin tells half. "
        "Margin: log p(right) - log p(wrong). Intervals: 95%, by drawing sources.",
        "",
        "| sentence before left out | accuracy | interval | masculine is right | feminine is right | margin (nats) "
        "| interval |",
        "|---|---|---|---|---|---|---|",
        *(_told_row(each) for each in result["told"]),
        "",
        *_heads(asked),
        "",
        "The model, beam 4, on text held out from its training:",
        "",
        "| test set | lines | BLEU | chrF | English lines that it has seen |",
        "|---|---|---|---|---|",
        *(_quality_row(each) for each in result["quality"]),
        "",
        f"- BLEU: `{result['quality'][0]['bleu_signature']}`",
        f"- trained {training['steps']:,} updates of {training['tokens_per_step']:,} tokens, seed {training['seed']}",
        f"- weights: sha256 {training['weights_sha256']}",
    ]


def _told_row(each: dict[str, Any]) -> str:
    names = {None: "nothing", "source": "English", "translation": "French", "both": "both"}
    cells = (
        names[each["left_out"]],
        f"{each['accuracy']:.3f}",
        "{:.3f} to {:.3f}".format(*each["interval"]),
        f"{each['masculine']:.2f}",
        f"{each['feminine']:.2f}",
        f"{each['margin']:+.3f}",
        "{:+.3f} to {:+.3f}".format(*each["margin_interval"]),
    )
    return f"| {' | '.join(cells)} |"


def _quality_row(each: dict[str, Any]) -> str:
    cells = (
        each["test_set"],
        each["sentences"],
        f"{each['bleu']:.1f}",
        f"{each['chrf']:.1f}",
        each["sources_trained_on"],
    )
    return f"| {' | '.join(map(str, cells))} |"


def _heads(asked: dict[str, Any]) -> list[str]:
    """Return the heads that cost most and least when they are switched off alone."""
    ranked = sorted(asked["heads"], key=lambda head: head["margin"])
    rows = [*ranked[:_SHOWN], *ranked[-_SHOWN:]]
    carriers = asked["carriers"]
    if carriers is None:
        verdict = "The whole model is near chance: no heads are named that carry it."
    elif not carriers["heads"]:
        verdict = "No few heads bring the model near chance."
    else:
        named = ", ".join(carriers["heads"])
        verdict = f"Without {named}: {number(carriers['without'])}, against {number(carriers['whole'])}."
    return [
        f"Of {len(ranked)} heads, switched off one at a time, the {_SHOWN} that cost most and the {_SHOWN} that cost "
        f"least. {verdict}",
        "",
        "| off | accuracy | margin (nats) |",
        "|---|---|---|",
        *(f"| {head['head']} | {head['accuracy']:.3f} | {head['margin']:+.3f} |" for head in rows),
    ]


if __name__ == "__main__":
    main()
