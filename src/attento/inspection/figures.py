"""Figures of attention for notebooks, by plotly."""

import html
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from attento.errors import InputError, MissingExtraError
from attento.inspection.trace import Attention, Kind, Trace, as_numpy

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_COLOURS = "Cividis"
"""From dark blue to yellow, made to look alike to all kinds of colour vision (Nuñez, Anderton & Renslow 2018)."""


def heatmap(trace: Trace, kind: Kind, layer: int, head: int, row: int = 0) -> "Figure":
    """Draw one head's weights: rows look, columns are looked at.

    Raises:
        InputError: there is no such kind, layer, head or row, or there are more tokens than places.
        MissingExtraError: plotly is not installed.
    """
    objects, _ = _plotly()
    attention = trace.find(kind, layer)
    figure = objects.Figure(_map(objects, trace, attention, head, row))
    looking, seen = _tokens(trace, attention.rows, row), _tokens(trace, attention.columns, row)
    figure.update_layout(title=f"{kind}, layer {layer}, head {head}")
    figure.update_xaxes(title=attention.columns, side="top", **_ticks(seen))
    figure.update_yaxes(title=attention.rows, autorange="reversed", **_ticks(looking))
    return figure


def head_grid(trace: Trace, kind: Kind, row: int = 0) -> "Figure":
    """Draw the weights of all layers (downwards) and heads (across) of a kind.

    Raises:
        InputError: there is no such kind or row, or there are more tokens than places.
        MissingExtraError: plotly is not installed.
    """
    objects, subplots = _plotly()
    layers = trace.layers(kind) or [trace.find(kind, 0).layer]
    found = [trace.find(kind, layer) for layer in layers]
    heads = max(each.heads for each in found)
    titles = [f"{layer}.{head}" for layer in layers for head in range(heads)]
    figure = subplots.make_subplots(len(layers), heads, subplot_titles=titles)
    for place, attention in enumerate(found, start=1):
        for head in range(attention.heads):
            figure.add_trace(_map(objects, trace, attention, head, row), row=place, col=head + 1)
    figure.update_layout(title=f"{kind}, layer.head")
    figure.update_traces(showscale=False)
    figure.update_xaxes(showticklabels=False)
    figure.update_yaxes(showticklabels=False, autorange="reversed")
    return figure


def _map(objects: Any, trace: Trace, attention: Attention, head: int, row: int) -> Any:
    weights = as_numpy(trace.head(attention.kind, attention.layer, head, row, attention.rows))
    looking = _named(_tokens(trace, attention.rows, row), weights, 0, attention.rows)
    seen = _named(_tokens(trace, attention.columns, row), weights, 1, attention.columns)
    return objects.Heatmap(
        z=weights[: len(looking), : len(seen)],
        zmin=0,
        zmax=1,
        colorscale=_COLOURS,
        customdata=[[f"{one} → {other}" for other in seen] for one in looking],
        hovertemplate="%{customdata}: %{z:.3f}<extra></extra>",
    )


def _tokens(trace: Trace, text: str, row: int) -> list[str] | None:
    """Return a row's tokens so that nothing in them is taken for HTML; None where nobody has told them."""
    rows = trace.tokens.get(text)
    if rows is None:
        return None
    if row >= len(rows):
        raise InputError(f"`{text}` has {len(rows)} rows in `Trace.tokens`, so none is row {row}")
    return [html.escape(token) for token in rows[row]]


def _named(tokens: list[str] | None, weights: NDArray[Any], axis: int, text: str) -> list[str]:
    places = weights.shape[axis]
    if tokens is None:
        return [str(place) for place in range(places)]
    if len(tokens) > places:
        raise InputError(f"`{text}` has {len(tokens)} tokens in `Trace.tokens`, but the attention only {places} places")
    return tokens


def _ticks(tokens: list[str] | None) -> dict[str, Any]:
    # By place and not by token: the same token may stand in two places.
    return {} if tokens is None else {"tickvals": list(range(len(tokens))), "ticktext": tokens}


def _plotly() -> tuple[Any, Any]:
    try:
        from plotly import graph_objects, subplots
    except ModuleNotFoundError as problem:
        raise MissingExtraError("plotly", "compare") from problem
    return graph_objects, subplots
