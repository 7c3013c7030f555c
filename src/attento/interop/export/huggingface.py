"""What both Hugging Face formats have in common: files of JSON and weights, and a search that takes the best token.

The files are those that `save_pretrained` of the library `transformers` writes; writing them needs no such library.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from attento.config import Settings
from attento.text.tokenizer import Tokenizer

Change = Callable[[Tensor], Tensor]
MAX_TOKENS = 512
"""The most tokens that a text is cut to by their tokenizer, or that their search writes, unless told otherwise."""


def misfits(config: Settings, allowed: Mapping[str, Sequence[Any]], format_name: str) -> list[str]:
    """Return a line for each setting of a model whose value the format has no word for.

    Args:
        config: the model's settings.
        allowed: for each setting that matters, the values that the format can hold.
        format_name: what the lines call the format.
    """
    problems = []
    for name, values in allowed.items():
        value = getattr(config, name)
        if value not in values:
            only = " or ".join(dict.fromkeys(map(_text, values)))
            problems.append(f"`model.{name}: {_text(value)}` cannot be said in {format_name}; only {only}")
    return problems


def save_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a file of settings."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def save_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write `model.safetensors`; torch is what the tensors are laid out for."""
    own = {name: tensor.contiguous().clone() for name, tensor in weights.items()}
    save_file(own, folder / "model.safetensors", metadata={"format": "pt"})


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


def _text(value: Any) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
