"""The README and the docs: commands parse, links lead somewhere, examples run, the tables of settings are true."""

import dataclasses
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
import yaml
from pydantic_core import PydanticUndefined
from typer.testing import CliRunner

from attento.cli.app import app
from attento.config import Settings
from attento.data.denoising.config import DenoisingDataConfig
from attento.data.labels.config import LabelDataConfig, LabelledCorpusConfig
from attento.data.masked.config import MaskedDataConfig
from attento.data.pairs.config import CorpusConfig, DataConfig
from attento.data.stream.config import StreamDataConfig, TextCorpusConfig, TextDataConfig
from attento.decoding.config import SearchConfig
from attento.models.classification.config import ClassifierConfig
from attento.models.config import (
    ClassifierModelConfig,
    LanguageModelConfig,
    MaskedModelConfig,
    ModelConfig,
    TranslationModelConfig,
)
from attento.models.language.config import NeuralConfig
from attento.models.presets import PRESETS
from attento.models.stack_config import StackConfig
from attento.models.translation.config import TransformerConfig, TranslationConfig
from attento.plain_settings import PlainSettings
from attento.training.config import RecipeConfig, TrainingConfig
from attento.training.run import load_recipe, train

PROJECT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    "docs/guide.md",
    "docs/models.md",
    "docs/compare.md",
    "docs/import.md",
    "docs/export.md",
    "docs/inside.md",
    "CONTRIBUTING.md",
)
COMMANDS = typer.main.get_command(app)

_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(attento [^`]+)`")
_LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")


def page(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return [text for kind, text in _BLOCK.findall(page(name)) if kind == language]


def shell_lines() -> Iterator[tuple[str, str]]:
    for name in PAGES:
        for block in blocks(name, ""):
            for line in block.replace("\\\n", " ").splitlines():
                if line.strip():
                    yield name, line.strip()


def commands_in_blocks() -> list[tuple[str, str]]:
    return [(name, line) for name, line in shell_lines() if line.split()[0] == "attento"]


def commands_in_text() -> list[tuple[str, str]]:
    return [(name, line) for name in PAGES for line in _INLINE.findall(_BLOCK.sub("", page(name)))]


def verb_of(words: list[str]) -> Any:
    assert words[0] == "attento"
    assert words[1] in COMMANDS.commands, f"there is no verb {words[1]}"
    return COMMANDS.commands[words[1]]


@pytest.mark.parametrize(("name", "line"), commands_in_blocks())
def test_commands_are_complete_and_right(name: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    # Parsed and checked as if typed, and not run.
    verb_of(words).make_context(words[1], words[2:])
    assert all((PROJECT / word).is_file() for word in words if word.startswith("recipes/"))


@pytest.mark.parametrize(("name", "line"), commands_in_text())
def test_commands_that_are_mentioned_have_verbs_and_flags_that_exist(name: str, line: str) -> None:
    words = shlex.split(line)
    if words[1] == "--help":
        return
    verb = verb_of(words)
    context = verb.make_context(words[1], [], resilient_parsing=True)
    context.resilient_parsing = False
    verb.make_parser(context).parse_args(words[2:])


def test_there_are_commands_to_check() -> None:
    verbs = {shlex.split(line, comments=True)[1] for _, line in commands_in_blocks() + commands_in_text()}
    assert verbs == set(COMMANDS.commands)


@pytest.mark.parametrize(("name", "line"), [each for each in shell_lines() if each[1].startswith(("make ", "python "))])
def test_other_commands_name_what_is_there(name: str, line: str) -> None:
    program, what, *_ = shlex.split(line, comments=True)
    if program == "make":
        assert re.search(rf"^{re.escape(what)}:", page("Makefile"), re.MULTILINE)
    else:
        assert (PROJECT / what).is_file()


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    ("name", "target"),
    [
        (name, target)
        for name in (*PAGES, "docs/speed.md", "CHANGELOG.md")
        for target in _LINK.findall(_BLOCK.sub("", page(name)))
        if not target.startswith(("http://", "https://"))
    ],
)
def test_links_lead_somewhere(name: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    file = (PROJECT / name).parent / path if path else PROJECT / name
    assert file.is_file()
    if anchor:
        assert anchor in anchors(file.read_text(encoding="utf-8"))


def minimal_recipe() -> dict[str, Any]:
    (block,) = blocks("README.md", "yaml")
    return dict(yaml.safe_load(block))


def test_the_least_recipe_is_one_and_its_preset_is_the_paper_base_model() -> None:
    settings = RecipeConfig.model_validate(minimal_recipe())
    assert isinstance(settings.model, TransformerConfig)
    assert (settings.model.d_model, settings.model.d_ff, settings.model.encoder_layers) == (512, 2048, 6)
    assert settings.training.max_steps == minimal_recipe()["training"]["max_steps"]


def _merged(tree: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = tree | changes
    for key in tree.keys() & changes.keys():
        if isinstance(tree[key], dict) and isinstance(changes[key], dict):
            merged[key] = _merged(tree[key], changes[key])
    return merged


@pytest.mark.parametrize("block", blocks("docs/guide.md", "yaml"))
def test_recipes_in_the_guide_are_right(block: str) -> None:
    part = yaml.safe_load(block)
    whole = "task" in part.get("data", {})
    RecipeConfig.model_validate(part if whole else _merged(minimal_recipe(), part))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder made by the README's least recipe, in small."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "my.yaml").write_text(blocks("README.md", "yaml")[0], encoding="utf-8")
    lines = [f"{animal} {number}" for animal in ("Wolf", "Zebra", "Otter", "Panda") for number in range(11)]
    for name in ("train", "val"):
        for language, article in (("en", "the"), ("de", "das")):
            text = "".join(f"{article} {line}\n" for line in lines[: None if name == "train" else 7])
            (folder / f"{name}.{language}").write_text(text, encoding="utf-8")
    small = {
        "data.tokenizer.vocab_size": 307,
        "model.encoder_layers": 1,
        "model.decoder_layers": 1,
        "model.d_model": 12,
        "model.d_ff": 17,
        "model.num_heads": 3,
        "search.max_extra_length": 3,
        "training.max_steps": 2,
        "training.tokens_per_step": 211,
    }
    recipe = load_recipe(folder / "my.yaml", folder, [f"{name}={value}" for name, value in small.items()])
    assert train(recipe, folder / "run", say=[].append)
    return folder / "run"


@pytest.mark.parametrize("name", ["README.md", "docs/guide.md"])
def test_python_examples_run(name: str, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks(name, "python")
    assert example.count('"runs/demo/run"') == 1
    # Warnings are errors here as everywhere.
    exec(compile(example.replace('"runs/demo/run"', repr(str(trained))), name, "exec"), {})
    assert capsys.readouterr().out


CORPORA = (CorpusConfig, TextCorpusConfig, LabelledCorpusConfig)
ROW = re.compile(r"^\| `([\w.]+)` \| (`[^`]+`|required) \| .+ \|$", re.MULTILINE)


def settings_of(kind: type[Settings | PlainSettings], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting as the docs name it, with its default; `PydanticUndefined` where there is none."""
    for name, annotation, default in fields_of(kind):
        inner = [each for each in (annotation, *get_args(annotation)) if isinstance(each, type)]
        groups = [each for each in inner if issubclass(each, Settings | PlainSettings) and each not in CORPORA]
        for group in groups:
            yield from settings_of(group, f"{prefix}{name}.")
        # A group that can be left out is a setting itself.
        if not groups or default is None:
            yield f"{prefix}{name}", default


def fields_of(kind: type[Settings | PlainSettings]) -> list[tuple[str, Any, Any]]:
    if issubclass(kind, PlainSettings):
        return [(field.name, field.type, field.default) for field in dataclasses.fields(kind)]
    return [(name, field.annotation, field.get_default()) for name, field in kind.model_fields.items()]


def sections(name: str) -> dict[str, str]:
    """Return what stands below each heading of a page, up to the next one of any level."""
    _, *parts = re.split(r"^#+ (.+)$", page(name), flags=re.MULTILINE)
    assert len(set(parts[::2])) == len(parts[::2])
    return dict(zip(parts[::2], parts[1::2], strict=True))


def told_in(text: str) -> dict[str, str]:
    rows = ROW.findall(text)
    assert len(rows) == len(dict(rows)) == len(re.findall(r"^\| `[\w.]+` \|", text, re.MULTILINE))
    return dict(rows)


def own_settings(kind: type[StreamDataConfig]) -> list[tuple[str, Any]]:
    """Return the settings of data that language models' have not, and the task."""
    shared = {name for name, _ in settings_of(StreamDataConfig, "data.")} - {"data.task"}
    return [(name, default) for name, default in settings_of(kind, "data.") if name not in shared]


def assert_true(told: dict[str, str], expected: dict[str, Any]) -> None:
    assert told.keys() == expected.keys()
    for name, default in expected.items():
        if default is PydanticUndefined:
            assert told[name] == "required", name
        elif isinstance(default, float):
            assert float(told[name].strip("`")) == default, name
        else:
            value = list(default) if isinstance(default, tuple) else default
            assert told[name] == f"`{yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}`", name


@pytest.mark.parametrize(
    ("heading", "settings"),
    [
        ("Data of a translation", [*settings_of(DataConfig, "data."), *settings_of(CorpusConfig)]),
        ("Data of a language model", [*settings_of(TextDataConfig, "data."), *settings_of(TextCorpusConfig)]),
        ("Data of a masked language model", own_settings(MaskedDataConfig)),
        ("Data of a denoising model", own_settings(DenoisingDataConfig)),
        ("Data of a sentence model", [*settings_of(LabelDataConfig, "data."), *settings_of(LabelledCorpusConfig)]),
        ("Model", [("model.architecture", TransformerConfig().architecture)]),
        ("Search", list(settings_of(SearchConfig, "search."))),
        ("Training", list(settings_of(TrainingConfig, "training."))),
    ],
)
def test_the_guide_has_every_setting_with_its_default_and_no_other(
    heading: str, settings: list[tuple[str, Any]]
) -> None:
    assert_true(told_in(sections("docs/guide.md")[heading]), dict(settings))


def test_the_guide_has_a_table_for_every_part_of_a_recipe() -> None:
    assert RecipeConfig.model_fields.keys() == {"data", "model", "search", "training"}
    assert set(get_args(RecipeConfig.model_fields["data"].annotation)) == {
        DataConfig,
        TextDataConfig,
        LabelDataConfig,
        MaskedDataConfig,
        DenoisingDataConfig,
    }


def architecture_of(kind: type[Settings]) -> str:
    (tag,) = get_args(kind.model_fields["architecture"].annotation)
    return str(tag)


def model_settings(kind: type[Settings]) -> dict[str, Any]:
    return {name: default for name, default in settings_of(kind, "model.") if name != "model.architecture"}


# Task, heading, and the settings of its systems; two tasks may call different systems by one name.
TASKS = {
    "translation": ("Translation", get_args(TranslationModelConfig)),
    "language_modeling": ("Language models", get_args(LanguageModelConfig)),
    "classification": ("Sentence models", get_args(ClassifierModelConfig)),
    "masked_language_modeling": ("Masked language models", (MaskedModelConfig,)),
}
KINDS: dict[tuple[str, str], type[Settings]] = {
    (task, architecture_of(kind)): kind for task, (_, kinds) in TASKS.items() for kind in kinds
}
# Which section of the page has what several systems have in common.
SHARED: dict[type[Settings], str] = {
    TranslationConfig: "Translation",
    NeuralConfig: "Language models",
    ClassifierConfig: "Sentence models",
    StackConfig: "Transformer layers",
}


def sections_of(task: str) -> dict[str, str]:
    """Return what stands of each system of a task, by the name of its architecture."""
    (chapter,) = re.findall(
        rf"^## {TASKS[task][0]}\n(.*?)(?=^## |\Z)", page("docs/models.md"), re.MULTILINE | re.DOTALL
    )
    _, *parts = re.split(r"^### `(\w+)`: .+$", chapter, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize(("kind", "heading"), SHARED.items())
def test_the_tables_of_what_systems_share_are_true(kind: type[Settings], heading: str) -> None:
    assert_true(told_in(sections("docs/models.md")[heading]), model_settings(kind))


@pytest.mark.parametrize(("task", "architecture"), KINDS)
def test_every_system_has_a_section_with_its_settings(task: str, architecture: str) -> None:
    kind, told = KINDS[task, architecture], dict[str, str]()
    for shared, heading in SHARED.items():
        if issubclass(kind, shared):
            told |= told_in(sections("docs/models.md")[heading])
    assert_true(told | told_in(sections_of(task)[architecture]), model_settings(kind))


def test_no_other_system_has_a_section() -> None:
    heads = re.findall(r"^### `(\w+)`:", page("docs/models.md"), re.MULTILINE)
    assert sorted(heads) == sorted(architecture for _, architecture in KINDS)
    assert {(task, architecture) for task in TASKS for architecture in sections_of(task)} == KINDS.keys()
    assert set(KINDS.values()) == set(get_args(ModelConfig))


@pytest.mark.parametrize("name", ["README.md", "docs/guide.md"])
def test_every_system_is_named(name: str) -> None:
    assert {architecture for _, architecture in KINDS if f"`{architecture}`" not in page(name)} == set()


def least(task: str) -> dict[str, Any]:
    """Return a recipe of a task that has its data and no model."""
    if task == "translation":
        return {name: part for name, part in minimal_recipe().items() if name != "preset"}
    recipes = [yaml.safe_load(block) for block in blocks("docs/guide.md", "yaml")]
    found = next(recipe for recipe in recipes if recipe.get("data", {}).get("task") == task)
    return {name: part for name, part in found.items() if name != "model"}


@pytest.mark.parametrize(("task", "architecture"), KINDS)
def test_the_recipe_in_the_section_of_a_system_is_right(task: str, architecture: str) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", sections_of(task)[architecture], re.DOTALL)
    recipe = RecipeConfig.model_validate(_merged(least(task), yaml.safe_load(block)))
    assert type(recipe.model) is KINDS[task, architecture]


HEIRS = re.findall(r"^\| `(\w+)` \| (.+?) \| ([\d,]+) \|", sections("docs/models.md")["The heirs"], re.MULTILINE)


def test_every_heir_has_a_row() -> None:
    assert [name for name, _, _ in HEIRS] == [name for name in PRESETS if not name.startswith("transformer_")]


@pytest.mark.parametrize(("name", "tasks", "parameters"), HEIRS)
def test_the_table_of_the_heirs_is_true(name: str, tasks: str, parameters: str) -> None:
    result = CliRunner().invoke(app, ["info", name, "--json"], catch_exceptions=False)
    assert f"{json.loads(result.stdout)['parameters']:,}" == parameters
    able = []
    for task in (*TASKS, "denoising"):
        try:
            recipe = RecipeConfig.model_validate(least(task) | {"preset": name})
        except ValueError as problem:
            assert f"`preset: {name}` cannot do `data.task: {task}`" in str(problem)
        else:
            able.append(f"`{task}`")
            assert recipe.model == PRESETS[name].model
    assert tasks == ", ".join(able)


def test_the_guide_tells_every_flag_of_a_translation() -> None:
    from attento.translator import Flag

    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \|$", page("docs/guide.md").partition("**Flags**")[2], re.MULTILINE)
    assert rows[: len(Flag)] == [flag.value for flag in Flag]
