"""The `config.json` of a foreign model, read value by value, every feature that ours lacks noted on the way."""

from pathlib import Path
from typing import Any

from attento.errors import DataError

_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object with names and values",
}


class ForeignConfig:
    """A dictionary of settings that remembers what could not be honoured."""

    def __init__(self, values: dict[str, Any], path: Path) -> None:
        """Take the settings, and the file that messages name."""
        self.values, self.path = values, path
        self.problems: list[str] = []

    def get(self, name: str, default: Any = None) -> Any:
        """Return a setting, or the default that Hugging Face's library has for it where the file leaves it out.

        One of another kind than its default is noted, and the default stands for it.
        """
        value = self.values.get(name)
        if value is None:
            return default
        if default is not None and not _is_like(value, default):
            self.problems.append(f"`{name}: {value}` must be {_KINDS[type(default)]}")
            return default
        return value

    def need(self, name: str) -> Any:
        """Return a setting that the file must have; its absence is noted."""
        if self.values.get(name) is None:
            self.problems.append(f"`{name}` is missing")
        return self.values.get(name)

    def number(self, name: str, default: int) -> int:
        """Return a setting that counts or numbers something, or the library's default for it.

        Raises:
            DataError: it is no whole number of 0 or more.
        """
        value = self.values.get(name)
        value = default if value is None else value
        if type(value) is not int or value < 0:
            raise DataError(f"{self.path}: `{name}` must be a whole number, but is {value!r}")
        return value

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

    def expect_architecture(self, *allowed: str) -> None:
        """Note a model that was saved with another head than the ones ours can have; none named is no problem."""
        for name in self.get("architectures", []):
            if name not in allowed:
                self.problems.append(f"`architectures: {name}` is not supported; only {' or '.join(allowed)}")


def _is_like(value: object, default: object) -> bool:
    """Tell whether a setting is of the kind of its default; every whole number is a number."""
    return type(value) is type(default) or (type(value) is int and type(default) is float)
