import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from typer.testing import CliRunner

from attento.cli.app import app
from attento.data.pairs.config import CorpusConfig, DataConfig
from attento.decoding.config import SearchConfig
from attento.decoding.hypothesis import Hypothesis
from attento.engines.task import expect_task, run_kind
from attento.engines.torch import TorchEngine
from attento.errors import ConfigError, InputError, RunFolderError
from attento.interop.exporting import export_run
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig
from attento.run_folder import RunFolder
from attento.text.learning import train_tokenizer
from attento.text.pieces import SentencePieceTokenizer
from attento.text.tokenizer import TokenizerPair
from attento.translator import Alternative, Flag, Translation, Translator

SEARCH = SearchConfig(beam_size=3)
OFFSET = 5
MAX_POSITIONS = 13
SENTENCES = ["the animal was too tired", "the street was too wide for the animal to cross", "it slept"]


class Characters(SentencePieceTokenizer):
    """One id a character: lossless on any text."""

    def __init__(self) -> None:
        super().__init__(b"")

    @property
    def vocab_size(self) -> int:
        return 0x110000 + OFFSET

    def encode(self, text: str) -> list[int]:
        return [ord(character) + OFFSET for character in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(i - OFFSET) for i in ids)


class FakeEngine:
    """Makes `rewrite(text)` of each source; keeps what it was given."""

    max_source_length: int | None = None

    def __init__(self, rewrite: Callable[[str], str] = str, *, finished: bool = True) -> None:
        self.rewrite = rewrite
        self.finished = finished
        self.calls: list[list[str]] = []
        self.searches: list[SearchConfig] = []
        self.prefixes: list[list[str] | None] = []
        self.tokenizer = Characters()

    def translate(
        self,
        sources: Sequence[Sequence[int]],
        search: SearchConfig,
        prefixes: Sequence[Sequence[int]] | None = None,
    ) -> list[list[Hypothesis]]:
        texts = [self.tokenizer.decode(source) for source in sources]
        self.calls.append(texts)
        self.searches.append(search)
        self.prefixes.append(None if prefixes is None else [self.tokenizer.decode(prefix) for prefix in prefixes])
        return [[self.hypothesis(self.rewrite(text), -float(len(text)))] for text in texts]

    def hypothesis(self, text: str, score: float) -> Hypothesis:
        ids = tuple(self.tokenizer.encode(text))
        return Hypothesis(ids=ids, log_probability=2 * score, score=score, finished=self.finished)


class RankedEngine(FakeEngine):
    """Gives `n_best` hypotheses "text/1", "text/2", ...; but only one for a text that begins with "single"."""

    def translate(
        self,
        sources: Sequence[Sequence[int]],
        search: SearchConfig,
        prefixes: Sequence[Sequence[int]] | None = None,
    ) -> list[list[Hypothesis]]:
        texts = [self.tokenizer.decode(source) for source in sources]
        return [
            [
                self.hypothesis(f"{text}/{rank}", -float(rank * len(text)))
                for rank in range(1, (1 if text.startswith("single") else search.n_best) + 1)
            ]
            for text in texts
        ]


def translator(engine: FakeEngine, **options: Any) -> Translator:
    characters = Characters()
    return Translator(TokenizerPair(characters, characters), engine, SEARCH, **options)


def translate_one(engine: FakeEngine, text: str, **options: Any) -> Translation:
    (translation,) = translator(engine).translate([text], **options)
    return translation


TEXTS = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("\n\r\u2028\x85\t  .!?。！ aB你'\"\u00a0\u200b"),
    ),
    max_size=80,
)


@given(st.lists(TEXTS, max_size=5), st.booleans())
def test_any_text_survives_an_engine_that_changes_nothing(texts: list[str], by_sentence: bool):
    translations = translator(FakeEngine(), max_piece_tokens=7).translate(texts, split_sentences=by_sentence)

    assert [each.text for each in translations] == texts
    assert [each.source for each in translations] == texts


@given(st.lists(TEXTS, max_size=5), st.booleans())
def test_lines_stay_lines_whatever_the_engine_writes(texts: list[str], by_sentence: bool):
    translations = translator(FakeEngine(lambda text: "x\ny")).translate(texts, split_sentences=by_sentence)

    for text, translation in zip(texts, translations, strict=True):
        source_lines, lines = text.split("\n"), translation.text.split("\n")
        assert len(lines) == len(source_lines)
        for source_line, line in zip(source_lines, lines, strict=True):
            if source_line.strip():
                assert "x y" in line
            else:
                assert line == source_line


def test_all_sentences_of_all_texts_go_to_the_engine_in_one_call_each_once():
    engine = FakeEngine(str.upper)

    translations = translator(engine).translate(["One dog. Two cats.", "Three birds.\n\n  One dog.\n", ""])

    assert engine.calls == [["One dog.", "Two cats.", "Three birds."]]
    assert [each.text for each in translations] == ["ONE DOG. TWO CATS.", "THREE BIRDS.\n\n  ONE DOG.\n", ""]
    assert engine.searches == [SEARCH]


def test_each_side_has_its_own_tokenizer():
    class Loud(Characters):
        def decode(self, ids: Sequence[int]) -> str:
            return super().decode(ids).upper()

    translator = Translator(TokenizerPair(Characters(), Loud()), FakeEngine(lambda text: text + text), SEARCH)

    assert translator.translate(["One dog."])[0].text == "ONE DOG.ONE DOG."


def test_the_space_between_sentences_is_that_of_the_source():
    translation = translate_one(FakeEngine(str.upper), "\tOne dog.   Two cats.\u00a0 \r\nThree birds. ")

    assert translation.text == "\tONE DOG.   TWO CATS.\u00a0 \r\nTHREE BIRDS. "


def test_where_a_wide_stop_becomes_a_narrow_one_a_space_is_written():
    words = {"你好。": "Hello.", "我很好。": "I am fine."}

    assert translate_one(FakeEngine(words.__getitem__), "你好。我很好。\n你好。").text == "Hello. I am fine.\nHello."
    assert translate_one(FakeEngine(), "你好。我很好。").text == "你好。我很好。"


def test_line_by_line_takes_a_line_whole():
    engine = FakeEngine()

    translate_one(engine, " One dog. Two cats.\nThree.", split_sentences=False)

    assert engine.calls == [["One dog. Two cats.", "Three."]]


def test_an_over_long_sentence_is_cut_said_aloud_and_nothing_of_it_is_lost():
    engine = FakeEngine()
    text = "one two, three four five six seven eight nine ten"

    (translation,) = translator(engine, max_piece_tokens=13).translate([text])

    assert translation.text == text
    assert translation.flags == (Flag.SPLIT,)
    (pieces,) = engine.calls
    assert len(pieces) > 3 and max(map(len, pieces)) <= 13
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")


def test_what_the_model_met_in_training_limits_sentences_but_not_whole_lines():
    engine = FakeEngine()
    text = "one two three four"

    (translation,) = translator(engine, max_piece_tokens=7).translate([text], split_sentences=False)

    assert engine.calls == [[text]]
    assert translation.flags == ()


@pytest.mark.parametrize("by_sentence", [True, False])
def test_the_engine_limit_holds_always_and_leaves_room_for_the_end_of_sentence(by_sentence: bool):
    engine = FakeEngine()
    engine.max_source_length = 12
    text = "hello world hello worlds"

    (translation,) = translator(engine, max_piece_tokens=100).translate([text], split_sentences=by_sentence)

    assert translation.text == text
    # "hello world" has 11 characters and fits, with one more for the end; "hello worlds" has 12 and does not.
    assert engine.calls[0][0] == "hello world"
    assert max(map(len, engine.calls[0])) <= 11


def test_text_without_ids_is_passed_through():
    class Dropping(Characters):
        def encode(self, text: str) -> list[int]:
            return super().encode(text.replace("\u200b", ""))

    tokenizer, engine = Dropping(), FakeEngine(str.upper)

    (translation,) = Translator(TokenizerPair(tokenizer, tokenizer), engine, SEARCH).translate(["a\n\u200b \n b"])

    assert translation.text == "A\n\u200b \n B"
    assert engine.calls == [["a", "b"]]


def test_the_score_is_the_search_score_and_for_several_sentences_their_mean():
    # The engine scores a sentence by minus its length: 8 and 10 characters, the first of them twice.
    assert translate_one(FakeEngine(), "One dog.").score == -8
    assert translate_one(FakeEngine(), "One dog. Three dogs.\nOne dog.").score == pytest.approx(-(8 + 11 + 8) / 3)
    assert translate_one(FakeEngine(), " \n").score == 0


def test_alternatives_of_one_sentence_are_the_next_best():
    translation = translate_one(RankedEngine(), "Dog", search=SearchConfig(beam_size=3, n_best=3))

    assert (translation.text, translation.score) == ("Dog/1", -3)
    assert translation.alternatives == (Alternative("Dog/2", -6.0), Alternative("Dog/3", -9.0))
    assert translate_one(RankedEngine(), "Dog").alternatives == ()


def test_alternatives_of_a_text_join_the_sentences_rank_by_rank():
    translation = translate_one(RankedEngine(), "Dog\n\nsingle", search=SearchConfig(beam_size=3, n_best=3))

    assert translation.text == "Dog/1\n\nsingle/1"
    assert translation.alternatives == (
        Alternative("Dog/2\n\nsingle/1", -(6 + 6) / 2),
        Alternative("Dog/3\n\nsingle/1", -(9 + 6) / 2),
    )


def test_alternatives_that_read_the_same_are_told_once():
    class Same(RankedEngine):
        def hypothesis(self, text: str, score: float) -> Hypothesis:
            return super().hypothesis(text.replace("/2", "/1").replace("/4", "/3"), score)

    translation = translate_one(Same(), "Dog", search=SearchConfig(beam_size=4, n_best=4))

    assert translation.text == "Dog/1"
    assert translation.alternatives == (Alternative("Dog/3", -9.0),)


def test_an_empty_translation_is_flagged():
    vanishing = FakeEngine(lambda text: "" if text == "Two cats." else text)

    translation = translate_one(vanishing, "One dog. Two cats.")

    assert translation.text == "One dog. "
    assert translation.flags == (Flag.EMPTY,)
    assert translate_one(vanishing, " \n").flags == ()


@pytest.mark.parametrize(
    ("source", "output", "flagged"),
    [
        ("salad", "salad salad salad salad ", True),
        ("salad", "salad salad salad ", False),
        ("a salad of greens", "the the the ab ab ab ab", True),
        ("no no no no no", "non non non non non", False),
        ("no, no, no", "non non non non non", True),
        ("One dog.", "aaa bbb ccc", False),
        ("One dog.", "aaaa", True),
    ],
)
def test_repetition_that_the_source_does_not_have_is_flagged(source: str, output: str, flagged: bool):
    translation = translate_one(FakeEngine(lambda text: output), source)

    assert translation.flags == ((Flag.REPETITIVE,) if flagged else ())


def test_a_translation_that_was_not_finished_is_flagged():
    assert translate_one(FakeEngine(finished=False), "One dog.").flags == (Flag.LENGTH_CAP,)


def test_flags_are_plain_words():
    assert [str(flag) for flag in Flag] == ["empty", "repetitive", "length cap reached", "over-long sentence cut"]


def test_a_single_string_is_refused():
    with pytest.raises(InputError, match=r"list of texts.*translate\(\[text\]\)"):
        translator(FakeEngine()).translate("One dog.")


def test_half_a_character_is_refused_by_name():
    with pytest.raises(InputError, match=r"text 2 .*U\+D83D.*position 4"):
        translator(FakeEngine()).translate(["fine", "abc\ud83d"])


def test_each_text_has_its_own_prefix_and_equal_ones_are_translated_once():
    engine = FakeEngine()
    texts = ["one", " one ", "two", "", "one"]
    translations = translator(engine).translate(texts, prefixes=["a", " a\t", "", "b", "c"])
    assert [each.text for each in translations] == texts
    assert engine.calls == [["one", "two", "one"]]
    assert engine.prefixes == [["a", "", "c"]]
    translator(engine).translate(["one"])
    assert engine.prefixes[1:] == [None]


def test_a_prefix_of_several_sentences_is_refused_unless_the_line_is_whole():
    text = "One is here. Two is there."
    with pytest.raises(InputError, match=r"text 2 is translated in 2 pieces.*`--whole-lines`"):
        translator(FakeEngine()).translate(["One.", text], prefixes=["a", "b"])
    # Who wants none has none.
    assert translator(FakeEngine()).translate([text], prefixes=[" "])[0].text == text
    engine = FakeEngine()
    translator(engine).translate([text], prefixes=["a"], split_sentences=False)
    assert engine.prefixes == [["a"]]


@pytest.mark.parametrize(
    ("prefixes", "message"),
    [
        (["a"], "one beginning for each of the 2 texts"),
        ("ab", "one beginning for each of the 2 texts"),
        (["a", "b\nc"], "prefix 2 has a line break"),
    ],
)
def test_prefixes_that_fit_no_text_are_refused(prefixes: Sequence[str], message: str):
    with pytest.raises(InputError, match=message):
        translator(FakeEngine()).translate(["one", "two"], prefixes=prefixes)


def test_raw_text_goes_through_a_real_tokenizer_and_back():
    lines = ["the animal was too tired to cross the street", "the street was too wide for the animal"] * 20
    tokenizer = train_tokenizer(
        lines, model="bpe", vocab_size=320, byte_fallback=True, character_coverage=1.0, normalization="identity"
    )

    class Echo(FakeEngine):
        def translate(
            self,
            sources: Sequence[Sequence[int]],
            search: SearchConfig,
            prefixes: Sequence[Sequence[int]] | None = None,
        ) -> list[list[Hypothesis]]:
            return [[Hypothesis(tuple(source), -1.0, -1.0, True)] for source in sources]

    text = "The animal was tired.  It slept — 睡觉!\n\n\tthe street 🙂\u2028was wide\x00 \r\nend"
    pair = TokenizerPair(tokenizer, tokenizer)
    (translation,) = Translator(pair, Echo(), SEARCH, max_piece_tokens=23).translate([text])

    assert translation.text == text


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    with pytest.raises(RunFolderError, match="no such run folder"):
        Translator.load(tmp_path / "nowhere")

    (tmp_path / "config.yaml").write_text("data: {cleaning: {max_tokens: many}}\n", encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"model\.safetensors missing"):
        Translator.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError) as caught:
        Translator.load(str(tmp_path))
    for setting in ("data.cleaning.max_tokens", "search"):
        assert setting in str(caught.value)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    tokenizer = train_tokenizer(
        SENTENCES * 20,
        model="bpe",
        vocab_size=307,
        byte_fallback=True,
        character_coverage=1.0,
        normalization="nmt_nfkc",
    )
    TokenizerPair(tokenizer, tokenizer).save(folder.path)
    corpus = CorpusConfig(source="train.en", target="train.fr")
    data = DataConfig(source_language="en", target_language="fr", train=(corpus,), validation=corpus)
    model = TransformerConfig(
        encoder_layers=1,
        decoder_layers=1,
        d_model=16,
        d_ff=11,
        num_heads=2,
        positions="learned",
        max_positions=MAX_POSITIONS,
        tied_embeddings="none",
    )
    search = asdict(SearchConfig(beam_size=3, max_extra_length=5))
    sections = {"data": data.model_dump(mode="json"), "model": model.model_dump(mode="json"), "search": search}
    config = "".join(f"{name}: {json.dumps(section)}\n" for name, section in sections.items())
    folder.config.write_text(config + "training: {max_steps: 17}\n", encoding="utf-8")
    torch.manual_seed(23)
    built = build_translation_model(model, tokenizer.vocab_size, tokenizer.vocab_size)
    save_file(built.state_dict(), folder.weights)
    return folder.path


def test_a_translation_is_what_the_engine_makes_of_each_sentence(run: Path):
    translator = Translator.load(run, device="cpu")
    engine, tokenizers = TorchEngine.load(run, "cpu"), TokenizerPair.load(run)
    text = "The animal was tired. It slept.\n\nThe street was wide!"
    search = SearchConfig(beam_size=3, max_extra_length=5, n_best=2)

    parts = ["The animal was tired.", "It slept.", "The street was wide!"]
    found = engine.translate(tokenizers.source.encode_batch(parts), search)
    translation = translator.translate([text], search=search)[0]

    first, second, third = ([tokenizers.target.decode(h.ids) for h in hypotheses] for hypotheses in found)
    assert translation.text == f"{first[0]} {second[0]}\n\n{third[0]}"
    assert [each.text for each in translation.alternatives] == [f"{first[1]} {second[1]}\n\n{third[1]}"]
    assert translation.score == pytest.approx(sum(hypotheses[0].score for hypotheses in found) / 3, abs=1e-6)


def test_the_run_says_how_to_search_and_what_the_languages_are(run: Path):
    translator = Translator.load(str(run), device="cpu")

    assert translator.search == SearchConfig(beam_size=3, max_extra_length=5)
    assert translator.target_language == "fr"
    assert translator.max_piece_tokens == 256


@pytest.fixture(scope="module")
def packed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "model"
    export_run(run, "native", folder, SENTENCES, compute_type="fp32")
    return RunFolder(folder).packed


def test_a_packed_model_translates_as_its_run_without_torch(run: Path, packed: Path):
    texts = ["The animal was tired. It slept.", SENTENCES[1]]
    expected = Translator.load(run, device="cpu", engine="torch").translate(texts)
    code = (
        "import json, sys\n"
        "sys.modules['torch'] = None\n"
        "from attento import Translator\n"
        f"translator = Translator.load({str(packed)!r}, engine='reference')\n"
        "assert translator.target_language == 'fr' and translator.max_piece_tokens == 256\n"
        f"print(json.dumps([[each.text, each.score] for each in translator.translate({texts!r})]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [text for text, _ in found] == [each.text for each in expected]
    assert [score for _, score in found] == pytest.approx([each.score for each in expected], abs=1e-4)


def test_the_native_engine_translates_as_torch(run: Path, packed: Path):
    pytest.importorskip("attento_native", reason="attento_native is not installed")
    texts, prefixes = ["The animal was tired.", "It slept."], ["the", ""]
    expected = Translator.load(run, device="cpu", engine="torch").translate(texts, prefixes=prefixes)
    found = Translator.load(packed).translate(texts, prefixes=prefixes)
    assert found[0].text.startswith("the")
    assert [each.text for each in found] == [each.text for each in expected]
    assert [each.score for each in found] == pytest.approx([each.score for each in expected], abs=1e-4)


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_the_command_needs_nothing_but_the_packed_file(packed: Path, engine: str):
    heavy = {"torch", "jaxtyping", "pyarrow", "sacrebleu", "rich", "yaml", "attento.config", "pydantic"}
    if engine == "native":
        pytest.importorskip("attento_native", reason="attento_native is not installed")
        heavy.add("numpy")
    code = (
        "import sys\n"
        "from attento.cli.app import app\n"
        f"app(['translate', {str(packed)!r}, 'It slept.', '--engine', {engine!r}], standalone_mode=False)\n"
        f"sys.exit(', '.join({heavy!r} & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr.replace("note: length cap reached in 1 of 1 (number 1)\n", "")) == (0, "")
    (expected,) = Translator.load(packed, engine="reference").translate(["It slept."])
    assert done.stdout == expected.text + "\n"


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("flags", [(), ("--alignment-heads", "0.1")])
def test_words_are_aligned_without_torch(run: Path, packed: Path, engine: str, flags: tuple[str, ...]):
    if engine == "native":
        pytest.importorskip("attento_native", reason="attento_native is not installed")
    arguments = ["it slept", "the wide street", "", "--alignment", *flags, "--engine"]
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['jaxtyping'] = None\n"
        "from attento.cli.app import app\n"
        f"app(['translate', {str(packed)!r}, *{arguments!r}, {engine!r}], standalone_mode=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    by_torch = CliRunner().invoke(app, ["translate", str(run), *arguments, "torch"], catch_exceptions=False)
    assert done.stdout == by_torch.stdout
    *lines, empty = done.stdout.splitlines()
    assert all(re.fullmatch(r"[^\t]+\t\d+-\d+( \d+-\d+)*", line) for line in lines)
    assert empty == "\t"


def test_a_translator_needs_no_pydantic(packed: Path):
    code = (
        "import sys\n"
        "from attento import Translator\n"
        f"translator = Translator.load({str(packed)!r}, engine='reference')\n"
        "assert translator.search.beam_size == 3 and translator.translate(['It slept.'])\n"
        "sys.exit(', '.join({'torch', 'pydantic', 'yaml', 'typer'} & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_packed_model_says_what_it_is_for(packed: Path):
    assert run_kind(packed) == run_kind(packed.parent)
    assert run_kind(packed).task == "translation"
    with pytest.raises(RunFolderError, match=r"model\.attento: holds a translation model .* language model is needed"):
        expect_task(packed, "language_modeling")


def test_a_slow_engine_is_warned_of_unless_it_was_asked_for(packed: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("attento.engines.choose._installed", lambda package: package == "torch")
    with pytest.warns(UserWarning, match=r"slow; pip install 'attento\[native\]'"):
        Translator.load(packed)
    Translator.load(packed, engine="reference")


def test_texts_together_are_translated_as_alone(run: Path):
    translator = Translator.load(run, device="cpu")
    texts = [*SENTENCES, "", SENTENCES[1].upper(), "Ça va? 🙂"]

    together = translator.translate(texts)

    assert [each.text for each in together] == [translator.translate([text])[0].text for text in texts]
    assert [each.text for each in reversed(together)] == [each.text for each in translator.translate(texts[::-1])]


def test_a_sentence_beyond_the_model_is_cut_into_parts_that_it_can_read(run: Path):
    (translation,) = Translator.load(run, device="cpu").translate([SENTENCES[1] + " " + SENTENCES[0]])

    assert Flag.SPLIT in translation.flags


def test_a_damaged_model_is_refused(run: Path, tmp_path: Path):
    for file in run.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = RunFolder(tmp_path).weights
    weights.write_bytes(weights.read_bytes()[:-7])

    with pytest.raises(RunFolderError, match=r"model\.safetensors"):
        Translator.load(tmp_path, device="cpu")
