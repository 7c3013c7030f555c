"""The names of the files in a run folder, so that every verb finds the same thing in the same place."""

from dataclasses import dataclass
from pathlib import Path

from attento.errors import RunFolderError


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds one training run: its settings, tokenizer, weights, checkpoints and record."""

    path: Path

    @property
    def config(self) -> Path:
        """The complete settings of the run."""
        return self.path / "config.yaml"

    @property
    def weights(self) -> Path:
        """The trained weights."""
        return self.path / "model.safetensors"

    @property
    def packed(self) -> Path:
        """The same weights, with settings and tokenizer, packed for the native engine; made by `attento export`."""
        return self.path / "model.attento"

    @property
    def labels(self) -> Path:
        """The names of the labels in the order of their numbers, a JSON list; of sentence models alone."""
        return self.path / "labels.json"

    @property
    def checkpoints(self) -> Path:
        """What training goes on from after an interruption."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        """One JSON record a line for every report of the training loop."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """The same numbers for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def card(self) -> Path:
        """What the model is, what it was trained on and what it scored."""
        return self.path / "README.md"

    @property
    def prepared(self) -> Path:
        """The training text as ids, when the run prepared it itself."""
        return self.path / "prepared"

    def require(self) -> "RunFolder":
        """Return self when a trained model is in the folder.

        Raises:
            RunFolderError: the folder does not exist or holds no trained model.
        """
        if not self.path.is_dir():
            raise RunFolderError(
                f"{self.path}: no such run folder; `attento train RECIPE --output {self.path}` makes one"
            )
        missing = [file.name for file in (self.config, self.weights) if not file.is_file()]
        if missing:
            raise RunFolderError(
                f"{self.path}: holds no finished model ({', '.join(missing)} missing); "
                "run the same `attento train` command again to finish it"
            )
        return self
