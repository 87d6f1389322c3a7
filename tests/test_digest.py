# SPDX-License-Identifier: Apache-2.0
"""Hashing beside other work: done when the block is, silent about what nobody asks for."""

import pytest

from nigroedge.digest import hashing
from nigroedge.errors import InputError
from nigroedge.model import load_model
from nigroedge.volume import Source

#: FIPS 180-2, appendix B.1.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_hash_is_there_when_the_block_ends(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    source = Source(path)

    with hashing(source):
        pass
    path.unlink()

    assert source.is_hashed
    assert ABC == source.sha256


def test_who_asks_for_the_hash_of_an_unreadable_file_is_told(tmp_path):
    source = Source(tmp_path / "none")
    with hashing(source):
        pass

    with pytest.raises(InputError, match="none': No such file"):
        source.sha256  # noqa: B018


def test_a_loaded_model_is_hashed():
    assert "sha256" in vars(load_model().artefact)
