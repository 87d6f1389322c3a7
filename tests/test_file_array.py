# SPDX-License-Identifier: Apache-2.0
"""Arrays that lie in files: every window is numpy's of the same array, and little else is read."""

import os
import pickle
import tracemalloc
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import InputError
from nigroedge.io.file_array import FileArray
from nigroedge.io.open_file import OpenFile
from nigroedge.volume import STORED_DTYPES


def stored(path, array, *, order="F", offset=0):
    """Write an array after `offset` other bytes, and give it as it lies there."""
    path.write_bytes(b"\xa5" * offset + array.tobytes(order=order) + b"more")
    return FileArray(OpenFile(str(path)), path, array.dtype, offset, array.shape, order=order)


def cut(array, begin, end):
    return array[tuple(slice(b, e) for b, e in zip(begin, end, strict=True))]


def test_a_window_by_hand(tmp_path):
    array = stored(tmp_path / "a", np.arange(24, dtype="<i2").reshape((2, 3, 4), order="F"))

    assert [[[8, 14], [10, 16]]] == array.window((0, 1, 1), (1, 3, 3)).tolist()
    assert [[18, 20, 22], [19, 21, 23]] == array.part(3).tolist()
    assert ((2, 3, 4), 3, 24, "<i2") == (array.shape, array.ndim, array.size, array.dtype.str)
    assert "<int16 (2, 3, 4) in a file>" == repr(array)


@given(data=st.data())
def test_every_window_is_that_of_numpy(tmp_path_factory, data):
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=5), label="shape"))
    dtype = np.dtype(data.draw(st.sampled_from("<>")) + data.draw(st.sampled_from(STORED_DTYPES)))
    seed = data.draw(st.integers(0, 1000))
    array = np.frombuffer(
        np.random.default_rng(seed).bytes(np.prod(shape) * dtype.itemsize), dtype
    ).reshape(shape)
    offset = data.draw(st.integers(0, 600), label="offset")
    order = data.draw(st.sampled_from("FC"))
    begin = [data.draw(st.integers(0, n - 1)) for n in shape]
    end = [data.draw(st.integers(b + 1, n)) for b, n in zip(begin, shape, strict=True)]
    lying = stored(tmp_path_factory.mktemp("a") / "a", array, order=order, offset=offset)

    window = lying.window(begin, end)
    assert array.dtype == window.dtype
    assert cut(array, begin, end).tobytes() == window.tobytes()
    assert not window.flags.writeable
    assert array.tobytes() == lying.read().tobytes()
    index = data.draw(st.integers(0, shape[0 if order == "C" else -1] - 1))
    part = array[index : index + 1] if order == "C" else array[..., index : index + 1]
    assert part.tobytes() == lying.part(index).tobytes()


@pytest.mark.parametrize("cost", [0, 100, 1 << 40], ids=["rows", "some", "one"])
def test_how_runs_are_chosen_makes_no_difference(tmp_path, monkeypatch, cost):
    """One element at a time, or all between the first and the last."""
    monkeypatch.setattr("nigroedge.io.file_array._READ_COST_BYTES", cost)
    array = np.arange(7 * 6 * 5, dtype=">u4").reshape(7, 6, 5)
    lying = stored(tmp_path / "a", array, order="F", offset=3)
    ranges = [[(b, e) for b in range(n) for e in range(b + 1, n + 1)][::3] for n in array.shape]

    for bounds in product(*ranges):
        begin, end = zip(*bounds, strict=True)
        assert cut(array, begin, end).tolist() == lying.window(begin, end).tolist()


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_no_more_is_read_and_kept_than_the_rows_of_the_window(tmp_path, axes):
    """A slab's patch: 50 × 50 × 20 of 384 × 384 × 30, whichever axis is the fastest."""
    shape = [(384, 384, 30)[axis] for axis in axes]
    begin, end = ([bound[axis] for axis in axes] for bound in ((150, 130, 5), (200, 180, 25)))
    array = np.random.default_rng(0).integers(0, 99, shape).astype("<i2")
    lying = stored(tmp_path / "a", array)
    tracemalloc.start()
    window = lying.window(begin, end)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert cut(array, begin, end).tolist() == window.tolist()
    # Of 8.4 MiB. Where z is the fastest, one read of 50 whole sagittal slices is the cheapest.
    assert peak < 1.25 * (1 << 20)


def test_an_array_larger_than_any_memory(tmp_path):
    """A file with a hole: 64 TiB of zeros (less where the file system takes no more) and a 7."""
    path = tmp_path / "a"
    shape = (1 << 14, 1 << 14, 1 << 12)
    with path.open("wb") as file:
        file.truncate(shape[0] * shape[1] * shape[2] * 8)
        file.seek(((1000 * shape[1] + 2000) * shape[0] + 3000) * 8)
        file.write(np.float64(7).tobytes())
    lying = FileArray(OpenFile(str(path)), path, np.dtype("<f8"), 0, shape, order="F")

    window = lying.window((2999, 1999, 999), (3001, 2001, 1001))
    assert 7 == window[1, 1, 1]
    assert 7 == window.sum()


@pytest.mark.parametrize(
    ("begin", "end"),
    [((-1, 0), (1, 1)), ((0, 0), (0, 1)), ((2, 0), (1, 1)), ((0, 0), (4, 1)), ((0,), (1,))],
)
def test_a_window_that_is_none_is_refused(tmp_path, begin, end):
    lying = stored(tmp_path / "a", np.zeros((3, 3), np.uint8))

    with pytest.raises(ValueError, match=r"expected a window within \(3, 3\)|argument"):
        lying.window(begin, end)


def test_what_is_read_after_a_change_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "scan.nii"
    lying = stored(path, np.zeros((30, 20, 10), np.uint8))
    assert 0 == lying.window((0, 0, 0), (1, 1, 1)).item()
    os.truncate(path, 5999)

    for begin in ((0, 0, 0), (29, 19, 9)):  # what is left of the file counts no more than the rest
        with pytest.raises(InputError) as caught:
            lying.window(begin, [b + 1 for b in begin])
        assert (
            f"{str(path)!r}: expected 6004 bytes, as when it was opened, got 5999: it was cut "
            f"short meanwhile"
        ) == str(caught.value)


def test_in_another_process_it_is_an_array_in_memory(tmp_path):
    array = np.arange(6, dtype=">f4").reshape(1, 2, 3)
    travelled = pickle.dumps(stored(tmp_path / "a", array))
    (tmp_path / "a").unlink()

    again = pickle.loads(travelled)
    assert isinstance(again, np.ndarray)
    np.testing.assert_array_equal(array, again)
