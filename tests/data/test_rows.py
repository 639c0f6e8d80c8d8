"""Rows in memory and on disk give the same numbers, in order, however they are taken."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from scorefield.data import ArrayRows, FileRows, Schema
from scorefield.data.layout import Layout
from scorefield.data.rows import Joined
from scorefield.fitting.related import IndependentRows, relations_of

TYPES = ["bool", "uint8", "int16", "uint16", "uint32", "int64", "float16", "float32", "float64", ">f4", ">i2"]


def images(dtype="uint8"):
    return np.random.default_rng(0).integers(0, 2, (50, 6, 5, 3)).astype(dtype)


@pytest.fixture
def stored(tmp_path):
    x = np.random.default_rng(0).normal(size=(200, 7)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    return x, np.load(tmp_path / "x.npy", mmap_mode="r")


@pytest.mark.parametrize("dtype", TYPES)
def test_memory_and_file_agree(tmp_path, dtype):
    x, layout = images(dtype), Layout((6, 5, 3), "grid", 2)
    np.save(tmp_path / "x.npy", x)
    file = FileRows.of(np.load(tmp_path / "x.npy", mmap_mode="r"), layout)
    indices = np.random.default_rng(1).integers(0, 50, 80)
    expected = torch.from_numpy(np.moveaxis(x[indices].astype(np.float32), 3, 1).copy())
    for rows in (ArrayRows(x, layout), file):
        assert rows.shape == (50, 3, 6, 5)
        taken = rows.take(indices)
        assert taken.is_contiguous() and taken.dtype == torch.float32
        assert torch.equal(taken, expected)
        assert rows.take([3], torch.float64).dtype == torch.float64
        assert torch.equal(torch.cat(list(rows.chunks(7))), rows.take(range(50)))


def test_storage_is_kept_as_it_is():
    assert ArrayRows(images()).values.dtype == torch.uint8
    x = torch.randn(5, 2, requires_grad=True)
    assert not ArrayRows(x).take([0]).requires_grad


@pytest.mark.parametrize("shape", [(9,), (9, 2), (9, 2, 4), (9, 2, 4, 4)])
def test_default_layout_is_the_internal_one(shape):
    assert ArrayRows(torch.zeros(shape)).shape == (shape if len(shape) > 1 else (9, 1))


@pytest.mark.parametrize("view", [lambda x: x[::-1], lambda x: x[::3], lambda x: x[:, ::2], lambda x: x.T])
def test_views_of_arrays(view):
    x = view(np.arange(60.0).reshape(10, 6))
    assert np.array_equal(ArrayRows(x).take([3, 0], torch.float64).numpy(), x[[3, 0]])


def test_a_read_only_array_is_taken_without_warning(recwarn):
    x = np.zeros((4, 2))
    x.flags.writeable = False
    ArrayRows(x).take([0])
    assert not recwarn.list


@pytest.mark.parametrize(
    "view",
    [lambda m: m, lambda m: m[50:], lambda m: m[10:][5:], lambda m: m[::3], lambda m: m[:, 2:5], lambda m: m[5:6]],
)
def test_slices_of_a_memmap_find_their_place_in_the_file(stored, view):
    x, m = stored
    rows = FileRows.of(view(m))
    assert np.array_equal(rows.take(range(len(rows))).numpy(), view(x))
    assert np.array_equal(rows.take([0, 0]).numpy(), view(x)[[0, 0]])


@pytest.mark.parametrize(
    "view", [lambda m: m[::-1], lambda m: m[:, ::2], lambda m: m.T, lambda m: m + 1, lambda m: m[:0]]
)
def test_what_does_not_lie_row_by_row_is_not_read_by_offset(stored, view):
    assert FileRows.of(view(stored[1])) is None


def test_a_private_copy_of_a_memmap_is_not_read_from_the_file(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((4, 2)))
    assert FileRows.of(np.load(tmp_path / "x.npy", mmap_mode="c")) is None


def test_what_was_written_through_the_memmap_is_read(tmp_path):
    m = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (10, 3))
    m[7] = 5
    assert FileRows.of(m).take([7]).tolist() == [[5, 5, 5]]


def test_threads_share_a_file(stored):
    x, m = stored
    rows = FileRows.of(m)
    batches = [np.random.default_rng(i).integers(0, 200, 64) for i in range(64)]
    with ThreadPoolExecutor(8) as pool:
        for indices, taken in zip(batches, pool.map(rows.take, batches)):
            assert np.array_equal(taken.numpy(), x[indices])


def test_without_preadv(stored, monkeypatch):
    monkeypatch.delattr("os.preadv")
    x, m = stored
    assert np.array_equal(FileRows.of(m).take([5, 3, 4, 199]).numpy(), x[[5, 3, 4, 199]])


def test_file_rows_can_be_pickled(stored):
    x, m = stored
    assert np.array_equal(pickle.loads(pickle.dumps(FileRows.of(m))).take([5]).numpy(), x[[5]])


def test_joined_rows_are_those_of_one_and_then_of_the_other():
    x = np.random.default_rng(0).normal(size=(7, 2))
    both = Joined(ArrayRows(x[:4]), ArrayRows(x[4:]))
    some = [6, 0, 3, 4, 4, 1]
    assert (both.take(some, torch.float64).numpy() == x[some]).all() and both.shape == (7, 2)
    assert (both.subset([5, 2]).take([1, 0], torch.float64).numpy() == x[[2, 5]]).all()


def test_subsets(stored):
    x, m = stored
    for rows in (ArrayRows(x), FileRows.of(m)):
        part = rows.subset([9, 4, 7, 4])
        assert part.shape == (4, 7) and part.dtype == torch.float32
        assert np.array_equal(part.take([1, 0]).numpy(), x[[4, 9]])
        nested = part.subset(np.array([2, 0]))
        assert nested.rows is rows
        assert np.array_equal(torch.cat(list(nested.chunks(1))).numpy(), x[[7, 9]])


def test_rows_of_a_file_are_read_from_front_to_back(stored, monkeypatch):
    """A part of them in any order takes one read for each stretch of neighbours, and not one for each row."""
    x, m = stored
    order = np.random.default_rng(0).permutation(200)[:180]
    part = FileRows.of(m).subset(order)
    reads = []
    fill = FileRows._fill
    monkeypatch.setattr(FileRows, "_fill", lambda self, target, place: (reads.append(place), fill(self, target, place)))
    places = part.reading_order()
    assert sorted(places) == list(range(180))
    found = torch.cat([part.take(places[i : i + 60]) for i in range(0, 180, 60)])
    assert np.array_equal(found.numpy(), x[np.sort(order)])
    assert reads == sorted(reads) and len(reads) <= 3 + 20
    assert list(ArrayRows(x).subset(order).reading_order()) == list(range(180))  # in memory any order is as good


def test_rows_without_what_follows_from_others_are_read_in_the_order_of_their_file(tmp_path):
    x = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    np.save(tmp_path / "x.npy", np.column_stack([x, x.sum(1)]))
    rows = FileRows.of(np.load(tmp_path / "x.npy", mmap_mode="r"))
    relations = relations_of(rows, Schema.of(np.load(tmp_path / "x.npy"), structure="vector"))
    order = np.random.default_rng(1).permutation(100)
    for part in (IndependentRows(rows.subset(order), relations), IndependentRows(rows, relations).subset(order)):
        assert part.shape == (100, 2) and part.on_disk
        assert np.array_equal(part.reading_order(), np.argsort(order))


def test_no_rows():
    rows = ArrayRows(np.zeros((4, 2)))
    assert rows.take([]).shape == (0, 2)
    assert rows.subset([]).shape == (0, 2)
    assert repr(rows) == "ArrayRows(shape=(4, 2), dtype=torch.float64)"


@pytest.mark.parametrize(("indices", "row"), [([0, 4], 4), ([-1], -1), (torch.tensor([9]), 9)])
def test_rows_out_of_range(indices, row):
    with pytest.raises(IndexError, match=f"row {row} of 4 rows: choose from 0 to 3"):
        ArrayRows(np.zeros((4, 2))).take(indices)


@pytest.mark.parametrize("indices", [[True, False], [[0]], [0.5]])
def test_indices_are_integers(indices):
    with pytest.raises(TypeError, match=r"chosen by a list of integers, got .* numpy.flatnonzero\(mask\)"):
        ArrayRows(np.zeros((4, 2))).take(indices)


def test_a_truncated_file(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"0" * 100)
    with pytest.raises(ValueError, match=r"x.bin is truncated: 30 rows need 120 bytes, it has 100: copy it again"):
        FileRows(tmp_path / "x.bin", (30, 1), "float32")


def test_a_file_that_shrinks(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"0" * 120)
    rows = FileRows(path, (30, 1), "float32")
    path.write_bytes(b"0" * 60)
    with pytest.raises(ValueError, match="ended at byte 60 while it was read: was it changed"):
        rows.take(range(30))
