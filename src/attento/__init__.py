"""Attento: from n-grams to the Transformer as real software.

    from attento import Translator

    translator = Translator.load("runs/my-run")
    print(translator.translate(["The animal was too tired."])[0].text)

Public names are imported when they are first asked for, so that `import attento` is quick and needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attento.errors import AttentoError
    from attento.translator import Alternative, Translation, Translator

__version__ = "0.1.0"
__all__ = ["Alternative", "AttentoError", "Translation", "Translator", "__version__"]

_HOMES = {
    "Alternative": "attento.translator",
    "AttentoError": "attento.errors",
    "Translation": "attento.translator",
    "Translator": "attento.translator",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module `attento` has no attribute `{name}`")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
