from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from scorefield.data import ArrayRows, FileRows
from scorefield.training import Feed, feed as module
from scorefield.training.feed import Reference
from scorefield.units import Standardize


def feed_of(count: int, batch: int, seed: int = 0) -> Feed:
    """A feed of the numbers from 0 to `count`, which are their own names."""
    rows = ArrayRows(torch.arange(float(count)).reshape(count, 1))
    return Feed(rows, Standardize((1,)), batch, seed)


@pytest.mark.parametrize(("count", "batch"), [(1, 1), (7, 3), (7, 7), (5, 13), (5000, 4), (20_000, 1000)])
def test_a_pass_sees_every_datum_once(count, batch):
    """Pass after pass without a seam, in new orders; a batch may be larger than the data."""
    feed = feed_of(count, batch)
    passes = max(2, -(-3 * batch // count)) if count < 10_000 else 2
    drawn = torch.cat([feed.batches(k) for k in range(-(-passes * count // batch))])[: passes * count, 0].long()
    orders = drawn.reshape(passes, count)
    assert bool((orders.sort(1).values == torch.arange(count)).all())
    if count > 100:
        assert not torch.equal(orders[0], orders[1])


def test_rows_in_any_order_of_a_file_are_fed_in_their_own(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(300, dtype=np.float32)[:, None])
    order = np.random.default_rng(1).permutation(300)[:250]
    file = FileRows.of(np.load(tmp_path / "x.npy", mmap_mode="r")).subset(order)
    memory = ArrayRows(torch.arange(300.0)[:, None]).subset(order)
    of_file, of_memory = (Feed(rows, Standardize((1,)), 40, 0) for rows in (file, memory))
    for k in range(14):
        assert torch.equal(of_file.batches(k), of_memory.batches(k))


def test_batches_are_addressed():
    """Batch k is the same whatever was asked before, alone or among its neighbours; seeds differ."""
    feed = feed_of(5000, 300)
    whole = feed.batches(0, 200).reshape(200, 300, 1)
    for number in (199, 0, 54, 55, 3, 120):
        assert torch.equal(feed_of(5000, 300).batches(number), whole[number])
        assert torch.equal(feed.batches(number), whole[number])
    assert torch.equal(feed.batches(50, 7).reshape(7, 300, 1), whole[50:57])
    assert not torch.equal(feed_of(5000, 300, seed=1).batches(0), whole[0])


@pytest.mark.parametrize(("count", "batch"), [(50, 8), (700, 8), (5000, 100), (17_000, 256)])
def test_references_are_other_data(count, batch):
    """Distinct, never of the batch; as many as asked for, or all that are left; there for most of the batches."""
    feed, asked = feed_of(count, batch), count // 2
    there = 0
    numbers = [*range(3 * count // batch)][:: max(1, count // batch // 60)]
    for number in numbers:
        own = feed.batches(number)
        others, complete, same = feed.reference(number, 1, asked)
        assert not complete
        if others is None or same is not None:
            continue
        there += 1
        assert len(others) == asked
        assert len(others.unique()) == len(others)
        assert not bool(torch.isin(others, own).any())
        again = feed_of(count, batch).reference(number, 1, asked)[0]
        assert again is not None and torch.equal(again, others)  # addressed, too
    assert there >= len(numbers) * (1 - 1.5 * batch / count) - 2


def test_references_of_several_batches_are_of_none_of_them():
    feed = feed_of(700, 50)
    for number in range(0, 60, 4):
        others, _, same = feed.reference(number, 4, 600)
        if same is None:
            assert others is not None and len(others) == 500
            assert not bool(torch.isin(others, feed.batches(number, 4)).any())


def test_references_tell_when_they_are_all_data():
    feed = feed_of(50, 8)
    for size in (50, 4096):
        others, complete, _ = feed.reference(3, 1, size)
        assert complete
        assert others is not None and torch.equal(others, torch.arange(50.0)[:, None])
    assert feed.reference(0, 1, 0) == Reference()


@pytest.mark.parametrize(("count", "batch", "together"), [(50, 50, 1), (50, 80, 1), (300, 40, 4), (600, 256, 32)])
def test_batches_that_leave_no_others_say_which_are_theirs(count, batch, together):
    """As many references as asked for in every group of batches, and each of its examples knows itself among them."""
    feed, asked = feed_of(count, batch), 40
    for number in range(0, 5 * together, together):
        others, complete, same = feed.reference(number, together, asked)
        own = feed.batches(number, together)
        assert others is not None and not complete and len(others.unique()) == asked
        expected = own == others.T
        assert torch.equal(same, expected) if same is not None else not bool(expected.any())


def test_small_batches_of_two_passes_have_none():
    feed = feed_of(100, 8)
    found = [feed.reference(number, 1, 20) for number in range(25)]
    assert [each == Reference() for each in found] == [number in (12,) for number in range(25)]


def test_references_are_each_datum_as_often():
    """Over many passes every row serves alike: the others are a fair draw."""
    feed, often = feed_of(40, 4), torch.zeros(40)
    rounds = 3000
    for number in range(rounds):
        others, _, _ = feed.reference(number, 1, 10)
        assert others is not None  # 4 divides 40: no batch is of two passes
        often[others[:, 0].long()] += 1
    expected = rounds * 10 / 40
    assert float((often - expected).abs().max()) < 5 * expected**0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_streaming_is_the_same(tmp_path, monkeypatch, dtype):
    """From a file, from memory, and kept on the device."""
    x = np.random.default_rng(0).normal(100, 20, size=(300, 2, 5)).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    rows = FileRows.of(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert rows is not None
    units = Standardize((2, 5), torch.full((2, 1), 100.0).double(), torch.full((2, 1), 20.0).double())
    kept = Feed(rows, units, 64, 0)
    monkeypatch.setattr(module, "_KEPT", 0)
    streams = (
        Feed(rows, units, 64, 0),
        Feed(ArrayRows(x), units, 64, 0),
        Feed(ArrayRows(x).subset(range(300)), units, 64, 0),
    )
    for number in (0, 3, 4, 17):
        expected = units(torch.from_numpy(x.astype(np.float64)))[kept.indices(number)].float()
        torch.testing.assert_close(kept.batches(number), expected, rtol=1e-6, atol=1e-6)
        for stream in streams:
            assert torch.equal(stream.batches(number), kept.batches(number))
            assert stream.reference(number, 1, 10) == Reference()


@pytest.mark.parametrize("stride", [1, 3])
def test_the_next_batch_is_prefetched(monkeypatch, stride):
    """By another thread, once; whatever is asked for in another order is read at once, and is the same."""

    readers: list[str] = []

    class Slow(ArrayRows):
        def stored(self, indices):
            readers.append(threading.current_thread().name)
            return super().stored(indices)

    kept = feed_of(500, 16)
    monkeypatch.setattr(module, "_KEPT", 0)
    feed = Feed(Slow(torch.arange(500.0).reshape(500, 1)), Standardize((1,)), 16, 0)
    for number in range(0, 10 * stride, stride):
        assert torch.equal(feed.batches(number), kept.batches(number))
    mine = sum(not name.startswith("prefetch") for name in readers)
    assert mine == (1 if stride == 1 else 2) and len(readers) >= 10
    for number in (90, 7, 8, 2):
        assert torch.equal(feed.batches(number), kept.batches(number))


def test_errors_of_prefetching_are_raised_where_the_rows_are_needed(monkeypatch):
    class Torn(ArrayRows):
        def stored(self, indices):
            if threading.current_thread() is not threading.main_thread():
                raise OSError("the disk is gone")
            return super().stored(indices)

    monkeypatch.setattr(module, "_KEPT", 0)
    feed = Feed(Torn(torch.zeros(50, 1)), Standardize((1,)), 10, 0)
    assert feed.batches(0).shape == (10, 1)
    with pytest.raises(OSError, match="the disk is gone"):
        feed.batches(1)


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int64, np.uint32, np.uint64])
def test_large_offsets_keep_their_digits(dtype):
    x = np.array([[2**30 - 1], [2**30], [2**30 + 1]], dtype)
    feed = Feed(ArrayRows(x), Standardize((1,), torch.tensor([2.0**30]).double()), 3, 0)
    assert sorted(feed.batches(0).flatten().tolist()) == [-1, 0, 1]
    assert feed.batches(0).dtype == torch.float32
