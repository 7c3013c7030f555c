"""A run as the model file of the native engine: one file, packed for its processor instructions, mapped as it is.

Matrices are in int8, bfloat16 or float32; whatever else there is stays in float32.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from attento.engines.packed.file import PackedModel, read_packed, write_packed
from attento.engines.packed.inside import CONFIG
from attento.engines.packed.panels import ComputeType, StoredTensor, store
from attento.engines.reference.model import ReferenceModel, State
from attento.engines.task import Task
from attento.interop.export.base import EXACT, NEVER_WRITTEN, ROUNDED, Exporter, Runner, TrainedModel, misfits
from attento.interop.export.native_tensors import NativeConfig, NativeTensors, head_widths, native_settings
from attento.interop.export.stepping import StepRunner
from attento.nn.names import Gated, Plain
from attento.run_folder import RunFolder
from attento.setting_trees import read_yaml
from attento.text.special import EOS_ID
from attento.text.tokenizer import TokenizerPair

# The settings that the engine has in part.
_ALLOWED: dict[str, Sequence[Any]] = {
    "scores": ("scaled", "unscaled"),
    "projections": (True,),
    "sliding_window": (None,),
    "feed_forward": (*get_args(Plain), *get_args(Gated)),
    "residual": (True,),
    "normalization": ("layer", "rms"),
}
# Its instructions take so many features of a head at once.
_STEP = 8


class NativeExporter(Exporter):
    """Writes `model.attento`: settings, weights, and the files that text is read and written by."""

    packages = ()
    # Numpy reads it again, a sentence at a time.
    enough = 10

    def __init__(self, compute_type: ComputeType = "int8") -> None:
        """Choose the numbers of the matrices."""
        self.compute_type: ComputeType = compute_type
        self.criterion = EXACT if compute_type == "fp32" else ROUNDED

    def problems(self, run: TrainedModel) -> list[str]:
        """Return every setting that the engine does not have."""
        config = run.config
        if not isinstance(config, NativeConfig):
            return [
                f"`model.architecture: {config.architecture}`: only translation by `transformer` or `decoder_only` and "
                "language modelling by `decoder_only` can be written"
            ]
        found = misfits(config, _ALLOWED, "the native format")
        for name, width in zip(("d_key", "d_value"), head_widths(config), strict=True):
            if width % _STEP:
                found.append(
                    f"`model.{name}`: one head is {width} wide, but must be a multiple of {_STEP} wide in the native "
                    "format"
                )
        return found

    def write(self, run: TrainedModel, folder: Path) -> None:
        """Write the one file."""
        config = run.config
        assert isinstance(config, NativeConfig)
        tensors = NativeTensors(config, run.model.state_dict(), self.compute_type).made
        settings = native_settings(run, config, self.compute_type)
        write_packed(RunFolder(folder).packed, settings, tensors | _files(run))

    def reread(self, folder: Path) -> Runner:
        """Load the file in numpy."""
        return _NativeRunner(read_packed(RunFolder(folder).packed))


def _files(run: TrainedModel) -> dict[str, StoredTensor]:
    """Return the settings of the run and its tokenizers, as they lie in a run folder."""
    # JSON is YAML too, and read in no time.
    files = {CONFIG: json.dumps(read_yaml(RunFolder(run.path).config), ensure_ascii=False).encode()}
    with TemporaryDirectory() as place:
        run.tokenizers.save(Path(place))
        files |= {path.name: path.read_bytes() for path in sorted(Path(place).iterdir())}
    return {f"file:{name}": store(np.frombuffer(data, np.uint8)) for name, data in files.items()}


class _NativeRunner(StepRunner[State]):
    def __init__(self, packed: PackedModel) -> None:
        self._model = ReferenceModel(packed)
        translates = self._model.settings.architecture != "language_model"
        with TemporaryDirectory() as place:
            for name in packed.files:
                (Path(place) / name).write_bytes(packed.file(name))
            tokenizer = TokenizerPair.load(Path(place)).source
        task: Task = "translation" if translates else "language_modeling"
        super().__init__(tokenizer, NEVER_WRITTEN[task], translates=translates)

    def _start(self, source: Sequence[int]) -> State:
        if not self._translates:
            return self._model.start()
        return self._model.encode(np.array([*source, EOS_ID]))[1]

    def _step(self, tokens: Sequence[int], state: State) -> tuple[NDArray[np.float32], State]:
        logits, state = self._model.decode(np.array([tokens]), state)
        return logits[0], state
