"""The whole comparison: prepare once, train each, measure each, write the report."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from attento.comparison.facts import gather_facts
from attento.comparison.ladder import check_systems, climb, prepare_once
from attento.comparison.measure import Measurer
from attento.comparison.recipe import Comparison
from attento.comparison.report.write import write_report
from attento.comparison.results import Report, SystemResult
from attento.config import dump_settings
from attento.errors import ConfigError, RunFolderError
from attento.evaluation.report.forms import plotly_script
from attento.training.process import folder_to_itself

Say = Callable[[str], None]

RECIPE_FILE = "comparison.yaml"
_PREPARED = "prepared"


@dataclass(frozen=True)
class Outcome:
    """What came of a comparison: where the report is (None where training was interrupted), and what failed."""

    report: Path | None
    failed: dict[str, str]


def compare(comparison: Comparison, only: list[str], output: Path, command: str, say: Say) -> Outcome:
    """Make a comparison in a folder, or go on there.

    The folder holds `prepared/` (the text), `runs/NAME/` (a run folder each), `measured/NAME.json` and the report. The
    report tells of the systems that were asked for, and of others that an earlier call has measured.

    Args:
        comparison: all systems of the recipe.
        only: names of those to train and measure now; empty for all.
        output: the folder.
        command: the command line that the report shows.
        say: tells a person what goes on.

    Raises:
        ConfigError: a setting is wrong, or a system does not fit the text or the budget; nothing is trained then.
        DataError: the text cannot be prepared.
        MissingExtraError: plotly is not installed.
        RunFolderError: the folder holds something else, or cannot be written.
    """
    chosen = comparison.only(only)
    _check_test(comparison)
    # What the report needs shall be missed before the long work, not after.
    plotly_script()
    _check_folder(output)
    with folder_to_itself(output):
        (output / RECIPE_FILE).write_text(dump_settings(comparison.config), encoding="utf-8")
        corpus = prepare_once(comparison, output / _PREPARED, say)
        check_systems(chosen, corpus)
        climbed = climb(chosen, output, say, Console(stderr=True))
        if climbed.interrupted:
            return Outcome(None, climbed.failed)
        measurer = Measurer(comparison.config, corpus, comparison.data_root, output, say)
        results: list[SystemResult] = []
        for name, config in comparison.systems.items():
            if name in chosen.systems and name not in climbed.failed:
                results.append(measurer.result(name, config))
            elif (known := measurer.known(name, config)) is not None:
                results.append(known)
        task = next(iter(comparison.systems.values())).data.task
        report = Report(
            task=task,
            facts=gather_facts(command),
            recipe=comparison.config.model_dump(mode="json"),
            systems=tuple(results),
            failed=climbed.failed,
        )
        return Outcome(write_report(report, output), climbed.failed)


def _check_test(comparison: Comparison) -> None:
    measure = comparison.config.measure
    data = next(iter(comparison.systems.values())).data
    if data.test is None and (measure.quality is not None or measure.cost is not None):
        raise ConfigError("`measure.quality` and `measure.cost` need `data.test`; name a test set, or set both to null")


def _check_folder(output: Path) -> None:
    """Refuse a folder that holds something that no comparison has put there."""
    if not output.is_dir() or (output / RECIPE_FILE).is_file():
        return
    if any(each.name != _PREPARED and not each.name.startswith(".") for each in output.iterdir()):
        raise RunFolderError(f"{output}: is not empty and holds no comparison; choose another --output")
