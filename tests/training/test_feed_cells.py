"""Batches of data that are spread over the cells that they stand for."""

from __future__ import annotations

import torch

from scorefield.data import ArrayRows
from scorefield.training import Feed
from scorefield.units import Standardize

WIDTH = torch.tensor([0.5, 0.0], dtype=torch.float64)


def feed_of(count: int, batch: int, seed: int = 0) -> Feed:
    """A feed of equal pairs of whole numbers, of which the first has a cell."""
    rows = ArrayRows(torch.arange(count)[:, None].expand(count, 2).contiguous())
    return Feed(rows, Standardize((2,)), batch, seed, cells=WIDTH)


def test_places_are_uniform_in_their_cells_and_new_each_time():
    feed = feed_of(5000, 5000)
    first, second = feed.batches(0), feed.batches(1)
    for x in (first, second):
        assert torch.equal(x[:, 1], x[:, 1].round())  # continuous numbers stay
        place = (x[:, 0] - x[:, 1]).double() / 0.5
        assert float(place.abs().max()) <= 0.5 + 1e-3  # rounding, at 5000
        assert abs(float(place.mean())) < 4.5 * (1 / 12 / 5000) ** 0.5
        assert abs(float(place.var()) - 1 / 12) < 4.5 * (1 / 180 / 5000) ** 0.5
    again = second[second[:, 1].argsort(), 0] - first[first[:, 1].argsort(), 0]
    assert abs(float(torch.corrcoef(torch.stack([again, first[first[:, 1].argsort(), 1]]))[0, 1])) < 0.07
    assert float(again.abs().mean()) > 0.1


def test_places_are_addressed():
    """Those of batch k are the same whatever was asked before, alone or among its neighbours; seeds differ."""
    feed = feed_of(500, 30)
    whole = feed.batches(0, 20).reshape(20, 30, 2)
    for number in (19, 0, 7):
        assert torch.equal(feed_of(500, 30).batches(number), whole[number])
    assert torch.equal(feed.batches(5, 3).reshape(3, 30, 2), whole[5:8])
    one, other = (feed_of(500, 30, seed).batches(0) for seed in (0, 1))
    assert not torch.equal(one[:, 0] - one[:, 1], other[:, 0] - other[:, 1])


def test_references_are_spread_too_and_none_is_a_point():
    """Where they would be all data, they are the others: a row of the batch is at another place among these."""
    feed = feed_of(50, 8)
    others, complete, _ = feed.reference(3, 1, 4096)
    assert not complete and others is not None and len(others) == 42
    assert not bool(torch.isin(others[:, 1], feed.batches(3)[:, 1]).any())
    place = others[:, 0] - others[:, 1]
    assert 0 < float(place.abs().max()) <= 0.25 + 1e-6 and len(place.unique()) > 40
    again, _, _ = feed_of(50, 8).reference(3, 1, 4096)
    assert again is not None and torch.equal(again, others)
