"""The exceptions a user of Attento can meet.

    AttentoError
    ├── ConfigError       a setting, flag or recipe is wrong
    ├── DataError         a text file, corpus or prepared folder is wrong
    ├── RunFolderError    a run folder or checkpoint is missing, damaged or of another make
    ├── TrainingError     a training run cannot go on
    ├── InputError        what was given to translate or evaluate cannot be used
    ├── ExportError       a run cannot be said in another format, or what was written is not the same model
    └── MissingExtraError a part of the package that is not installed is needed

Every message names the file, line or setting and the way out. The command line prints the message alone; a
programmer catches `AttentoError`.
"""


class AttentoError(Exception):
    """Base of every error that Attento raises on purpose."""


class ConfigError(AttentoError):
    """A setting, flag or recipe is wrong."""


class DataError(AttentoError):
    """A text file, corpus or prepared folder cannot be used as it is."""


class RunFolderError(AttentoError):
    """A run folder or one of its checkpoints is missing, damaged or of another make."""


class TrainingError(AttentoError):
    """A training run cannot go on."""


class InputError(AttentoError):
    """What was given to translate or to evaluate cannot be used."""


class ExportError(AttentoError):
    """A run cannot be said in a format, or what was written does not do what the run does."""


class MissingExtraError(AttentoError):
    """A part of Attento that is not installed is needed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"This needs the package `{package}`. Install it with: pip install 'attento[{extra}]'")
