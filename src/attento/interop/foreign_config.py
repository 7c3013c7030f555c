"""The `config.json` of a foreign model, read value by value, every feature that ours lacks noted on the way."""

from pathlib import Path
from typing import Any


class ForeignConfig:
    """A dictionary of settings that remembers what could not be honoured."""

    def __init__(self, values: dict[str, Any], path: Path) -> None:
        """Take the settings, and the file that messages name."""
        self.values, self.path = values, path
        self.problems: list[str] = []

    def get(self, name: str, default: Any = None) -> Any:
        """Return a setting, or the default that Hugging Face's library has for it where the file leaves it out."""
        value = self.values.get(name)
        return default if value is None else value

    def need(self, name: str) -> Any:
        """Return a setting that the file must have; its absence is noted."""
        if self.values.get(name) is None:
            self.problems.append(f"`{name}` is missing")
        return self.values.get(name)

    def expect(self, name: str, *allowed: Any, default: Any) -> None:
        """Note a setting that asks for what our parts cannot do.

        Args:
            name: the setting.
            allowed: the values that can be honoured.
            default: the value that Hugging Face's library has for it where the file leaves it out.
        """
        value = self.get(name, default)
        if value not in allowed:
            self.problems.append(f"`{name}: {value}` is not supported; only {' or '.join(map(str, allowed))}")
