"""From a comparison's records to `report.md`, `report.html` and `report.json`."""

from pathlib import Path

import yaml

from attento.comparison.report.results import (
    cost_section,
    curve_section,
    length_section,
    missing_section,
    quality_section,
    recall_section,
)
from attento.comparison.report.table import table_section
from attento.comparison.results import Report
from attento.errors import RunFolderError
from attento.evaluation.report.forms import markdown, page
from attento.evaluation.report.section import Grid, Section

TITLE = "Systems side by side"


def write_report(report: Report, folder: Path) -> Path:
    """Write the report in its three forms, each whole or not at all; return the path of the HTML one.

    Raises:
        MissingExtraError: plotly is not installed.
        RunFolderError: a file cannot be written.
    """
    sections = _sections(report)
    forms = {
        "report.json": report.model_dump_json(indent=2) + "\n",
        "report.md": markdown(TITLE, sections),
        "report.html": page(TITLE, sections),
    }
    for name, text in forms.items():
        place, writing = folder / name, folder / f".{name}.writing"
        try:
            writing.write_text(text, encoding="utf-8", newline="\n")
            writing.replace(place)
        except OSError as problem:
            raise RunFolderError(f"{place}: cannot be written: {problem}") from problem
    return folder / "report.html"


def _sections(report: Report) -> list[Section]:
    made = (
        quality_section(report),
        length_section(report),
        cost_section(report),
        table_section(report),
        recall_section(report),
        curve_section(report),
        missing_section(report),
        _origin(report),
    )
    return [section for section in made if section is not None]


def _origin(report: Report) -> Section:
    budget = ", ".join(f"{name}: {value}" for name, value in report.recipe["budget"].items() if value is not None)
    systems = (
        (name, yaml.safe_dump(tree, default_flow_style=True, width=1000, sort_keys=False).strip())
        for name, tree in report.recipe["systems"].items()
    )
    words = f"Budget of every system: {budget}. All settings stand in report.json."
    return Section(
        "Where these numbers come from",
        words,
        (
            Grid(("what", "is"), tuple(report.facts.items()), of_words=True),
            Grid(("system", "settings of its own"), tuple(systems), of_words=True),
        ),
    )
