"""What a comparison finds, as records that stand in `report.json`. Numbers alone: knows no model and no file format."""

from typing import Any, Literal

from pydantic import Field

from attento.config import Settings

Task = Literal["translation", "language_modeling", "classification"]


class Quantity(Settings):
    """A measured number.

    Attributes:
        value: the number; the median where it was measured more than once.
        low: the lower end of what `spread` says.
        high: its upper end.
        spread: what `low` and `high` are: "95% bootstrap interval", "lowest and highest of 5 runs" and so on.
        runs: how many times it was measured.
        note: how it was computed, such as a metric's signature.
    """

    value: float
    low: float | None = None
    high: float | None = None
    spread: str = ""
    runs: int = 1
    note: str = ""


class LengthScore(Settings):
    """BLEU of the sentences whose sources have so many words; `longest` is None where there is no upper end."""

    shortest: int
    longest: int | None
    sentences: int
    bleu: float | None


class Growth(Settings):
    """What a step takes at some lengths, and how it grows.

    Attributes:
        lengths: tokens of each sentence.
        values: what was measured at each.
        exponent: the slope of the least-squares line through the logarithms of both.
        unit: of the values.
    """

    lengths: tuple[int, ...]
    values: tuple[Quantity, ...]
    exponent: float
    unit: str


class Counts(Settings):
    """A number of operations at some lengths; None where there is no path at all."""

    lengths: tuple[int, ...]
    values: tuple[int | None, ...]


class Table(Settings):
    """The measured Table 1 of one system; paths by the name of what is joined, as "source to target"."""

    seconds: Growth
    memory: Growth
    sequential: Counts
    paths: dict[str, Counts]


class RecallPoint(Settings):
    """How often a key was named rightly at a distance."""

    distance: int
    accuracy: Quantity


class CurvePoint(Settings):
    """The validation loss after some updates and minutes of steps (None where the record does not tell)."""

    step: int
    minutes: float | None
    loss: float


class SystemResult(Settings):
    """All that was found of one system; None or empty where it was not measured, and `missing` says why."""

    name: str
    architecture: str
    parameters: int | None = None
    updates: int | None = None
    minutes: float | None = None
    quality: dict[str, Quantity] = Field({})
    by_length: tuple[LengthScore, ...] = ()
    cost: dict[str, Quantity] = Field({})
    table: Table | None = None
    recall: tuple[RecallPoint, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    missing: dict[str, str] = Field({})


class Report(Settings):
    """A whole comparison: what `report.json` holds.

    Attributes:
        task: the kind of work.
        facts: machine, versions, date and command.
        recipe: all settings, defaults written out; the seeds are among them.
        systems: what was found, in the order of the recipe.
        failed: systems that could not be trained, and why.
    """

    task: Task
    facts: dict[str, str]
    recipe: dict[str, Any]
    systems: tuple[SystemResult, ...]
    failed: dict[str, str] = Field({})
