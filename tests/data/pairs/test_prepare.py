import json
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attento.data.pairs.config import CleaningConfig, CorpusConfig, DataConfig, TokenizerConfig
from attento.data.pairs.corpora import Chunk, Pair
from attento.data.pairs.prepare import _Reservoir, fingerprint, prepare
from attento.data.pairs.prepared import PreparedCorpus
from attento.errors import DataError

NOUNS = {"cat": "chat", "street": "rue", "animal": "animal", "house": "maison", "tree": "arbre"}
GOOD: list[Pair] = [
    (f"the {e} number {n} ends", f"ici finit {f} numéro {n}") for n in range(17) for e, f in NOUNS.items()
]
VALIDATION: list[Pair] = [("a street and a tree", "une rue et un arbre"), ("", "vide"), ("a cat", "un chat")]


def write_pairs(folder: Path, name: str, pairs: list[Pair]) -> CorpusConfig:
    for side, suffix in enumerate(("en", "fr")):
        (folder / f"{name}.{suffix}").write_bytes("".join(f"{pair[side]}\n" for pair in pairs).encode())
    return CorpusConfig(source=f"{name}.en", target=f"{name}.fr")


def configure(folder: Path, *corpora: list[Pair], validation: list[Pair] = VALIDATION, **changes: Any) -> DataConfig:
    settings: dict[str, Any] = {
        "source_language": "en",
        "target_language": "fr",
        "train": tuple(write_pairs(folder, f"train{n}", pairs) for n, pairs in enumerate(corpora)),
        "validation": write_pairs(folder, "dev", validation),
        "tokenizer": TokenizerConfig(vocab_size=293, normalization="identity"),
    }
    return DataConfig(**(settings | changes))


def texts(corpus: PreparedCorpus) -> list[Pair]:
    source, target = corpus.tokenizers.source, corpus.tokenizers.target
    return [
        (source.decode(s.tolist()), target.decode(t.tolist())) for s, t in corpus.train.take(range(len(corpus.train)))
    ]


def report_of(corpus: PreparedCorpus) -> dict[str, Any]:
    return json.loads((corpus.path / "report.json").read_text(encoding="utf-8"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_good_pairs_come_back_in_their_order(tmp_path: Path) -> None:
    corpus = prepare(configure(tmp_path, GOOD[:41], GOOD[41:]), tmp_path, tmp_path / "out")
    assert texts(corpus) == GOOD
    assert corpus.train.corpus_sizes() == [41, len(GOOD) - 41]
    assert corpus.tokenizers.joint
    assert corpus.tokenizers.source.vocab_size == 293
    assert sorted(contents(corpus.path)) == [
        "prepared.json", "report.json", "report.md", "tokenizer.model", "train-00000.arrow", "validation-00000.arrow",
        "validation.source.txt", "validation.target.txt",
    ]  # fmt: skip


def test_an_opened_folder_is_the_prepared_one(tmp_path: Path) -> None:
    config = configure(tmp_path, GOOD)
    made = prepare(config, tmp_path, tmp_path / "out")
    opened = PreparedCorpus.open(tmp_path / "out")
    assert opened.config == config
    assert opened.fingerprint == made.fingerprint == fingerprint(config, tmp_path)
    assert texts(opened) == GOOD
    assert opened.warnings == made.warnings


def test_separate_vocabularies(tmp_path: Path) -> None:
    tokenizer = TokenizerConfig(vocab_size=293, joint=False, normalization="identity")
    corpus = prepare(configure(tmp_path, GOOD, tokenizer=tokenizer), tmp_path, tmp_path / "out")
    assert not corpus.tokenizers.joint
    assert corpus.tokenizers.source.encode("é") != corpus.tokenizers.target.encode("é")
    assert texts(corpus) == GOOD


DUPLICATE_AND_OVERLAP: Pair = ("A  cat", "le chat")
DIRT: dict[str, list[Pair]] = {
    "empty": [("", "rien"), ("nothing", "  "), ("", "")],
    "control_characters": [("the \x01 cat", "le chat")],
    "wrong_script": [("кот", "le chat"), ("the cat", "猫")],
    "identical": [("Paris 2017", "Paris 2017")],
    "too_long": [("the street " * 50, "la rue " * 50)],
    "length_ratio": [("the cat", "le chat et la maison et la rue et un arbre et l'animal"), ("a tree " * 9, "arbre")],
    "duplicate": [GOOD[3], (f" {GOOD[5][0]}", f"{GOOD[5][1]}\r")],
}


def test_each_rule_counts_and_shows_what_it_leaves_out(tmp_path: Path) -> None:
    dirty = [*GOOD, *(pair for pairs in DIRT.values() for pair in pairs)]
    cleaning = CleaningConfig(max_tokens=97, max_ratio=2, ratio_slack=5)
    corpus = prepare(configure(tmp_path, dirty, cleaning=cleaning), tmp_path, tmp_path / "out")
    assert texts(corpus) == GOOD
    report = report_of(corpus)
    assert {rule: told["count"] for rule, told in report["left_out"].items()} == {k: len(v) for k, v in DIRT.items()}
    assert (report["training"]["read"], report["training"]["kept"]) == (len(dirty), len(GOOD))
    page = (corpus.path / "report.md").read_text(encoding="utf-8")
    assert f"{len(GOOD)} of {len(dirty)} training pairs are kept" in page
    for rule, pairs in DIRT.items():
        line = dirty.index(pairs[0]) + 1 if rule != "duplicate" else len(dirty) - 1
        assert report["left_out"][rule]["examples"][0]["where"] == f"train0.en | train0.fr:{line}"
        assert f"train0.en | train0.fr:{line}: `" in page
        assert len(report["left_out"][rule]["examples"]) == min(2, len(pairs))
    assert r"`the \x01 cat` → `le chat`" in page


def test_rules_that_are_off_leave_nothing_out(tmp_path: Path) -> None:
    dirty = [*GOOD, *(pair for pairs in DIRT.values() for pair in pairs)]
    cleaning = CleaningConfig(
        drop_empty=False, drop_control_characters=False, min_script_share=None, drop_identical=False, max_tokens=None,
        max_ratio=None, drop_duplicates=False,
    )  # fmt: skip
    tokenizer = TokenizerConfig(vocab_size=311, normalization="identity")
    config = configure(tmp_path, dirty, cleaning=cleaning, tokenizer=tokenizer)
    corpus = prepare(config, tmp_path, tmp_path / "out")
    assert len(corpus.train) == len(dirty)
    assert {told["off"] for told in report_of(corpus)["left_out"].values()} == {"by its setting"}
    assert (corpus.path / "report.md").read_text(encoding="utf-8").count("off (by its setting)") == 7


def test_duplicates_are_found_across_corpora_and_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attento.data.lines.CHUNK_LINES", 7)
    corpus = prepare(configure(tmp_path, GOOD, [*GOOD[::-1], ("new one", "nouveau")]), tmp_path, tmp_path / "out")
    assert texts(corpus) == [*GOOD, ("new one", "nouveau")]
    assert report_of(corpus)["left_out"]["duplicate"]["count"] == len(GOOD)
    assert [each["kept"] for each in report_of(corpus)["corpora"]] == [len(GOOD), 1]


def test_a_language_of_unknown_script_is_told(tmp_path: Path) -> None:
    corpus = prepare(configure(tmp_path, GOOD, source_language="xx"), tmp_path, tmp_path / "out")
    assert any("`xx`" in warning and "script" in warning for warning in corpus.warnings)
    assert report_of(corpus)["left_out"]["wrong_script"]["off"] == "the script of `xx` is not known"


def test_validation_is_kept_as_it_is_and_told_about(tmp_path: Path) -> None:
    validation = [("odd\u2028line\rhere", "un\x85deux"), ("", "vide"), ("same", "same"), ("same", "same")]
    corpus = prepare(configure(tmp_path, GOOD, validation=validation), tmp_path, tmp_path / "out")
    assert list(zip(*corpus.validation_texts(), strict=True)) == validation
    assert len(corpus.validation) == 4
    assert corpus.validation.take([1])[0][0].tolist() == []
    assert any("1 validation pairs have an empty side (the first in line 2" in each for each in corpus.warnings)


def test_overlap_with_held_out_text_is_looked_for_and_told(tmp_path: Path) -> None:
    train = [*GOOD, ("A  cat", "le chat"), ("a CAT", "ce chat"), ("the test line", "la ligne")]
    test = write_pairs(tmp_path, "test", [("the test line", "la ligne de test"), ("unseen", "jamais vu")])
    corpus = prepare(configure(tmp_path, train, test=test), tmp_path, tmp_path / "out")
    validation, tested = report_of(corpus)["overlap"]
    assert (validation["held_out"], validation["sentences"], validation["found"]) == ("validation", 2, 1)
    assert validation["training_pairs"] == 2
    assert [each["source"] for each in validation["examples"]] == ["A  cat", "a CAT"]
    assert (tested["held_out"], tested["sentences"], tested["found"], tested["training_pairs"]) == ("test", 2, 1, 1)
    assert tested["examples"][0]["where"] == f"train0.en | train0.fr:{len(train)}"
    told = [warning for warning in corpus.warnings if "are in the training text" in warning]
    assert [each.split(" source")[0] for each in told] == ["1 of 2 validation", "1 of 2 test"]
    # Told, not taken away.
    assert len(corpus.train) == len(train)


def test_windows_line_ends_change_no_id(tmp_path: Path) -> None:
    plain = prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "plain")
    ended = configure(tmp_path, [(f"{source}\r", f"{target}\r") for source, target in GOOD])
    assert texts(prepare(ended, tmp_path, tmp_path / "ended")) == texts(plain)


def many_pairs() -> list[Pair]:
    generator = random.Random(7)
    words = [*NOUNS, *NOUNS.values()]

    def sentence() -> str:
        return " ".join(generator.choices(words, k=generator.randrange(4)))

    return [(sentence(), sentence()) for _ in range(9001)]


def make_older(folder: Path, seconds: int = 7) -> None:
    """Put the times of all text back, as if it had been there for a while."""
    for path in (*folder.glob("*.en"), *folder.glob("*.fr")):
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - seconds * 1_000_000_000))


def test_the_same_bytes_whatever_the_number_of_processes(tmp_path: Path) -> None:
    config = configure(tmp_path, many_pairs(), tokenizer=TokenizerConfig(vocab_size=293, sample_lines=509))
    make_older(tmp_path)
    for workers in (1, 2, 3):
        prepare(config, tmp_path, tmp_path / f"by{workers}", workers=workers)
    assert contents(tmp_path / "by1") == contents(tmp_path / "by2") == contents(tmp_path / "by3")


def test_the_same_settings_and_text_are_not_prepared_again(tmp_path: Path) -> None:
    config = configure(tmp_path, GOOD)
    prepare(config, tmp_path, tmp_path / "out")
    make_older(tmp_path)
    before = (tmp_path / "out").stat().st_ino
    again = stages_of(lambda progress: prepare(config, tmp_path, tmp_path / "out", progress=progress))
    assert again == {"reading"}
    assert (tmp_path / "out").stat().st_ino == before


def stages_of(work: Callable[..., Any]) -> set[str]:
    stages: set[str] = set()
    work(progress=lambda stage, done, total: stages.add(stage))
    return stages


def test_files_of_the_same_size_and_time_are_not_even_read(tmp_path: Path) -> None:
    config, out = configure(tmp_path, GOOD), tmp_path / "out"
    make_older(tmp_path)
    made = prepare(config, tmp_path, out)
    before = contents(out)
    assert stages_of(lambda progress: prepare(config, tmp_path, out, progress=progress)) == set()
    assert stages_of(lambda progress: fingerprint(config, tmp_path, progress, known=out)) == set()
    assert fingerprint(config, tmp_path, known=out) == fingerprint(config, tmp_path) == made.fingerprint
    assert contents(out) == before


def test_same_text_under_another_time_is_read_once_more(tmp_path: Path) -> None:
    config, out = configure(tmp_path, GOOD), tmp_path / "out"
    make_older(tmp_path)
    prepare(config, tmp_path, out)
    for again in (
        lambda progress: prepare(config, tmp_path, out, progress=progress),
        lambda progress: fingerprint(config, tmp_path, progress, known=out),
    ):
        make_older(tmp_path)
        assert stages_of(again) == {"reading"}
        assert stages_of(again) == set()


def test_a_folder_that_cannot_be_written_to_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = configure(tmp_path, GOOD), tmp_path / "out"
    made = prepare(config, tmp_path, out)
    make_older(tmp_path)

    def refuse(path: Path, value: object) -> None:
        raise PermissionError("Read-only file system")

    monkeypatch.setattr("attento.data.pairs.prepared.write_json", refuse)
    before = contents(out)
    assert prepare(config, tmp_path, out).fingerprint == made.fingerprint
    assert contents(out) == before


def test_other_text_is_found_by_its_time_or_its_size(tmp_path: Path) -> None:
    config, out = configure(tmp_path, GOOD), tmp_path / "out"
    make_older(tmp_path)
    first = prepare(config, tmp_path, out).fingerprint
    path = tmp_path / "train0.fr"
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(b"chat", b"chien"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    second = fingerprint(config, tmp_path, known=out)
    assert second != first
    # What is recorded is still what was prepared.
    assert PreparedCorpus.open(out).fingerprint == first
    assert prepare(config, tmp_path, out).fingerprint == second
    path.write_bytes(path.read_bytes().replace(b"chien", b"gueux"))
    make_older(tmp_path)
    third = fingerprint(config, tmp_path, known=out)
    assert third not in (first, second)
    assert texts(prepare(config, tmp_path, out))[0][1] == "ici finit gueux numéro 0"


@pytest.mark.parametrize(
    ("age", "fraction", "is_read"),
    [(0.05, 1, True), (0.2, 1, False), (1.9, 0, True), (2.1, 0, False), (-60, 1, True)],
)
def test_files_changed_just_now_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float, fraction: int, is_read: bool
) -> None:
    # Within a tick of the clock, another change could leave size and time as they are.
    config, out = configure(tmp_path, GOOD), tmp_path / "out"
    time_ns = 1_700_000_000_000_000_000 + fraction
    for path in (*tmp_path.glob("*.en"), *tmp_path.glob("*.fr")):
        os.utime(path, ns=(time_ns, time_ns))
    monkeypatch.setattr("time.time_ns", lambda: time_ns + round(age * 1e9))
    prepare(config, tmp_path, out)
    again = stages_of(lambda progress: prepare(config, tmp_path, out, progress=progress))
    assert again == ({"reading"} if is_read else set())


def test_other_settings_have_another_fingerprint_beside_a_known_folder(tmp_path: Path) -> None:
    config, out = configure(tmp_path, GOOD), tmp_path / "out"
    make_older(tmp_path)
    prepare(config, tmp_path, out)
    other = config.model_copy(update={"cleaning": CleaningConfig(max_tokens=97)})
    assert fingerprint(other, tmp_path, known=out) == fingerprint(other, tmp_path) != fingerprint(config, tmp_path)
    assert fingerprint(config, tmp_path, known=tmp_path / "none") == fingerprint(config, tmp_path)


def test_the_longest_texts_are_recorded(tmp_path: Path) -> None:
    corpus = prepare(configure(tmp_path, GOOD[:61], GOOD[61:]), tmp_path, tmp_path / "out")
    for pairs, longest in ((corpus.train, corpus.longest_train), (corpus.validation, corpus.longest_validation)):
        assert longest == tuple(max(len(pair[side]) for pair in pairs.take(range(len(pairs)))) for side in (0, 1))
    assert corpus.longest_train != corpus.longest_validation


def test_other_settings_replace_the_folder(tmp_path: Path) -> None:
    prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "out")
    changed = configure(tmp_path, GOOD, tokenizer=TokenizerConfig(vocab_size=307, normalization="identity"))
    assert prepare(changed, tmp_path, tmp_path / "out").tokenizers.source.vocab_size == 307


def test_a_folder_of_the_user_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="holds other things"):
        prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "out")
    assert contents(tmp_path / "out") == {"thesis.txt": b"mine"}


def test_fingerprint_tells_settings_and_text_apart_but_not_places(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    variants: dict[str, Callable[[], DataConfig]] = {
        "plain": lambda: configure(tmp_path, GOOD[:5], GOOD[5:]),
        "moved": lambda: configure(tmp_path, GOOD[:6], GOOD[6:]),
        "edited": lambda: configure(tmp_path, GOOD[:5], [*GOOD[5:-1], ("x", "y")]),
        "validation": lambda: configure(tmp_path, GOOD[:5], GOOD[5:], validation=VALIDATION[:2]),
        "language": lambda: configure(tmp_path, GOOD[:5], GOOD[5:], target_language="de"),
        "cleaning": lambda: configure(tmp_path, GOOD[:5], GOOD[5:], cleaning=CleaningConfig(max_tokens=97)),
    }
    prints = {name: fingerprint(make(), tmp_path) for name, make in variants.items()}
    assert len(set(prints.values())) == len(prints)
    elsewhere = configure(tmp_path / "elsewhere", GOOD[:5], GOOD[5:])
    assert fingerprint(elsewhere, tmp_path / "elsewhere") == prints["plain"]


def test_the_vocabulary_is_learned_from_clean_text(tmp_path: Path) -> None:
    tokenizer = TokenizerConfig(vocab_size=47, byte_fallback=False, normalization="identity")
    corpus = prepare(
        configure(tmp_path, [*GOOD, ("ЖЖЖЖЖЖ", "le chat")], tokenizer=tokenizer), tmp_path, tmp_path / "out"
    )
    assert "Ж" not in "".join(corpus.tokenizers.source.pieces(range(47)))


def test_reservoir_keeps_every_pair_equally_often() -> None:
    kept = [0] * 23
    chunks = [Chunk.of(0, 1, [(str(n), "") for n in numbers]) for numbers in (range(3), range(3, 11), range(11, 23))]
    for seed in range(2003):
        reservoir = _Reservoir(5, seed)
        for chunk in chunks:
            reservoir.add(chunk)
        assert len({pair[0] for pair in reservoir.pairs}) == 5
        for pair in reservoir.pairs:
            kept[int(pair[0])] += 1
    # Binomial with n = 2003 and p = 5/23: mean 435.4, standard deviation 18.5; the bounds are four of them away.
    assert min(kept) > 361
    assert max(kept) < 510


def test_no_pair_left_is_told_with_the_reasons(tmp_path: Path) -> None:
    config = configure(tmp_path, [("same words", "same words"), ("", "vide"), ("more", "more")])
    config = config.model_copy(update={"tokenizer": TokenizerConfig(vocab_size=271)})
    with pytest.raises(DataError, match=r"no training pair is left of 3 \(empty: 1, identical: 2\)"):
        prepare(config, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stage", ["reading", "training the tokenizer", "encoding"])
@pytest.mark.parametrize("older", [False, True])
def test_an_interruption_at_any_stage_leaves_nothing_half_made(tmp_path: Path, stage: str, older: bool) -> None:
    if older:
        prepare(configure(tmp_path, GOOD[:61]), tmp_path, tmp_path / "out")
    config = configure(tmp_path, GOOD)
    before = {path.name for path in tmp_path.iterdir()}

    def interrupt(at: str, done: int, total: int | None) -> None:
        if at == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(config, tmp_path, tmp_path / "out", progress=interrupt)
    assert {path.name for path in tmp_path.iterdir()} == before
    if older:
        assert len(PreparedCorpus.open(tmp_path / "out").train) == 61
    assert len(prepare(config, tmp_path, tmp_path / "out").train) == len(GOOD)


SCRIPT = """
import signal, sys, time
from pathlib import Path
from attento.config import load_settings
from attento.data.pairs.config import DataConfig
from attento.data.pairs.prepare import prepare

def progress(stage, done, total):
    if stage == "encoding":
        print("encoding", flush=True)
        time.sleep(600)

if __name__ == "__main__":
    # Whoever starts tests in the background may have had it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = Path(sys.argv[1])
    prepare(load_settings(DataConfig, folder / "data.yaml"), folder, folder / "out", workers=2, progress=progress)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs process groups")
def test_ctrl_c_ends_all_processes_and_leaves_nothing(tmp_path: Path) -> None:
    config = configure(tmp_path, many_pairs())
    (tmp_path / "data.yaml").write_text(config.model_dump_json())
    (tmp_path / "script.py").write_text(SCRIPT)
    before = {path.name for path in tmp_path.iterdir()}
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "encoding\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the parent and its workers
        _, errors = process.communicate()  # ends when all that hold the pipes have ended, workers too
    assert errors.count("KeyboardInterrupt") == 1, errors
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("limit", [1009, 20011])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, limit: int) -> None:
    # The least that makes the system refuse to write: a limit on the size of files.
    config = configure(tmp_path, many_pairs())
    before = {path.name for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(DataError, match=rf"{tmp_path / 'out'}: cannot be written: .*[Ff]ile too large"):
            prepare(config, tmp_path, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name for path in tmp_path.iterdir()} == before


def test_bad_text_is_told_before_anything_is_made(tmp_path: Path) -> None:
    config = configure(tmp_path, GOOD)
    with (tmp_path / "dev.fr").open("ab") as file:
        file.write(b"one more\n")
    with pytest.raises(DataError, match=r"dev\.en has 3 lines and .*dev\.fr has 4"):
        prepare(config, tmp_path, tmp_path / "deep/out")
    assert not (tmp_path / "deep").exists()


def test_progress_goes_from_nothing_to_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attento.data.lines.CHUNK_LINES", 31)
    told: list[tuple[str, int, int | None]] = []
    prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "out", progress=lambda *each: told.append(each))
    assert told == [
        ("reading", 31, None), ("reading", 62, None), ("reading", 85, None),
        ("training the tokenizer", 0, 1), ("training the tokenizer", 1, 1),
        ("encoding", 31, 85), ("encoding", 62, 85), ("encoding", 85, 85),
    ]  # fmt: skip


def test_workers_must_be_one_at_least(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="`workers` must be at least 1"):
        prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "out", workers=0)


@pytest.mark.parametrize("missing", ["prepared.json", "tokenizer.model", "train-00000.arrow", "validation-00000.arrow"])
def test_an_incomplete_folder_is_told(tmp_path: Path, missing: str) -> None:
    prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "out")
    (tmp_path / "out" / missing).unlink()
    with pytest.raises(DataError, match=r"prepared folder|no tokenizer|prepare the data again"):
        PreparedCorpus.open(tmp_path / "out")
    if missing != "prepared.json":  # without it, the folder could be anybody's
        assert texts(prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "out")) == GOOD


def test_a_missing_validation_text_is_told(tmp_path: Path) -> None:
    corpus = prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "out")
    (tmp_path / "out/validation.target.txt").unlink()
    with pytest.raises(DataError, match=r"validation\.target\.txt: cannot be read"):
        corpus.validation_texts()


@pytest.mark.parametrize("record", ["", "[]", "{", '{"format": 0}'])
def test_a_damaged_or_foreign_record_is_told(tmp_path: Path, record: str) -> None:
    prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "out")
    (tmp_path / "out/prepared.json").write_text(record)
    with pytest.raises(DataError, match="prepare the data again"):
        PreparedCorpus.open(tmp_path / "out")
    # and it can be prepared again
    assert len(prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "out").train) == len(GOOD)
