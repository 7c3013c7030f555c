"""The flags that several verbs share, and what the search flags mean together."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from attento.cli.console import say

if TYPE_CHECKING:
    from attento.decoding.config import SamplingConfig, SearchConfig
    from attento.engines.choose import EngineName
    from attento.translator import Translator

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
RunOrPacked = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", help="A run folder that `attento train` made, or a packed model.", show_default=False
    ),
]
Engine = Annotated[
    Literal["auto", "torch", "native", "reference"],
    typer.Option("--engine", help="What computes; auto takes the fastest one at hand (see `attento info RUN`)."),
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
MinLength = Annotated[
    int | None,
    typer.Option(
        "--min-length", help="Pieces that a translation has at least. By default the run's own.", show_default=False
    ),
]
NoRepeatNgram = Annotated[
    int | None,
    typer.Option(
        "--no-repeat-ngram",
        help="So many pieces in a row never stand twice in a translation; 0 lets them. By default the run's own.",
        show_default=False,
    ),
]

Temperature = Annotated[
    float | None,
    typer.Option("--temperature", help="Below 1 sharper, above 1 flatter; 1 by default.", show_default=False),
]
TopK = Annotated[
    int | None, typer.Option("--top-k", help="Draw from so many most probable tokens.", show_default=False)
]
TopP = Annotated[
    float | None,
    typer.Option("--top-p", help="Draw from the most probable tokens of this probability.", show_default=False),
]
Seed = Annotated[
    int | None, typer.Option("--seed", help="The same seed draws the same; 1 by default.", show_default=False)
]


def read_sampling(
    temperature: float | None, top_k: int | None, top_p: float | None, seed: int | None
) -> "SamplingConfig":
    """Return how to sample by what was given on the command line.

    Raises:
        ConfigError: a value is out of range.
    """
    from attento.decoding.config import SamplingConfig
    from attento.plain_settings import read_settings

    given = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    return read_settings(SamplingConfig, _given(given), origin="sampling flags")


def change_search(search: "SearchConfig", **given: Any) -> "SearchConfig":
    """Return the run's way to search with what was given on the command line, by its names, in its place.

    Raises:
        ConfigError: a value is out of range, or the values do not go together.
    """
    from attento.plain_settings import read_settings

    # Who asks for a beam does not want draws.
    drawn = {"sampling": None} if given.get("beam_size") is not None else {}
    return read_settings(type(search), vars(search) | drawn | _given(given), origin="search flags")


def load_translator(run: Path, device: str | None, engine: "EngineName") -> "Translator":
    """Load the model to translate with, and tell what should be known about the engine that was chosen.

    Raises:
        AttentoError: as `Translator.load`.
    """
    from attento.engines.choose import choose_engine
    from attento.translator import Translator

    choice = choose_engine(run, engine, device)
    if choice.note is not None:
        say(f"note: {choice.note}")
    return Translator.load(run, device=device, engine=choice.engine)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
