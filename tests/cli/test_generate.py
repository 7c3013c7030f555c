"""`attento generate`: the same as the engine, with the prompt before what follows."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from attento.cli.app import app
from attento.decoding.config import SamplingConfig
from attento.engines.language import LanguageEngine
from attento.errors import ConfigError, InputError, RunFolderError

PROMPTS = ["a cloud", "a bridge\nand"]


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["generate", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(params=["language_run", "ngram_run"])
def any_run(request: pytest.FixtureRequest) -> Path:
    path = request.getfixturevalue(request.param)
    assert isinstance(path, Path)
    return path


def test_prompt_and_what_follows(any_run: Path) -> None:
    result = invoke(any_run, PROMPTS[1], "--max-tokens", "31", "--greedy")
    assert result.exit_code == 0, result.output
    [[text]] = LanguageEngine.load(any_run).generate(PROMPTS[1:], max_tokens=31)
    assert result.stdout == f"{PROMPTS[1]}{text}\n"
    assert 0 < len(text) <= 31


def test_several_texts_have_a_line_between_them(any_run: Path) -> None:
    result = invoke(any_run, *PROMPTS, "--max-tokens", "23", "--count", "2")
    found = LanguageEngine.load(any_run).generate(PROMPTS, max_tokens=23, sampling=SamplingConfig(), count=2)
    texts = [prompt + text for prompt, texts in zip(PROMPTS, found, strict=True) for text in texts]
    assert len(set(texts)) == 4
    assert result.stdout == ("-" * 40 + "\n").join(f"{text}\n" for text in texts)


def test_sampling_flags_reach_the_draw(language_run: Path) -> None:
    flags = ("--temperature", "0.7", "--top-k", "5", "--top-p", "0.8", "--seed", "11", "--json")
    records = [json.loads(line) for line in invoke(language_run, *PROMPTS, *flags).stdout.splitlines()]
    sampling = SamplingConfig(temperature=0.7, top_k=5, top_p=0.8, seed=11)
    found = LanguageEngine.load(language_run).generate(PROMPTS, max_tokens=200, sampling=sampling)
    assert records == [{"prompt": p, "continuation": text} for p, [text] in zip(PROMPTS, found, strict=True)]


def test_without_a_prompt_a_text_begins(ngram_run: Path) -> None:
    result = invoke(ngram_run, "--max-tokens", "13", "--greedy")
    assert result.stdout == LanguageEngine.load(ngram_run).generate([""], max_tokens=13)[0][0] + "\n"
    # Every line of its text begins so.
    assert result.stdout.startswith("a ")


def test_the_packed_model_writes_the_same_and_no_further(packed_language_run: Path) -> None:
    flags = ("--engine", "reference", "--count", "2", "--seed", "7")
    expected = invoke(packed_language_run, *PROMPTS, "--count", "2", "--seed", "7", "--engine", "torch")
    assert len(expected.stdout) > 4 * 7
    for path in (packed_language_run, packed_language_run / "model.attento"):
        assert invoke(path, *PROMPTS, *flags).stdout == expected.stdout


def test_an_engine_that_cannot_run_the_model_is_told_with_the_one_that_can(language_run: Path) -> None:
    with pytest.raises(ConfigError, match=r"reference engine do not run `model\.architecture: rnn`; torch does"):
        invoke(language_run, "a", "--engine", "native")


@pytest.mark.parametrize(
    "flags",
    [("--greedy", "--seed", "3"), ("--greedy", "--top-p", "0.5"), ("--greedy", "--count", "2"), ("--max-tokens", "0")],
)
def test_flags_that_do_not_go_together_are_wrong_use(language_run: Path, flags: tuple[str, ...]) -> None:
    assert invoke(language_run, "a", *flags).exit_code == 2


def test_values_out_of_range_are_named(language_run: Path) -> None:
    with pytest.raises(ConfigError, match=r"sampling flags: `top_p`"):
        invoke(language_run, "a", "--top-p", "1.5")


def test_half_a_character_is_told(language_run: Path) -> None:
    with pytest.raises(InputError, match="not valid Unicode"):
        invoke(language_run, "a \ud800")


@pytest.mark.parametrize(
    ("which", "told"),
    [
        ("run", r"`model\.architecture: transformer`.*`attento translate`"),
        ("label_run", "`attento evaluate --labelled"),
    ],
)
def test_a_run_of_another_task_is_told_with_the_right_verb(
    request: pytest.FixtureRequest, which: str, told: str
) -> None:
    with pytest.raises(RunFolderError, match=told):
        invoke(request.getfixturevalue(which), "a")


def test_by_default_no_more_is_written_than_the_model_has_positions_for(
    language_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []
    generate = LanguageEngine.generate

    def watched(self: LanguageEngine, prompts: list[str], *, max_tokens: int, **settings: Any) -> list[list[str]]:
        limits.append(max_tokens)
        return generate(self, prompts, max_tokens=min(max_tokens, 3), **settings)

    monkeypatch.setattr(LanguageEngine, "generate", watched)
    prompt = len(LanguageEngine.load(language_run).tokenizer.encode("the sea"))
    assert invoke(language_run, "the sea").exit_code == 0
    load = LanguageEngine.load.__func__  # type: ignore[attr-defined]

    def limited(cls: type[LanguageEngine], *arguments: Any) -> LanguageEngine:
        engine: LanguageEngine = load(cls, *arguments)
        engine.model.max_length = 31
        return engine

    monkeypatch.setattr(LanguageEngine, "load", classmethod(limited))
    assert invoke(language_run, "the sea").exit_code == 0
    assert limits == [200, 31 - 1 - prompt]
