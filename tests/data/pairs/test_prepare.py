import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parallel_text import GOOD, VALIDATION, configure, contents, many_pairs, texts, write_pairs

from attento.data.pairs.config import CleaningConfig, DataConfig, TokenizerConfig
from attento.data.pairs.corpora import Chunk, Pair
from attento.data.pairs.prepare import _Reservoir, fingerprint, prepare
from attento.data.pairs.prepared import PreparedCorpus


def report_of(corpus: PreparedCorpus) -> dict[str, Any]:
    return json.loads((corpus.path / "report.json").read_text(encoding="utf-8"))


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


def test_progress_goes_from_nothing_to_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attento.data.lines.CHUNK_LINES", 31)
    told: list[tuple[str, int, int | None]] = []
    prepare(configure(tmp_path, GOOD), tmp_path, tmp_path / "out", progress=lambda *each: told.append(each))
    assert told == [
        ("reading", 31, None), ("reading", 62, None), ("reading", 85, None),
        ("training the tokenizer", 0, 1), ("training the tokenizer", 1, 1),
        ("encoding", 31, 85), ("encoding", 62, 85), ("encoding", 85, 85),
    ]  # fmt: skip
