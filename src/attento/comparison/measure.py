"""All measurements of one trained system, kept in a file of its own so that no call measures again what is known."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from pydantic import ValidationError

from attento.comparison.complexity import measure_table
from attento.comparison.config import CompareConfig
from attento.comparison.cost import kept_per_token, peak_memory
from attento.comparison.curves import learning_curve, minutes_of_steps, read_records, training_speed
from attento.comparison.ladder import count_parameters, fresh_model
from attento.comparison.probe import is_measurable
from attento.comparison.quality.base import Examination, Quality, Subject
from attento.comparison.quality.choose import examination_of
from attento.comparison.recall import measure_recall
from attento.comparison.results import Quantity, RecallPoint, SystemResult, Table, Task
from attento.config import Settings
from attento.device import choose_device
from attento.engines.loading import load_weights
from attento.errors import AttentoError
from attento.run_folder import RunFolder
from attento.training.config import RecipeConfig
from attento.training.process import keep_freed_memory, use_available_cores
from attento.training.run import Recipe
from attento.training.tasks.base import Corpus

Say = Callable[[str], None]
_Made = TypeVar("_Made")

_COUNTS = "it counts n-grams, and no gradient flows through it"


class _Kept(Settings):
    """What the file holds: the result, and a hash of the model and the settings that it was measured with."""

    key: str
    result: SystemResult


class Measurer:
    """Measures the systems of a comparison."""

    def __init__(self, config: CompareConfig, corpus: Corpus, data_root: Path, folder: Path, say: Say) -> None:
        self._measure, self._corpus, self._data_root = config.measure, corpus, data_root
        self._folder, self._say = folder, say
        keep_freed_memory()
        use_available_cores()

    def result(self, name: str, config: RecipeConfig) -> SystemResult:
        """Return what is known of a system, measured anew where model or settings are others than they were."""
        known = self.known(name, config)
        if known is not None:
            return known
        self._say(f"{name}: measuring ...")
        result = _Measurement(self, name, config).result()
        place = self._place(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(
            _Kept(key=self._key(name, config), result=result).model_dump_json(indent=2) + "\n", encoding="utf-8"
        )
        return result

    def known(self, name: str, config: RecipeConfig) -> SystemResult | None:
        """Return what an earlier call found of a system, where model and settings are still the same."""
        try:
            kept = _Kept.model_validate_json(self._place(name).read_bytes())
        except (OSError, ValidationError):
            return None  # not there, cut off or of an earlier make: it is measured anew
        return kept.result if kept.key == self._key(name, config) else None

    def _place(self, name: str) -> Path:
        return self._folder / "measured" / f"{name}.json"

    def _key(self, name: str, config: RecipeConfig) -> str:
        weights = RunFolder(self._folder / "runs" / name).weights
        content = hashlib.sha256(weights.read_bytes() if weights.is_file() else b"")
        for settings in (self._measure, config):
            content.update(settings.model_dump_json().encode())
        return content.hexdigest()


class _Measurement:
    """One system's measurements; one that cannot be made is left out, and why is kept."""

    def __init__(self, measurer: Measurer, name: str, config: RecipeConfig) -> None:
        self.settings, self.corpus, self.data_root = measurer._measure, measurer._corpus, measurer._data_root
        self.name, self.config, self.say = name, config, measurer._say
        self.run = RunFolder(measurer._folder / "runs" / name)
        self.device = choose_device(config.training.device)
        self.missing: dict[str, str] = {}

    def result(self) -> SystemResult:
        records = read_records(self.run.metrics)
        examination = self._attempt("quality", self._examination)
        quality = self._attempt("quality", lambda: self._quality(examination))
        return SystemResult(
            name=self.name,
            architecture=self.config.model.architecture,
            parameters=count_parameters(self.config, self.corpus),
            updates=max((each["step"] for each in records), default=None),
            minutes=minutes_of_steps(records),
            quality={} if quality is None else quality.scores,
            by_length=() if quality is None else quality.by_length,
            cost=self._cost(examination, training_speed(records)),
            table=self._attempt("table", self._table),
            recall=self._attempt("recall", self._recall) or (),
            curve=learning_curve(records),
            missing=self.missing,
        )

    def _attempt(self, what: str, make: Callable[[], _Made | None]) -> _Made | None:
        try:
            return make()
        except AttentoError as problem:
            self.missing[what] = str(problem)
            self.say(f"{self.name}: {what} not measured: {problem}")
            return None

    def _examination(self) -> Examination | None:
        if self.settings.quality is None and self.settings.cost is None:
            return None
        model = fresh_model(self.config, self.corpus)
        load_weights(model, self.run.weights)
        subject = Subject(self.config, self.corpus, model.to(self.device), self.device, self.data_root)
        task = cast(Task, self.config.data.task)  # no other is let in
        return examination_of(task)(subject, self.settings.batch_tokens)

    def _quality(self, examination: Examination | None) -> Quality | None:
        if examination is None or self.settings.quality is None:
            return None
        return examination.quality(self.settings.quality, self.settings.seed)

    def _cost(self, examination: Examination | None, speed: Quantity | None) -> dict[str, Quantity]:
        settings = self.settings.cost
        if settings is None:
            return {}
        recipe = Recipe(self.config, self.data_root, self.run.path.parent.parent / "prepared")
        found = {"training_tokens_per_second": speed}
        if examination is not None:
            found[examination.speed_name] = self._attempt("speed", lambda: examination.speed(settings))
        found["peak_memory"] = self._attempt(
            "peak memory", lambda: peak_memory(recipe, self.run.path, settings.memory_steps)
        )
        model = fresh_model(self.config, self.corpus)
        return {name: quantity for name, quantity in found.items() if quantity is not None} | kept_per_token(model)

    def _table(self) -> Table | None:
        settings = self.settings.table
        model = None if settings is None else fresh_model(self.config, self.corpus)
        if settings is None or model is None:
            return None
        if not is_measurable(model):
            self.missing["table"] = _COUNTS
            return None
        table = measure_table(model, settings, self.device)
        if table is None:
            self.missing["table"] = "it takes fewer than two of the lengths"
        return table

    def _recall(self) -> tuple[RecallPoint, ...] | None:
        settings = self.settings.recall
        if settings is None:
            return None
        if not is_measurable(fresh_model(self.config, self.corpus)):
            self.missing["recall"] = _COUNTS
            return None
        return measure_recall(settings, self.config.model, self.settings.seed, self.device)
