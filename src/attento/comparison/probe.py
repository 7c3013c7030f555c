"""A model run on made-up tokens of any length: what Table 1's measurements need of a model of any task."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attento.models.base import Classifier, EncoderDecoder, NeuralLanguageModel, Sentences
from attento.nn.embedding import TokenEmbedding

_FIRST_WORD = 4
"""The first id that is no special one."""
_CAUSAL = {"source to target": False, "target to target": True, "text to text": True, "sentence to label": False}


@dataclass(frozen=True)
class Flow:
    """A way that information takes through a model: from embedded tokens to outputs.

    Attributes:
        name: what is joined.
        inputs: the embedded tokens, leaves of the graph: one for each call of an embedding.
        causal: whether output j may know tokens 0 to j alone.
    """

    name: str
    inputs: tuple[Float[Tensor, "_ _ _"], ...]
    causal: bool


@dataclass(frozen=True)
class Trace:
    """What a model made of some tokens: a vector for each output position, and the ways that lead there."""

    outputs: Float[Tensor, "B T D"]
    flows: tuple[Flow, ...]


def is_measurable(model: nn.Module) -> bool:
    """Tell whether a model is one that gradients flow through."""
    return isinstance(model, EncoderDecoder | NeuralLanguageModel | Classifier)


def longest_input(model: nn.Module) -> int | None:
    """Return the most tokens that `run` can be asked for; None where there is no limit."""
    match model:
        case EncoderDecoder():
            limits = [each for each in (model.max_source_length, model.max_target_length) if each is not None]
            return min(limits, default=None)
        case NeuralLanguageModel():
            return model.max_length
        case Classifier():
            # A model may put marks before and between the sentences.
            return None if model.max_length is None else model.max_length // model.num_sentences - 2
    return None


def run(model: nn.Module, length: int, rows: int) -> Float[Tensor, "B T D"]:
    """Run a model on random tokens, up to the vectors that predict; a classifier up to its logits.

    A translation model reads and writes sentences of so many tokens each, under teacher forcing; a classifier of pairs
    reads two of them.

    Raises:
        TypeError: gradients do not flow through such a model.
    """
    return _run(model, length, rows, lambda name: nullcontext())


def trace(model: nn.Module, length: int, rows: int) -> Trace:
    """Run a model as `run` does, and keep what it embedded, cut off from the embeddings' own weights.

    Raises:
        TypeError: gradients do not flow through such a model.
    """
    found: dict[str, list[Tensor]] = {}

    @contextmanager
    def during(name: str) -> Iterator[None]:
        embedded = found.setdefault(name, [])

        def keep(module: nn.Module, ids: Any, vectors: Tensor) -> Tensor:
            embedded.append(vectors.detach().requires_grad_())
            return embedded[-1]

        hooks = [each.register_forward_hook(keep) for each in model.modules() if isinstance(each, TokenEmbedding)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    outputs = _run(model, length, rows, during)
    return Trace(outputs, tuple(Flow(name, tuple(inputs), _CAUSAL[name]) for name, inputs in found.items()))


def _run(
    model: nn.Module, length: int, rows: int, during: Callable[[str], AbstractContextManager[None]]
) -> Float[Tensor, "B T D"]:
    device = next(model.parameters()).device
    mask = torch.ones(rows, length, dtype=torch.bool, device=device)

    def words(vocab_size: int) -> Int[Tensor, "B L"]:
        return torch.randint(_FIRST_WORD, vocab_size, (rows, length), device=device)

    match model:
        case EncoderDecoder():
            with during("source to target"):
                memory = model.encode(words(model.source_vocab_size), mask)
            with during("target to target"):
                return model.features(words(model.target_vocab_size), model.start(memory))[0]
        case NeuralLanguageModel():
            with during("text to text"):
                return model.features(words(model.vocab_size), model.start(rows))[0]
        case Classifier():
            with during("sentence to label"):
                sentences = [Sentences(words(model.vocab_size), mask) for _ in range(model.num_sentences)]
                logits: Tensor = model(sentences)
                return logits[:, None, :]  # (B, C) -> (B, 1, C)
    raise TypeError(f"gradients do not flow through a {type(model).__name__}")
