"""The `attento` command: puts the verbs together and turns errors into one line and an exit status.

Exit status: 0 done · 1 the work failed (text, files, run folder, training) · 2 the command or a setting is wrong ·
130 interrupted. Verbs import what is heavy inside themselves, so that `attento --help` answers at once.
"""

import gc
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from keyword import iskeyword
from typing import Annotated, Any, NoReturn, cast

import typer
from typer.core import TyperGroup

from attento import __version__
from attento.cli.console import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_WRONG_USE, say, say_error
from attento.errors import AttentoError, ConfigError, MissingExtraError

# Which extra brings a package that the core does without.
EXTRA_OF = {
    "torch": "train",
    "jaxtyping": "train",
    "tensorboard": "train",
    "zstandard": "zstd",
    "plotly": "compare",
    "attento_native": "native",
}

VERBS = (
    "demo",
    "prepare",
    "train",
    "translate",
    "generate",
    "embed",
    "evaluate",
    "inspect",
    "probe",
    "compare",
    "import",
    "export",
    "bench",
    "info",
    "doctor",
)


class _Commands(Mapping[str, Any]):
    """The verbs by name, each made when it is asked for: one verb does not wait for the imports of the others."""

    def __getitem__(self, name: str) -> Any:
        if name not in VERBS:
            raise KeyError(name)
        # Python keeps the word `import` for itself.
        word = f"{name}_" if iskeyword(name) else name
        verb = typer.Typer(add_completion=False)
        verb.command(name)(getattr(import_module(f"attento.cli.{word}"), word))
        return typer.main.get_command(verb)

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


class _Verbs(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = cast(MutableMapping[str, Any], _Commands())

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


app = typer.Typer(
    name="attento",
    cls=_Verbs,
    help="Train translation and language models on your text, use them, measure, look inside.",
    epilog="Exit status: 0 done, 1 the work failed, 2 the command or a setting is wrong, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> bool:
    if wanted:
        print(f"attento {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _attento(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Train translation and language models on your text, use them, measure, look inside."""


def main() -> NoReturn:
    """Run the command line and leave with its exit status; an `AttentoError` is told without a traceback."""
    try:
        _run()
    except AttentoError as problem:
        say_error(str(problem))
        sys.exit(EXIT_WRONG_USE if isinstance(problem, ConfigError) else EXIT_FAILED)
    except ModuleNotFoundError as problem:
        if problem.name not in EXTRA_OF:
            raise
        say_error(str(MissingExtraError(problem.name, EXTRA_OF[problem.name])))
        sys.exit(EXIT_FAILED)
    except OSError as problem:
        # What no floor below could name better: most often a full disk behind stdout.
        place = "standard output" if problem.filename is None else problem.filename
        say_error(f"{place}: {problem.strerror or problem}")
        sys.exit(EXIT_FAILED)
    except SystemExit as leaving:
        # Typer swallows Ctrl-C into this status without a word.
        if leaving.code == EXIT_INTERRUPTED:
            say("interrupted")
        raise
    sys.exit(0)


def _run() -> None:
    try:
        app()
    finally:
        if sys.stdout is not None:
            _flush_stdout()
        # All memory goes back at once now; to search it for garbage first takes longer than to translate a sentence.
        gc.freeze()


def _flush_stdout() -> None:
    """Write out what stdout still holds, while an error can be told; what cannot be written is given up."""
    try:
        sys.stdout.flush()
    except OSError:
        # Python would try again on its way out, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
