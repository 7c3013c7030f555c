"""Record what happens inside a model while it works, by torch's hooks: nothing in a model looks for a recorder."""

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, get_args

import torch
from jaxtyping import Int
from torch import Tensor, nn

from attento.errors import InputError
from attento.inspection.joining import Piece, join, join_attention
from attento.inspection.sites import OF_PRODUCTS, Site, What, sites
from attento.inspection.trace import Attention, Trace
from attento.models.base import Decoder, LanguageModel
from attento.nn.state import DecoderState


@contextmanager
def record(model: nn.Module, what: Sequence[str] | str = "weights") -> Iterator[Trace]:
    """Record one pass of a model: one batch read, and its targets written in one go or step by step in a search.

        with record(model, ["weights", "residual"]) as trace:
            model.decode(target, model.start(model.encode(source, source_mask)))
        trace.find("cross", 2).weights

    The trace is filled when the `with` block ends. Steps are joined, so that a search's trace is that of one pass over
    what it wrote; a row that left the search early has zeros (scores: minus infinity) from there on. Gradients are not
    kept. What a hook of others changes, as a mask, is recorded as changed.

    Texts stand in the trace as in the model. A decoder-only translation model reads source and target as one text, with
    the source's padding before it. A classifier of pairs that is an encoder reads both sentences as one, padding at the
    end; decomposable attention has its null word before each sentence. A token mixer's encoder has no attention: which
    place a token gathers from is fixed by its weights, whatever stands there.

    Args:
        model: any of `attento.models`.
        what: names of arrays. Of each attention: "weights", "query", "key", "value", "scores", "context" (weights come
            with any of them). "residual": the stream after each Transformer layer. "feed_forward": the activations
            inside each network. "hidden": the states of recurrent layers, and what convolutional ones put out.
            "logits".

    Raises:
        InputError: a name is none of these, or nothing in this model has such an array (the message names what it has);
            or, while the model works, a second pass begins, or a search repeats rows, as a beam does.
    """
    names = (what,) if isinstance(what, str) else tuple(what)
    places = list(sites(model))
    _check(model, names, places)
    recording = _Recording()
    trace = Trace()
    with ExitStack() as stack:
        for site in places:
            if wanted := _wanted(site, names):
                stack.enter_context(_watched(site, partial(recording.see, site, wanted)))
        if isinstance(model, Decoder | LanguageModel):
            stack.enter_context(_followed(model, recording, "logits" in names))
        yield trace
    recording.fill(trace)


def available(model: nn.Module) -> list[What]:
    """Return the names of the arrays that can be recorded of a model."""
    return _available(model, list(sites(model)))


def _available(model: nn.Module, places: Sequence[Site]) -> list[What]:
    shown = {name for site in places for name in site.shows}
    if isinstance(model, Decoder | LanguageModel):
        shown.add("logits")
    return [name for name in get_args(What) if name in shown]


def _check(model: nn.Module, names: Sequence[str], places: Sequence[Site]) -> None:
    known, there = get_args(What), _available(model, places)
    for name in names:
        if name not in known:
            raise InputError(f"`{name}` is nothing that can be recorded; there are {', '.join(known)}")
        if name not in there:
            lacks = "has no attention, so no" if not set(there) & set(OF_PRODUCTS) else "has no"
            has = f"what can be recorded of it: {', '.join(there)}" if there else "nothing can be recorded of it"
            raise InputError(f"a {type(model).__name__} {lacks} `{name}`; {has}")


def _wanted(site: Site, names: Sequence[str]) -> tuple[What, ...]:
    """Return what to keep of what a module shows."""
    asked = [name for name in site.shows if name in names]
    return tuple(dict.fromkeys(["weights", *asked] if site.kind and asked else asked))


class _Recording:
    """What was seen so far, and where the model stands."""

    def __init__(self) -> None:
        self.seen: dict[tuple[Site, tuple[What, ...]], list[Piece]] = {}
        self.logits: list[Piece] = []
        self.started, self.closed = False, False
        self.rows: Int[Tensor, " N"] | None = None
        """Which row of the first step each row of the current one is; None where none has left."""

    @torch.no_grad()
    def see(
        self, site: Site, wanted: tuple[What, ...], module: nn.Module, args: tuple[Any, ...], kwargs: Any, output: Any
    ) -> None:
        """Keep what a module shows of one call."""
        pieces = self.seen.setdefault((site, wanted), [])
        if not site.grows and len(pieces) == len(site.views):
            raise _second_pass()
        arrays = site.see(module, args, kwargs, output)
        pieces.append(Piece(self.rows if site.grows else None, {name: arrays[name].detach() for name in wanted}))

    def fill(self, trace: Trace) -> None:
        """Write down what was seen, steps joined."""
        for (site, wanted), pieces in self.seen.items():
            if site.kind is None:
                for name in wanted:
                    trace.arrays[f"{site.name} {name}".strip()] = join(pieces, name)
                continue
            calls = [pieces] if site.grows else [[piece] for piece in pieces]
            for (rows, columns), call in zip(site.views, calls, strict=False):
                arrays = join_attention(call, itself=rows == columns)
                trace.attentions.append(
                    Attention(site.name, site.kind, site.layer, rows=rows, columns=columns, **arrays)
                )
        if self.logits:
            trace.arrays["logits"] = join(self.logits, "logits")
        # A state that outlives the recording knows it, and must not keep all that was seen.
        self.seen, self.logits = {}, []

    def follow(self, state: DecoderState, rows: Tensor | None) -> DecoderState:
        """Let a state tell which of its rows a search picks."""
        # An attribute of this one object: neither equality nor `replace` nor the state that is picked from it has it.
        object.__setattr__(state, "select", _Select(self, weakref.ref(state), rows))
        return state


class _Select:
    """In the place of a state's `select`: picks rows, and remembers which rows of the first state they are."""

    def __init__(self, recording: _Recording, state: Callable[[], Any], rows: Tensor | None) -> None:
        self.recording, self.state, self.rows = recording, state, rows

    def __call__(self, indices: Int[Tensor, " N"]) -> DecoderState:
        state = self.state()
        picked: DecoderState = type(state).select(state, indices)
        if self.recording.closed:
            return picked
        if torch.unique(indices).numel() < indices.numel():
            raise InputError(
                "a search that repeats rows, as a beam does, cannot be recorded as one text a row; "
                "search greedily, or record one pass over the text that the search found"
            )
        rows = indices if self.rows is None else self.rows[indices]
        return self.recording.follow(picked, rows)


@contextmanager
def _watched(site: Site, hook: Callable[..., None]) -> Iterator[None]:
    handle = site.module.register_forward_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _followed(model: Decoder | LanguageModel, recording: _Recording, logits: bool) -> Iterator[None]:
    """Follow a model from state to state: its verbs are methods, which have no hooks."""

    def start(method: Callable[..., Any], *args: Any) -> Any:
        if recording.started:
            raise _second_pass()
        recording.started = True
        return recording.follow(method(*args), None)

    def go_on(method: Callable[..., Any], target: Tensor, state: Any, *, keep: bool) -> Any:
        chosen = vars(state).get("select")
        recording.rows = chosen.rows if isinstance(chosen, _Select) else None
        made, after = method(target, state)
        if keep:
            recording.logits.append(Piece(recording.rows, {"logits": made.detach()}))
        return made, recording.follow(after, recording.rows)

    verbs: dict[str, Callable[..., Any]] = {"start": start, "decode": partial(go_on, keep=logits)}
    if isinstance(model, Decoder):
        verbs["features"] = partial(go_on, keep=False)
    with ExitStack() as stack:
        for name, verb in verbs.items():
            stack.enter_context(_in_place(model, name, partial(verb, getattr(model, name))))
        try:
            yield
        finally:
            recording.closed = True


@contextmanager
def _in_place(model: nn.Module, name: str, verb: Callable[..., Any]) -> Iterator[None]:
    """Put a function in the place of a method; afterwards all is as it was."""
    own = vars(model).get(name)
    setattr(model, name, verb)
    try:
        yield
    finally:
        delattr(model, name)
        if own is not None:
            setattr(model, name, own)


def _second_pass() -> InputError:
    return InputError(
        "one recording holds one pass, and a second one began; open a recording for each, and give it one batch"
    )
