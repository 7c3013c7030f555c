"""Load training text with JoeyNMT, which makes its vocabularies of it: python prepare_joeynmt.py CONFIG.json."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

from joeynmt.data import load_data
from sentencepiece import SentencePieceProcessor

# What its own configurations have by default.
_SYMBOLS = {
    **{"unk_id": 0, "unk_token": "<unk>", "pad_id": 1, "pad_token": "<pad>", "bos_id": 2, "bos_token": "<s>"},
    **{"eos_id": 3, "eos_token": "</s>", "sep_id": None, "sep_token": None, "lang_tags": []},
}


def main() -> None:
    # Called with the whole vocabulary, which forbids nothing; current versions of sentencepiece do not have it.
    SentencePieceProcessor.SetVocabulary = lambda self, pieces: None
    config = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    load_data(config | {"special_symbols": SimpleNamespace(**_SYMBOLS)}, datasets=["train"])


if __name__ == "__main__":
    main()
