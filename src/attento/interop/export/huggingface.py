"""What both Hugging Face formats have in common: files of JSON and weights, and a search that takes the best token.

The files are those that `save_pretrained` of the library `transformers` writes; writing them needs no such library.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from attento.text.tokenizer import Tokenizer

Change = Callable[[Tensor], Tensor]
MAX_TOKENS = 512
"""The most tokens that a text is cut to by their tokenizer, or that their search writes, unless told otherwise."""


def save_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a file of settings."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def save_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write `model.safetensors`; torch is what the tensors are laid out for."""
    own = {name: tensor.contiguous().clone() for name, tensor in weights.items()}
    # Bytes, since the library's own file could be read by its owner alone.
    (folder / "model.safetensors").write_bytes(save(own, metadata={"format": "pt"}))


def numbered_pieces(tokenizer: Tokenizer) -> dict[str, int]:
    """Return every piece of a vocabulary with its id."""
    return {piece: i for i, piece in enumerate(tokenizer.pieces(range(tokenizer.vocab_size)))}


def save_readme(folder: Path, *, pipeline: str, languages: Sequence[str], code: str) -> None:
    """Write `README.md`: what sort of model it is, as Hugging Face's sites read it, and how to use it in the folder."""
    head = ["---", "library_name: transformers", f"pipeline_tag: {pipeline}"]
    if languages:
        head += ["language:", *(f"- {language}" for language in languages)]
    text = (
        f"A model that Attento trained. With `pip install transformers sentencepiece torch`:\n\n```python\n{code}```\n"
    )
    (folder / "README.md").write_text("\n".join([*head, "---", "", text]), encoding="utf-8")


@contextmanager
def quiet_library() -> Iterator[None]:
    """Let `transformers` neither draw bars nor give advice."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
