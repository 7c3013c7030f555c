"""`attento demo`: the whole road in two minutes, on a language that comes with the package."""

import shlex
import shutil
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attento.cli.console import EXIT_INTERRUPTED, say, show_table
from attento.errors import InputError

if TYPE_CHECKING:
    from attento.synthetic import Example
    from attento.translator import Translator

SEED = 20170612
TRAIN, VALIDATION, TEST = 30_000, 200, 500
# Never trained on: what "it" means decides the French pronoun and the ending of the adjective.
SHOWN = {
    "The animal didn't cross the street because it was too tired.":
        "L'animal n'a pas traversé la rue parce qu'il était trop fatigué.",
    "The animal didn't cross the street because it was too wide.":
        "L'animal n'a pas traversé la rue parce qu'elle était trop large.",
}  # fmt: skip


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the text and the run go.")
    ] = Path("runs/demo"),
) -> None:
    """Train a small Transformer on the embedded English-French language and translate with it."""
    say(f"== 1. Text: {TRAIN:,} sentences of a small English-French language, {TEST} more to test on")
    text = output / "text"
    try:
        test = _write_text(text)
    except OSError as problem:
        raise InputError(f"{text}: cannot be written: {problem.strerror}; choose another --output") from problem
    say(f"   e.g. {test[0].english}  ->  {test[0].french}")
    say("== 2. Training: the Transformer of the paper, small")
    if not _train(text, output / "run"):
        raise typer.Exit(EXIT_INTERRUPTED)
    from attento.translator import Translator

    translator = Translator.load(output / "run")
    say(f"== 3. Scores on {TEST} sentences it has not seen")
    _score(translator, test)
    say("== 4. What does `it` mean?")
    for translation, expected in zip(translator.translate(list(SHOWN)), SHOWN.values(), strict=True):
        verdict = "right" if translation.text == expected else f"should be: {expected}"
        print(f"{translation.source}\n  -> {translation.text}  ({verdict})")
    say(_next_steps(output))


def _write_text(folder: Path) -> "list[Example]":
    from attento.synthetic import split

    folder.mkdir(parents=True, exist_ok=True)
    train, held_out = split(SEED, TRAIN, TEST + VALIDATION, exclude=list(SHOWN))
    parts = {"train": train, "test": held_out[:TEST], "validation": held_out[TEST:]}
    for name, examples in parts.items():
        for language, lines in (("en", [e.english for e in examples]), ("fr", [e.french for e in examples])):
            (folder / f"{name}.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    with (files("attento.cli") / "demo.yaml").open("rb") as source, (folder / "recipe.yaml").open("wb") as target:
        shutil.copyfileobj(source, target)
    return parts["test"]


def _train(text: Path, run: Path) -> bool:
    from attento.training.run import load_recipe, train

    return train(load_recipe(text / "recipe.yaml", text), run, say)


def _score(translator: "Translator", test: "list[Example]") -> None:
    from attento.evaluation import evaluate_translations
    from attento.synthetic import pronoun_agreement

    translations = [each.text for each in translator.translate([e.english for e in test], split_sentences=False)]
    report = evaluate_translations(translations, [e.french for e in test], target_language="fr")
    exact = sum(t == e.french for t, e in zip(translations, test, strict=True)) / len(test)
    agreement = pronoun_agreement(test, translations)
    rows = [
        ["BLEU", f"{report.bleu.value:.1f}"],
        ["pronoun agreement", f"{agreement:.1%}"],
        ["exactly the reference", f"{exact:.1%}"],
    ]
    show_table(["measure", "score"], rows, numbers=["score"])


def _next_steps(output: Path) -> str:
    run, text, recipe = (shlex.quote(str(output / name)) for name in ("run", "text", "text/recipe.yaml"))
    return f"""== Now your own text
   attento translate {run} "The cat is hungry."
   attento train {recipe} --data {text} --output runs/mine --set training.max_steps=2000
   # For your corpora, copy that recipe, name your files and languages in it, and run it in the same way:
   attento train my.yaml --data FOLDER-OF-YOUR-TEXT --output runs/my
   attento evaluate runs/my --source test.en --reference test.fr"""
