"""`attento generate`: let a language model go on with a text."""

import json
from typing import Annotated

import typer

from attento.cli.console import say
from attento.cli.files import open_output
from attento.cli.options import Device, Engine, Json, RunOrPacked, Seed, Temperature, TopK, TopP, read_sampling

MAX_TOKENS = 200


def generate(
    run: RunOrPacked,
    prompts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PROMPT]...",
            help="Beginnings to go on with, after -- where one begins with a dash; a text from its start if none.",
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-tokens",
            min=1,
            help=f"The most tokens to write; {MAX_TOKENS} by default, or what is left of learned positions.",
            show_default=False,
        ),
    ] = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = None,
    greedy: Annotated[
        bool, typer.Option("--greedy", help="Take the most probable token each time instead of drawing.")
    ] = False,
    count: Annotated[int, typer.Option("--count", min=1, help="Texts to write for each prompt.")] = 1,
    engine: Engine = "auto",
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Continue prompts with a language model.

    Each prompt is printed with what follows it; several texts have a line of dashes between them. With --json, one
    object a line.
    """
    if greedy and (temperature, top_k, top_p, seed) != (None,) * 4:
        raise typer.BadParameter("--temperature, --top-k, --top-p and --seed are for drawing, not for --greedy")
    if greedy and count > 1:
        raise typer.BadParameter("--greedy writes one text for a prompt; --count is for drawing")
    sampling = None if greedy else read_sampling(temperature, top_k, top_p, seed)
    given = prompts or [""]
    from attento.engines.choose import choose_engine
    from attento.engines.writing import load_writer

    choice = choose_engine(run, engine, device)
    if choice.note is not None:
        say(f"note: {choice.note}")
    writer = load_writer(choice, device)
    room = writer.room(given)
    most = max_tokens or max(min(MAX_TOKENS, MAX_TOKENS if room is None else room), 1)
    found = writer.generate(given, max_tokens=most, sampling=sampling, count=count)
    texts = [(prompt, text) for prompt, texts in zip(given, found, strict=True) for text in texts]
    with open_output(None) as file:
        for number, (prompt, text) in enumerate(texts):
            if as_json:
                file.write(json.dumps({"prompt": prompt, "continuation": text}, ensure_ascii=False) + "\n")
            else:
                file.write(("-" * 40 + "\n" if number else "") + f"{prompt}{text}\n")
