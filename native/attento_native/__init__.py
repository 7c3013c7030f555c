"""The C++ engine of Attento: maps a packed model file and translates ids to ids. Knows no text."""

from attento_native._native import Engine, FileError, SearchSettings, available_kernels, read_rate

__all__ = ["Engine", "FileError", "SearchSettings", "available_kernels", "read_rate"]
