# SPDX-License-Identifier: Apache-2.0
"""A file is there whole or not at all, whatever happens while it is written."""

import pytest

from export.whole import whole, write_whole
from nigroedge.errors import InputError


def test_a_file_takes_the_place_of_the_one_before(tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, "one")
    (tmp_path / ".a.txt").write_text("left by a program that was killed")
    write_whole(path, "two: ρ")

    assert "two: ρ" == path.read_text(encoding="utf-8")
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_cut_off_leaves_the_file_as_it_was(tmp_path, error):
    path = tmp_path / "a.txt"
    write_whole(path, "one")

    def write_half():
        with whole(path) as partial:
            partial.write_text("tw")
            raise error

    with pytest.raises(error):
        write_half()

    assert "one" == path.read_text()
    assert [path] == list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with (
        pytest.raises(InputError, match=r"a folder to write 'a.txt' into, got none at '.*absent'"),
        whole(tmp_path / "absent" / "a.txt"),
    ):
        raise AssertionError("nothing is written")
