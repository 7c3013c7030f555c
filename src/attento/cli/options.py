"""The flags that several verbs share, and what the search flags mean together."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from attento.decoding.config import SearchConfig

DataRoot = Annotated[
    Path, typer.Option("--data", metavar="DIR", envvar="ATTENTO_DATA", help="Folder that the recipe's corpora are in.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting of the recipe, e.g. data.tokenizer.vocab_size=8000. Repeatable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder that `attento train` made.", show_default=False)]
Device = Annotated[
    str | None,
    typer.Option("--device", help="cpu, cuda or cuda:N; the best one at hand by default.", show_default=False),
]
BeamSize = Annotated[
    int | None,
    typer.Option(
        "--beam-size", help="Hypotheses kept at every step; 1 is greedy. By default the run's own.", show_default=False
    ),
]
LengthPenalty = Annotated[
    float | None,
    typer.Option("--length-penalty", help="GNMT alpha, 0 for none. By default the run's own.", show_default=False),
]


def change_search(
    search: "SearchConfig", beam_size: int | None, length_penalty: float | None, n_best: int | None = None
) -> "SearchConfig":
    """Return the run's way to search with what was given on the command line in its place.

    Raises:
        ConfigError: a value is out of range, or the values do not go together.
    """
    from attento.config import check_settings

    given = {"beam_size": beam_size, "length_penalty": length_penalty, "n_best": n_best}
    changes = {name: value for name, value in given.items() if value is not None}
    return check_settings(type(search), search.model_dump() | changes, origin="search flags")
