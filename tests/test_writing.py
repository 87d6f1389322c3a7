# SPDX-License-Identifier: Apache-2.0
"""Files come whole or not at all, whatever happens while they are written."""

import errno
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import InputError
from nigroedge.io import writing
from nigroedge.io.nifti import load_volume, save_volume
from nigroedge.io.writing import check_writable, together, write_file
from nigroedge.volume import Volume
from tests.conftest import ROOT

WHATEVER = ("refuse", "replace", "keep")


def content_of(folder):
    """Relative path → bytes, of every file of a folder, hidden ones too."""
    files = [path for path in folder.rglob("*") if not path.is_dir()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_files_get_their_names_together(tmp_path):
    with together() as files:
        files.write(tmp_path / "a/first.txt", "é")
        with files.open(tmp_path / "second.bin") as file:
            file.write(b"12")
            file.write(b"34")
        partial = set(content_of(tmp_path))
        assert not partial & {"a/first.txt", "second.bin"}

    assert {"a/first.txt": "é".encode(), "second.bin": b"1234"} == content_of(tmp_path)


@pytest.mark.parametrize("if_exists", WHATEVER)
def test_a_new_file_has_the_mode_that_the_user_wants(tmp_path, if_exists):
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "new", b"", if_exists=if_exists)
    finally:
        os.umask(before)

    assert 0o640 == stat.S_IMODE((tmp_path / "new").stat().st_mode)


@pytest.mark.parametrize(("if_exists", "kept"), [("replace", b"new"), ("keep", b"old")])
def test_a_file_that_exists_goes_or_stays(tmp_path, if_exists, kept):
    (tmp_path / "file").write_bytes(b"old")
    write_file(tmp_path / "file", b"new", if_exists=if_exists)

    assert {"file": kept} == content_of(tmp_path)


@pytest.mark.parametrize("kind", ["file", "folder", "link that leads nowhere"])
def test_what_exists_is_not_overwritten(tmp_path, kind):
    path = tmp_path / "taken"
    {
        "file": lambda: path.write_bytes(b"old"),
        "folder": path.mkdir,
        "link that leads nowhere": lambda: path.symlink_to("nowhere"),
    }[kind]()

    for write in (lambda: write_file(path, b"new"), lambda: check_writable([path])):
        with pytest.raises(InputError, match=r"taken'?: expected a new file, got one that exists"):
            write()
    assert [path] == list(tmp_path.iterdir())


def test_no_device_is_replaced(tmp_path):
    for path in (tmp_path, "/dev/null"):
        with pytest.raises(InputError, match="expected a file, got a folder or a device"):
            write_file(path, b"", if_exists="replace")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_link_goes_on_to_lead_where_it_leads(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk/file")
    write_file(tmp_path / "link", b"1", if_exists="replace")
    write_file(tmp_path / "link", b"2", if_exists="replace")

    assert (tmp_path / "link").is_symlink()
    assert b"2" == (tmp_path / "disk/file").read_bytes()


def test_a_name_may_be_as_long_as_any(tmp_path):
    name = "n" * 255
    write_file(tmp_path / name, b"1")
    write_file(tmp_path / name, b"2", if_exists="replace")

    assert {name: b"2"} == content_of(tmp_path)


# -------------------------------------------------------------------------------------- misfortunes


class Misfortune(BaseException):
    """Such as Ctrl-C."""


@given(
    before=st.dictionaries(st.sampled_from("abcd"), st.sampled_from(WHATEVER), min_size=1),
    exists=st.sets(st.sampled_from("abcd")),
    step=st.integers(0, 4),
)
def test_nothing_new_is_left_whenever_work_ends_early(tmp_path_factory, before, exists, step):
    folder = tmp_path_factory.mktemp("work")
    for name in exists:
        (folder / name).write_bytes(b"old")
    old = content_of(folder)

    def work():
        with together() as files:
            for i, (name, if_exists) in enumerate(before.items()):
                with files.open(folder / name, if_exists=if_exists) as file:
                    file.write(b"new")
                    if i == step:
                        raise Misfortune
            raise Misfortune

    with pytest.raises((Misfortune, InputError)):
        work()
    assert old == content_of(folder)


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_a_full_disk_leaves_nothing_and_names_the_file(tmp_path, monkeypatch, call):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail(*_):
        raise full

    def work():
        with together() as files:
            files.write(tmp_path / "first", b"1")
            if call == "fsync":
                monkeypatch.setattr(os, "fsync", fail)
            with files.open(tmp_path / "second") as file:
                file.write(b"1")
                if call == "write":
                    raise full

    with pytest.raises(InputError, match=r"second'?: No space left on device"):
        work()
    assert {} == content_of(tmp_path)


LIMITED = """
import resource, sys
from nigroedge.errors import InputError
from nigroedge.io.writing import together
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with together() as files:
        files.write(sys.argv[1] + "/small", b"1" * 10)
        files.write(sys.argv[1] + "/large", b"1" * 100_000)
except InputError as error:
    print(error)
"""


def test_a_limit_of_the_system_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )

    assert f"{str(tmp_path / 'large')!r}: File too large\n" == done.stdout
    assert {} == content_of(tmp_path)


def write_while_another_makes(taken, *paths):
    with together() as files:
        for path in paths:
            files.write(path, b"ours")
        taken.write_bytes(b"theirs")


def test_a_name_that_is_taken_meanwhile_gives_up_all(tmp_path):
    with pytest.raises(InputError, match=r"b'?: expected a new file, but another program made"):
        write_while_another_makes(tmp_path / "b", tmp_path / "a", tmp_path / "b", tmp_path / "c")

    assert {"b": b"theirs"} == content_of(tmp_path)


@pytest.mark.parametrize("n_files", [1, 3])
def test_of_many_that_race_for_one_name_one_wins_whole(tmp_path, n_files):
    gate, won = threading.Barrier(8), []

    def race(number):
        gate.wait()
        try:
            with together() as files:
                for i in range(n_files):
                    files.write(tmp_path / f"{i}", f"{number}" * 1000)
        except InputError:
            return
        won.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (winner,) = won
    assert {f"{i}": f"{winner}".encode() * 1000 for i in range(n_files)} == content_of(tmp_path)


def test_all_who_race_to_say_the_same_are_content(tmp_path):
    gate, failed = threading.Barrier(8), []

    def race():
        gate.wait()
        try:
            write_file(tmp_path / "dataset_description.json", b"{}", if_exists="keep")
        except InputError as error:
            failed.append(error)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == failed
    assert {"dataset_description.json": b"{}"} == content_of(tmp_path)


def test_a_file_system_without_hard_links_will_do(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    write_file(tmp_path / "file", b"1")
    with pytest.raises(InputError, match="exists"):
        write_file(tmp_path / "file", b"2")
    with pytest.raises(InputError, match="another program made one"):
        write_while_another_makes(tmp_path / "late", tmp_path / "late")

    assert {"file": b"1", "late": b"theirs"} == content_of(tmp_path)


# ---------------------------------------------------------------------------------- before the work


def test_a_check_leaves_nothing_behind(tmp_path):
    check_writable([tmp_path / "a/b/c", tmp_path / "a/d"])

    assert [] == list(tmp_path.iterdir())


def test_folders_that_cannot_be_are_told_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    for path, reason in (
        (tmp_path / "file/below/name", "Not a directory"),
        ("/proc/nothing/name", "No such file or directory"),
    ):
        for if_exists in WHATEVER:
            with pytest.raises(InputError, match=f"name'?: {reason}"):
                check_writable([path], if_exists=if_exists)


def test_an_image_is_written_whole_with_others(tmp_path):
    volume = Volume(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    with together() as files:
        save_volume(volume, tmp_path / "a.nii", among=files)
        assert not (tmp_path / "a.nii").exists()
        files.write(tmp_path / "a.json", "{}")

    np.testing.assert_array_equal(volume.voxels, load_volume(tmp_path / "a.nii").voxels)
    with pytest.raises(InputError, match=r"a\.nii'?: expected a new file"):
        save_volume(volume, tmp_path / "a.nii")


# ------------------------------------------------------------------------------------ all who write


WRITES = re.compile(
    r"\.write_(text|bytes)\(|open\([^)]*[\"'][wxa]b?\+?[\"']|\.savefig\(|save_model\(|torch\.save\("
)
#: Who calls something that writes, and where to.
ELSEWHERE = {
    "nigroedge/io/writing.py": "the one way",
    "nigroedge/smwi/figure.py": "a file that is given",
    "nigroedge/study/figure.py": "memory",
    "export/curve.py": "a file of the one way",
    "export/findings.py": "a file of the one way",
    "export/windows.py": "a scratch folder, which gets its name when it is whole",
    "export/run.py": "a file of the one way",
    "export/from_torch.py": "the null device",
    "export/weights.py": "nowhere: its messages name torch.save",
    "export/quantize.py": "a scratch folder, from where the one way takes it",
}


def test_nobody_writes_in_another_way():
    paths = [path for folder in ("nigroedge", "export") for path in (ROOT / folder).rglob("*.py")]
    writers = {
        path.relative_to(ROOT).as_posix() for path in paths if WRITES.search(path.read_text())
    }

    assert writers == ELSEWHERE.keys()
    assert writing.__file__ == str(ROOT / "nigroedge/io/writing.py")


def test_what_a_killed_program_left_is_removed_and_nothing_else(tmp_path):
    kept = [tmp_path / name for name in ("a.nii", ".nigroedge-0.partial.txt", "x.partial", ".b")]
    for path in (*kept, tmp_path / ".nigroedge-0123abcd.partial"):
        path.write_text("x")
    writing.remove_leftovers(tmp_path)

    assert sorted(kept) == sorted(tmp_path.iterdir())
