"""Labelled data go by the names and the coordinates of their axes, whatever their order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scorefield.data import Schema
from scorefield.measurement import (
    Blur,
    Compose,
    CorrelatedNoise,
    Downsample,
    Mask,
    Measurement,
    PoissonNoise,
    WhiteNoise,
)

pandas = pytest.importorskip("pandas")
xarray = pytest.importorskip("xarray")

SIZES = {"time": 5, "lat": 4, "lon": 6, "level": 4}


def fields() -> xarray.Dataset:
    """Two variables on three axes, of as many latitudes as levels."""
    rng = np.random.default_rng(0)
    coords = {
        "time": pandas.date_range("2020", periods=5),
        "lat": np.linspace(60, 50, 4),
        "lon": list("abcdef"),
        "day": ("level", pandas.date_range("2000", periods=4)),
        "height": (("lat", "lon"), rng.normal(size=(4, 6))),
        "number": 3,
    }
    names = ("t", "pr")
    return xarray.Dataset({name: (tuple(SIZES), rng.normal(size=tuple(SIZES.values()))) for name in names}, coords)


def shuffled(x, seed: int):
    """The same with all axes and what lies along them in another order; numbers as another type holds them."""
    rng = np.random.default_rng(seed)
    x = x.isel({dim: rng.permutation(size) for dim, size in x.sizes.items() if dim != "time"})
    x = x.assign_coords(lat=x["lat"].astype("f4") + np.float32(1e-5))
    return x.transpose(*rng.permutation(list(x.dims)))


@pytest.mark.parametrize("seed", range(4))
def test_data_come_in_any_order(seed):
    x = fields()
    rows = Schema.of(x).unpack(x, torch.float64)
    assert torch.equal(Schema.of(x).unpack(shuffled(x[["pr", "t"]], seed), torch.float64), rows)
    assert torch.equal(Schema.of(x).unpack(shuffled(x.to_dataarray(), seed), torch.float64), rows)
    schema, rows = Schema.of(x.t), Schema.of(x.t).unpack(x.t, torch.float64)
    assert torch.equal(schema.unpack(shuffled(x.t, seed), torch.float64), rows)
    assert torch.equal(schema.unpack(shuffled(x.t, seed).rename(time="draw"), torch.float64), rows)


def test_coordinates_that_are_not_there_are_not_compared():
    x = fields().isel(level=0)
    schema, rows = Schema.of(x.t), Schema.of(x.t).unpack(x.t, torch.float64)
    flipped = schema.unpack(x.t.values[:, ::-1].copy(), torch.float64)
    assert not torch.equal(rows, flipped)
    assert torch.equal(schema.unpack(x.t.drop_vars(["lat", "height"])[:, ::-1], torch.float64), flipped)
    assert torch.equal(schema.unpack(xarray.DataArray(x.t.values), torch.float64), rows)
    assert torch.equal(schema.unpack(x.t.assign_coords(number=7, time=np.arange(5)), torch.float64), rows)
    assert torch.equal(Schema.of(x.t.values).unpack(x.t[:, ::-1], torch.float64), flipped)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: x.assign_coords(lat=x.lat + 1),
            r"coordinate 'lat' from 61 to 51 \(4\), and the data of the model from 60",
        ),
        (
            lambda x: x.isel(lat=slice(3)),
            r"coordinate 'lat' from 60 to 53\.3333 \(3\), and the data of the model from 60",
        ),
        (lambda x: x.assign_coords(lon=list("abcdex")), r"coordinate 'lon' from a to x \(6\)"),
        (lambda x: x.assign_coords(lon=list("aabbcc")), r"coordinate 'lon' from a to c \(6\)"),
        (lambda x: x.assign_coords(lon=np.arange(6)), r"coordinate 'lon' from 0 to 5 \(6\)"),
        (lambda x: x.assign_coords(day=x.day + np.timedelta64(1, "D")), r"coordinate 'day' from 2000-01-02"),
        (lambda x: x.assign_coords(height=x.height[::-1].variable), r"coordinate 'height' from"),
    ],
)
def test_other_coordinates_are_refused(change, message):
    x = fields()
    for one in (x, x.t):
        with pytest.raises(ValueError, match=message) as caught:
            Schema.of(one).rows(change(one))
        assert "\n" not in str(caught.value) and "drop_vars" in str(caught.value)


def test_other_axes_are_refused():
    with pytest.raises(
        ValueError, match=r"^the DataArray has the axes \(y, lon, level\), and a data point of the model has"
    ):
        Schema.of(fields().t).rows(fields().t.rename(lat="y"))


@pytest.mark.parametrize("seed", range(4))
def test_measurements_come_in_any_order(seed):
    x = fields()
    labels, y = Schema.of(x).labels, x.isel(time=2).to_dataarray()
    y = y.where(np.random.default_rng(seed).random(y.shape) < 0.6)
    mixed = shuffled(y, seed)
    here, there = y.values[~np.isnan(y.values)], mixed.values[~np.isnan(mixed.values)]
    assert not np.array_equal(here, there)
    order = torch.from_numpy(np.argsort(here)[np.argsort(np.argsort(there))])  # where each one of `there` is in `here`
    assert np.array_equal(here[order], there)
    covariance = torch.diag(torch.from_numpy(abs(here)) + 1) + 0.1
    noises = (
        (0.5, 0.5),
        (abs(here), abs(there)),
        (CorrelatedNoise(covariance), CorrelatedNoise(covariance[order][:, order])),
    )
    for noise, other in noises:
        expected = Measurement("mask", y.values, noise)
        found = Measurement("mask", mixed, other).like(labels)
        assert torch.equal(found.operator.keep, expected.operator.keep) and torch.equal(found.y, expected.y)
        r = torch.ones(1, len(here), dtype=torch.float64)
        assert torch.allclose(found.noise.whiten(r, r), expected.noise.whiten(r, r))
    found = Measurement("mask", mixed.to_dataset("variable")[["pr", "t"]], WhiteNoise(0.5)).like(labels)
    assert torch.equal(found.operator.keep, expected.operator.keep) and torch.equal(found.y, expected.y)


def test_measurements_with_other_operators():
    one = fields().t.isel(time=0, level=0)
    labels = Schema.of(fields().t.isel(level=0)).labels
    for operator in (Blur(1.0), Compose((Blur(1.0), Mask(torch.ones(4, 6))))):
        y = one if isinstance(operator, Blur) else one.values.reshape(-1)
        assert torch.equal(
            Measurement(operator, y, 0.1).like(labels).y, torch.as_tensor(y if y is not one else one.values)
        )
    found = Measurement(Blur(1.0), one[::-1].T, xarray.DataArray(abs(one))).like(labels)
    assert torch.equal(found.y, torch.from_numpy(one.values))
    assert torch.equal(found.noise.std, torch.from_numpy(abs(one.values)).reshape(-1))
    coarse = one.assign_coords(lon=np.arange(6.0)).coarsen(lat=2, lon=2).mean().drop_vars("height")
    assert torch.equal(Measurement(Downsample(2), coarse, 0.1).like(labels).y, torch.from_numpy(coarse.values))
    with pytest.raises(
        ValueError, match=r"^y has the coordinate 'lat' from 51\.6667 .* it runs the other way, reverse it"
    ):
        Measurement(Downsample(2), coarse[::-1], 0.1).like(labels)
    gauges = xarray.DataArray([1.0, 2.0], {"gauge": ["x", "y"]}, ("gauge",))
    counts = Measurement(Mask(torch.arange(24).reshape(4, 6) < 2), gauges, PoissonNoise(1.0))
    assert counts.like(labels).y.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y.assign_coords(lat=y.lat + 1), r"^y has the coordinate 'lat' from 61 to 51"),
        (
            lambda y: y.expand_dims("time"),
            r"^y has the axes \(time, lat, lon\), and a data point of the model has",
        ),
        (lambda y: y.rename(lat="y"), r"^y has the axes \(y, lon\)"),
    ],
)
def test_measurements_elsewhere_are_refused(change, message):
    one = fields().t.isel(level=0)
    with pytest.raises(ValueError, match=message) as caught:
        Measurement("mask", change(one.isel(time=0)), 0.1).like(Schema.of(one).labels)
    assert "\n" not in str(caught.value)
