"""What every probe hands back: numbers for a program, tables and figures for a reader."""

import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import ClassVar

from attento.evaluation.report.forms import page
from attento.evaluation.report.section import Section


@dataclass(frozen=True)
class Result(ABC):
    """What a probe has found in a run; the fields are all its numbers."""

    task: ClassVar[str]
    run: str

    @abstractmethod
    def sections(self) -> tuple[Section, ...]:
        """Return the findings as words, tables and figures."""

    def to_json(self) -> str:
        """Return all numbers as JSON."""
        return json.dumps({"task": self.task} | asdict(self), ensure_ascii=False, indent=2)

    def page(self) -> str:
        """Return words, tables and figures as one HTML page that needs nothing else.

        Raises:
            MissingExtraError: plotly is not installed.
        """
        return page(f"attento probe {self.task}: {self.run}", self.sections())
