import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from attento.data.partial import partial_folder, put_file_in_place, put_in_place, refuse_foreign_folder
from attento.data.record import RECORD_FILE
from attento.errors import DataError


def fill(folder: Path, text: str) -> None:
    (folder / RECORD_FILE).write_text(text)


def test_whole_folder_is_put_in_place(tmp_path: Path) -> None:
    output = tmp_path / "deep/down/out"
    with partial_folder(output) as folder:
        assert folder.parent == output.parent
        fill(folder, "new")
        assert not output.exists()
        put_in_place(folder, output)
    assert (output / RECORD_FILE).read_text() == "new"
    assert list(output.parent.iterdir()) == [output]


@pytest.mark.parametrize("problem", [KeyboardInterrupt, SystemExit, DataError, ValueError])
def test_nothing_is_left_of_a_half_made_folder(tmp_path: Path, problem: type[BaseException]) -> None:
    with pytest.raises(problem), partial_folder(tmp_path / "deep/down/out") as folder:
        fill(folder, "half")
        raise problem
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"out: cannot be written: No space left on device"):
        with partial_folder(tmp_path / "out") as folder:
            fill(folder, "half")
            raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_of_the_parent_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="cannot be written"), partial_folder(tmp_path / "file/out"):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def test_an_older_folder_makes_way(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    fill(output, "old")
    (output / "old-only").touch()
    with partial_folder(output) as folder:
        fill(folder, "new")
        put_in_place(folder, output)
    assert [path.name for path in output.iterdir()] == [RECORD_FILE]
    assert (output / RECORD_FILE).read_text() == "new"
    assert list(tmp_path.iterdir()) == [output]


def test_an_older_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    fill(output, "old")
    rename = Path.rename

    def rename_but_new(self: Path, target: Path) -> Path:
        if self.name.startswith(".out.partial") and not self.name.endswith("-old"):
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_but_new)
    with pytest.raises(KeyboardInterrupt), partial_folder(output) as folder:
        fill(folder, "new")
        put_in_place(folder, output)
    assert (output / RECORD_FILE).read_text() == "old"
    assert list(tmp_path.iterdir()) == [output]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    refuse_foreign_folder(output)
    with partial_folder(output) as folder:
        fill(folder, "new")
        put_in_place(folder, output)
    assert (output / RECORD_FILE).read_text() == "new"


def test_a_file_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.write_text("old")
    with partial_folder(output) as folder:
        (folder / "new").write_text("new")
        put_file_in_place(folder / "new", output)
    assert output.read_text() == "new"
    assert list(tmp_path.iterdir()) == [output]


def test_other_things_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="holds other things than prepared data"):
        refuse_foreign_folder(tmp_path)
    with pytest.raises(DataError, match=r"mine\.txt: is a file"):
        refuse_foreign_folder(tmp_path / "mine.txt")


@pytest.mark.skipif(os.name != "posix", reason="whether a process lives cannot be asked without harm elsewhere")
def test_what_killed_processes_left_is_removed_and_what_living_ones_make_is_not(tmp_path: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    prefix = f".out.partial-{socket.gethostname()}-"
    left = [tmp_path / f"{prefix}{int(dead.stdout)}{end}" for end in ("", "-old")]
    others = [tmp_path / f"{prefix}{os.getppid()}", tmp_path / ".out.partial-elsewhere-7", tmp_path / f"{prefix}notes"]
    for folder in (*left, *others):
        folder.mkdir()
    with partial_folder(tmp_path / "out"):
        assert not any(folder.exists() for folder in left)
    assert sorted(tmp_path.iterdir()) == sorted(others)
