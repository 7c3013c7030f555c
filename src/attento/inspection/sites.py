"""Where in a model something can be seen: which module, what it is to the model, and how it is watched."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from attento.inspection import observe
from attento.inspection.trace import Kind
from attento.models.base import Classifier, EncoderDecoder, MaskedLanguageModel
from attento.models.classification.decomposable import DecomposableAttention, IntraSentenceAttention
from attento.models.classification.encoder_only import EncoderOnly
from attento.models.classification.self_attentive import Annotation, SelfAttentive
from attento.models.language.convolutional import GatedLayer
from attento.models.language.window import WindowMLP
from attento.models.layers import DecoderLayer, EncoderLayer
from attento.models.translation import bytenet, convolutional
from attento.models.translation.decoder_only import DecoderOnlyTranslation
from attento.models.translation.mixer import MixerLayer
from attento.nn.alignment import Alignment
from attento.nn.attention import MultiHeadAttention
from attento.nn.feed_forward import FeedForward, GatedFeedForward
from attento.nn.recurrent import Recurrent, StepwiseRecurrent

What = Literal["weights", "query", "key", "value", "scores", "context", "residual", "feed_forward", "hidden", "logits"]
"""The names of what can be recorded."""
OF_PRODUCTS: tuple[What, ...] = ("weights", "query", "key", "value", "scores", "context")
"""What can be seen of attention by queries and keys."""
OF_SCORES: tuple[What, ...] = ("weights", "value", "scores", "context")
"""What can be seen of attention whose scores come of something else."""

See = Callable[[Any, tuple[Any, ...], dict[str, Any], Any], dict[str, Tensor]]
"""Given a module, what it was called with and what it returned, tell the arrays by name."""


@dataclass(frozen=True)
class Site:
    """One module to watch."""

    name: str
    module: nn.Module
    shows: tuple[What, ...]
    see: See
    grows: bool
    """Whether each call goes on from the one before, as a decoder's do; otherwise a call is a whole text."""
    kind: Kind | None = None
    """What looks at what, where the module attends."""
    layer: int = 0
    views: tuple[tuple[str, str], ...] = (("", ""),)
    """Of each call in a pass, the text whose tokens look and the text that is looked at."""


def sites(model: nn.Module) -> Iterator[Site]:
    """Find all that can be seen in a model's modules, in the order in which they stand in it."""
    for name, module in model.named_modules():
        yield from _translation_attention(model, name, module)
        yield from _sentence_attention(name, module)
        yield from _states(model, name, module)


def _translation_attention(model: nn.Module, name: str, module: nn.Module) -> Iterator[Site]:
    """Find the attention of what reads a source or writes; a classifier's encoder reads a sentence."""
    translates = isinstance(model, EncoderDecoder)
    cross = Site(name, module, OF_PRODUCTS, _by(observe.aligned), True, "cross", _layer(name), (("target", "source"),))
    match module:
        case EncoderLayer():
            text, kind = ("source", "encoder self") if translates else ("sentence", "sentence")
            yield _multi_head(f"{name}.self_attention", module.self_attention, False, kind, (text, text))  # type: ignore[arg-type]
        case DecoderLayer():
            text = "target" if translates else "text"
            text = "source and target" if isinstance(model, DecoderOnlyTranslation) else text
            yield _multi_head(f"{name}.self_attention", module.self_attention, True, "decoder self", (text, text))
            if module.cross_attention is not None:
                view = ("target", "source")
                yield _multi_head(f"{name}.cross_attention", module.cross_attention, True, "cross", view)
        case Alignment():
            yield cross
        case convolutional.SourceAttention():
            yield replace(cross, see=_by(observe.from_source))


def _sentence_attention(name: str, module: nn.Module) -> Iterator[Site]:
    """Find the attention of classifiers that are no Transformers."""
    site = Site(name, module, OF_SCORES, _by(observe.soft_aligned), grows=False, kind="sentence")
    first, second = "first sentence", "second sentence"
    match module:
        case Annotation():
            yield replace(site, see=_by(observe.annotated), views=(("annotation", "sentence"),))
        case DecomposableAttention():
            yield replace(
                site, name="align", module=module.align, kind="cross", views=((first, second), (second, first))
            )
        case IntraSentenceAttention():
            yield replace(site, name=f"{name}.align", module=module.align, views=((first, first), (second, second)))


def _states(model: nn.Module, name: str, module: nn.Module) -> Iterator[Site]:
    """Find what a model's parts put out; of what reads, a call is a whole text."""
    grows = not isinstance(model, Classifier | MaskedLanguageModel) and not name.startswith("encoder")
    match module:
        case EncoderLayer() | DecoderLayer() | MixerLayer():
            yield Site(name, module, ("residual",), _output("residual"), grows)
        case FeedForward() | GatedFeedForward():
            yield Site(name.rpartition(".")[0], module.outer, ("feed_forward",), _input("feed_forward"), grows)
        case Recurrent() | convolutional.EncoderLayer() | convolutional.DecoderLayer():
            yield Site(name, module, ("hidden",), _output("hidden"), grows)
        case bytenet.EncoderBlock() | bytenet.DecoderBlock() | GatedLayer():
            yield Site(name, module, ("hidden",), _output("hidden"), grows)
        case StepwiseRecurrent():
            yield Site(name, module, ("hidden",), _last_layer, grows)
        case WindowMLP():
            yield Site("", module.hidden, ("hidden",), _behind_tanh, grows)
        case SelfAttentive() | DecomposableAttention() | EncoderOnly():
            yield Site("", module.classes, ("logits",), _output("logits"), grows)
        case MaskedLanguageModel():
            yield Site("", module, ("logits",), _output("logits"), grows)


def _multi_head(name: str, module: MultiHeadAttention, grows: bool, kind: Kind, view: tuple[str, str]) -> Site:
    return Site(name, module, OF_PRODUCTS, _by(observe.multi_head), grows, kind, _layer(name), (view,))


def _layer(name: str) -> int:
    """Return the number in a module's path; 0 where there is none."""
    return next((int(part) for part in name.split(".") if part.isdigit()), 0)


def _by(observer: Callable[..., dict[str, Tensor]]) -> See:
    return lambda module, args, kwargs, _output: observer(module, *args, **kwargs)


def _output(name: What) -> See:
    """See what a module returned; the first of several things."""
    return lambda _module, _args, _kwargs, output: {name: output[0] if isinstance(output, tuple) else output}


def _input(name: What) -> See:
    return lambda _module, args, _kwargs, _output: {name: args[0]}


def _last_layer(_module: nn.Module, _args: Any, _kwargs: Any, output: Any) -> dict[str, Tensor]:
    return {"hidden": output.hidden[:, -1:]}  # one step: (N, layers, D) -> (N, 1, D)


def _behind_tanh(_module: nn.Module, _args: Any, _kwargs: Any, output: Tensor) -> dict[str, Tensor]:
    return {"hidden": torch.tanh(output)}
