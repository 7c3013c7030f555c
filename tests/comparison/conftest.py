"""Tiny comparisons on the disk."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from attento.setting_trees import apply_overrides

SETTINGS: dict[str, Any] = {
    "data": {
        "source_language": "en",
        "target_language": "fr",
        "train": [{"source": "train.source", "target": "train.target"}],
        "validation": {"source": "dev.source", "target": "dev.target"},
        "test": {"source": "test.source", "target": "test.target"},
        "tokenizer": {"vocab_size": 21, "byte_fallback": False},
        "cleaning": {"drop_identical": False},
    },
    "search": {"beam_size": 2, "max_extra_length": 3},
    "training": {
        "device": "cpu",
        "precision": "fp32",
        "tokens_per_step": 97,
        "schedule": {"name": "inverse_sqrt", "peak": 0.01, "warmup": 7},
        "validation": {"metric": "loss"},
        "validate_every": 4,
        "checkpoint_every": 4,
        "keep_last": 2,
        "report_every": 5,
    },
    "budget": {"updates": 8},
    "systems": {
        "wide": {"model": {"encoder_layers": 1, "decoder_layers": 1, "d_model": 16, "d_ff": 29, "num_heads": 2}},
        "narrow": {
            "model": {"encoder_layers": 1, "decoder_layers": 1, "d_model": 12, "d_ff": 17, "num_heads": 3},
            "training": {"schedule": {"peak": 0.02}},
        },
    },
    "measure": {"quality": None, "cost": None, "table": None, "recall": None},
}


@pytest.fixture(scope="session")
def write_comparison() -> Callable[..., Path]:
    """Write text and a comparison's recipe into a folder; settings are given as `--set` takes them."""

    def write(folder: Path, *overrides: str) -> Path:
        generator = random.Random(17)
        folder.mkdir(parents=True, exist_ok=True)
        for name, count in (("train", 61), ("dev", 11), ("test", 13)):
            lines = [generator.sample("abcdefgh", k=8)[: generator.randint(2, 6)] for _ in range(count)]
            for side, sentences in {"source": lines, "target": [line[::-1] for line in lines]}.items():
                (folder / f"{name}.{side}").write_text("".join(f"{' '.join(line)}\n" for line in sentences))
        path = folder / "comparison.yaml"
        path.write_text(yaml.safe_dump(apply_overrides(SETTINGS, overrides), sort_keys=False))
        return path

    return write
