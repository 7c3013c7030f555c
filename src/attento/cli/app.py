"""The `attento` command: puts the verbs together and turns errors into one line and an exit status.

Exit status: 0 done · 1 the work failed (text, files, run folder, training) · 2 the command or a setting is wrong ·
130 interrupted. Verbs import what is heavy inside themselves, so that `attento --help` answers at once.
"""

import os
import sys
from typing import Annotated, NoReturn

import typer

from attento import __version__
from attento.cli.compare import compare
from attento.cli.console import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_WRONG_USE, say, say_error
from attento.cli.demo import demo
from attento.cli.doctor import doctor
from attento.cli.embed import embed
from attento.cli.evaluate import evaluate
from attento.cli.export import export
from attento.cli.generate import generate
from attento.cli.import_ import import_
from attento.cli.info import info
from attento.cli.inspect import inspect
from attento.cli.prepare import prepare
from attento.cli.probe import probe
from attento.cli.train import train
from attento.cli.translate import translate
from attento.errors import AttentoError, ConfigError, MissingExtraError

# Which extra brings a package that the core does without.
EXTRA_OF = {"torch": "train", "jaxtyping": "train", "tensorboard": "train", "zstandard": "zstd", "plotly": "compare"}

app = typer.Typer(
    name="attento",
    help="Train translation and language models on your text, use them, measure, look inside.",
    epilog="Exit status: 0 done, 1 the work failed, 2 the command or a setting is wrong, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
VERBS = (
    demo,
    prepare,
    train,
    translate,
    generate,
    embed,
    evaluate,
    inspect,
    probe,
    compare,
    import_,
    export,
    info,
    doctor,
)
for verb in VERBS:
    # Python keeps the word `import` for itself.
    app.command(verb.__name__.removesuffix("_"))(verb)


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


def _flush_stdout() -> None:
    """Write out what stdout still holds, while an error can be told; what cannot be written is given up."""
    try:
        sys.stdout.flush()
    except OSError:
        # Python would try again on its way out, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
