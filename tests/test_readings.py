"""Rows of readings: conditionals and densities against a Gaussian process that is known exactly; a fit from end to end."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import scorefield
from scorefield import Data, Model, Network, fit
from scorefield.data import Ragged, Schema
from scorefield.denoisers import EDMPrediction, Gaussian, MixedDenoiser
from scorefield.known_readings import layouts
from scorefield.processes import EDM
from scorefield.samplers import Sampling
from scorefield.units import ReadingUnits

pd = pytest.importorskip("pandas")

MEAN, STD, LAST = 10.0, 2.0, 5.0


def kernel(s, t):
    """The covariance of the series, of times from -1 to 1: a smooth part, and independent noise."""
    near = np.exp(-2.0 * abs(s - t)) if isinstance(s, np.ndarray) else torch.exp(-2.0 * (s - t).abs())
    return 0.8 * near + 0.2 * (s == t)


class ExactProcess(nn.Module):
    """What a network answers that has learned the process: exchangeable with covariance 1/2 where it is a set."""

    def __init__(self, is_set: bool = False) -> None:
        super().__init__()
        self.is_set = is_set

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        length = x.shape[1] // 9
        value, time, _, given, _, _, absent, _, _ = x.double().reshape(len(x), 9, length).unbind(1)
        level = torch.exp(4 * c.double())[:, None]
        free = (1 - given) * (1 - absent)
        noisy = torch.where(free > 0, value * (level**2 + 1).sqrt(), value)
        s, t = time[:, :, None], time[:, None, :]
        own = torch.eye(length, dtype=torch.float64).expand(len(x), -1, -1)
        k = 0.5 + 0.5 * own if self.is_set else kernel(s, t)
        there = 1 - absent
        k = k * there[:, :, None] * there[:, None, :]
        whole = k + torch.diag_embed(free * level**2 + absent + 1e-9)
        mean = (k @ torch.linalg.solve(whole, (noisy * there)[..., None]))[..., 0]
        skip, gain = EDMPrediction().coefficients(level)
        answer = torch.where(free > 0, (mean - skip * noisy) / gain, 0.0)
        return torch.cat((answer, torch.zeros_like(answer).repeat(1, 2)), 1).to(x)


def rows(count: int = 4) -> pd.DataFrame:
    """Series of the process, of 3 to 6 readings at random times."""
    rng = np.random.default_rng(0)
    parts = []
    for i in range(count):
        t = np.sort(rng.uniform(0, LAST, 3 + i % 4))
        u = 2 * t / LAST - 1
        x = rng.multivariate_normal(np.zeros(len(t)), kernel(u[:, None], u[None]))
        parts.append(pd.DataFrame({"id": i, "t": t, "x": MEAN + STD * x}))
    return pd.concat(parts, ignore_index=True)


def exact_model(is_set: bool = False) -> Model:
    frame = rows() if not is_set else rows()[["id", "x"]]
    schema = Schema.of(frame, data=Data(rows="id", time=None if is_set else "t"))
    length = schema.shape[0] // 3
    units = ReadingUnits(length, (MEAN,), (STD,), (0.0, LAST))
    denoiser = MixedDenoiser(ExactProcess(is_set), units.variables, share=0.5)
    moments = Gaussian(torch.zeros(3 * length), torch.ones(3 * length))
    where = layouts(schema.unpack(frame, torch.float64))
    return Model(schema, units, denoiser, moments, Sampling(process=EDM(0.002, 80.0)), None, (where,))


def exact_log_prob(part: pd.DataFrame) -> float:
    u = 2 * part["t"].to_numpy() / LAST - 1
    return float(
        stats.multivariate_normal(np.full(len(u), MEAN), STD**2 * kernel(u[:, None], u[None])).logpdf(part["x"])
    )


def test_forecasts_follow_the_exact_conditional():
    asked = pd.DataFrame({"id": 7, "t": [0.5, 1.0, 2.0, 2.5, 4.0], "x": [12.0, 11.0, 9.0, np.nan, np.nan]})
    drawn = exact_model().condition(asked).sample(2048)
    table = drawn["x"].to_numpy().reshape(-1, 5)
    assert (table[:, :3] == [12.0, 11.0, 9.0]).all()
    assert drawn["t"].to_numpy().reshape(-1, 5)[0].tolist() == asked["t"].tolist()
    u = 2 * asked["t"].to_numpy() / LAST - 1
    k = kernel(u[:, None], u[None])
    gain = k[3:, :3] @ np.linalg.inv(k[:3, :3])
    mean = MEAN + gain @ (np.array([12.0, 11.0, 9.0]) - MEAN)
    covariance = STD**2 * (k[3:, 3:] - gain @ k[:3, 3:])
    future = table[:, 3:]
    error = np.sqrt(covariance.diagonal() / len(future))
    assert (abs(future.mean(0) - mean) < 4 * error).all()
    assert np.allclose(np.cov(future.T), covariance, atol=4 * covariance.max() * math.sqrt(2 / len(future)))


def test_new_rows_have_times_of_the_data():
    drawn, frame = exact_model().sample(6), rows()
    sizes = frame.groupby("id").size().tolist()
    assert sorted(drawn.groupby("id").size().tolist()[:4]) == sorted(sizes)
    assert set(drawn["t"].round(9)) == set(frame["t"].round(9))


def test_log_densities_are_those_of_the_process():
    frame = rows()
    found = exact_model().log_prob(frame, tolerance=1e-5).value
    exact = [exact_log_prob(part) for _, part in frame.groupby("id")]
    assert torch.allclose(found, torch.tensor(exact, dtype=torch.float64), atol=5e-3)


def test_conditional_log_densities_are_those_of_the_process():
    frame = rows()
    past = frame["t"] < 2.5
    found = exact_model().density(tolerance=1e-5).conditional(frame, given=past).value
    exact = [
        exact_log_prob(p) - (exact_log_prob(p[p["t"] < 2.5]) if (p["t"] < 2.5).any() else 0)
        for _, p in frame.groupby("id")
    ]
    assert torch.allclose(found, torch.tensor(exact, dtype=torch.float64), atol=5e-3)
    with pytest.raises(ValueError, match=r"^given=\[…\] holds true or false for each of 18 readings, got"):
        exact_model().density().conditional(frame, given=["t"])


def test_a_table_without_rows_is_refused():
    with pytest.raises(ValueError, match=r"^there are no readings in the data: give one row of a table for each"):
        exact_model().impute(rows().iloc[:0], draws=1)


def test_the_order_of_a_set_changes_nothing():
    frame = rows()[["id", "x"]]
    mixed = frame.sample(frac=1, random_state=1).sort_values("id", kind="stable")
    model = exact_model(is_set=True)
    one, other = model.log_prob(frame, tolerance=1e-7).value, model.log_prob(mixed, tolerance=1e-7).value
    assert (one - other).abs().max() < 1e-6
    n = frame.groupby("id").size().to_numpy()
    exact = [
        stats.multivariate_normal(np.full(m, MEAN), STD**2 * (0.5 + 0.5 * np.eye(m))).logpdf(part["x"])
        for m, (_, part) in zip(n, frame.groupby("id"))
    ]
    assert torch.allclose(one, torch.tensor(exact), atol=5e-3)


def test_gaps_are_filled_and_the_rest_stays():
    frame, model = rows(), exact_model()
    holes = frame.assign(x=frame["x"].where(frame.index % 3 > 0), note="kept").sample(frac=1, random_state=0)
    first, second = model.impute(holes, draws=2)
    known = holes["x"].notna()
    assert first.index.equals(holes.index) and (first["note"] == "kept").all() and first["x"].notna().all()
    assert (first["x"][known] == holes["x"][known]).all() and (first["x"][~known] != second["x"][~known]).all()


def test_what_is_not_served_is_refused_in_one_line():
    model, frame = exact_model(), rows()
    alone = "takes rows of one length, and each row is a series of up to 6 readings of 1 channel:"
    for call in (model.plot, lambda: model.encode(frame), lambda: model.decode(torch.zeros(1, 18))):
        with pytest.raises(ValueError, match=rf"^\w+ {alone}"):
            call()
    with pytest.raises(ValueError, match=r"^this model is conditioned on readings in the form of the data, got x:"):
        model.condition(x=3.0)
    with pytest.raises(ValueError, match=r"^the density given some readings is a conditional of the model that is not"):
        model.condition(frame).log_prob(frame)
    with pytest.raises(ValueError, match=r"^readings have times and channels, and these are given"):
        model.denoiser(torch.zeros(1, 18), torch.tensor(1.0))
    with pytest.warns(
        UserWarning, match=r"^the time 9 lies outside of the data \(0 to 5\): what is drawn there is extra"
    ):
        model.condition(pd.DataFrame({"id": 0, "t": [9.0], "x": [np.nan]}))


SMALL = {"network": Network(widths=(16,), depth=1), "steps": 3}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"context": np.arange(40)}, "context"),
        ({"groups": np.arange(40)}, "groups"),
        ({"units": (0.0, 1.0)}, "units"),
        ({"data": Data(rows="id", time="t", log=("x",))}, "log"),
        ({"data": Data(rows="id", time="t", split="time")}, "split"),
        ({"data": Data(rows="id", time="t", mirror=1)}, "mirror"),
    ],
)
def test_options_that_do_not_go_with_readings(options, name):
    with pytest.raises(ValueError, match=rf"^{name} does not go with rows of readings: "):
        fit(rows(40), **{"data": Data(rows="id", time="t"), **SMALL, **options})


def test_a_fit_is_saved_and_loaded(tmp_path):
    model = fit(rows(40), tmp_path / "run", data=Data(rows="id", time="t"), **SMALL)
    again = scorefield.load(tmp_path / "run")
    pd.testing.assert_frame_equal(model.sample(3), again.sample(3))
    assert list(model.sample(2).columns) == ["id", "t", "x"]
    assert "the times of 36 rows known" in repr(model)


def test_arrays_come_back_as_arrays():
    values = [part["x"].to_numpy() for _, part in rows(20).groupby("id")]
    model = fit(Ragged(values), **SMALL)
    drawn = model.sample(4)
    assert isinstance(drawn, Ragged) and drawn.values[0].ndim == 1 and len(drawn) == 4
    filled = model.impute(Ragged([[1.0, np.nan], [np.nan]]))
    assert filled.values[0][0] == 1.0 and np.isfinite(np.concatenate(filled.values)).all()


def test_the_command_line(tmp_path, capsys):
    from scorefield.cli import main

    def run(*words: object) -> None:
        assert main([str(word) for word in words]) == 0, capsys.readouterr().err

    data, out = tmp_path / "long.csv", tmp_path / "out.csv"
    rows(40).to_csv(data, index=False)
    run("fit", data, "-o", tmp_path / "run", "--rows", "id", "--time", "t", "--steps", 3, "--widths", 16)
    run("sample", tmp_path / "run", "-n", 600, "-o", out)
    assert pd.read_csv(out)["id"].nunique() == 600
    asked = rows(1).assign(x=lambda f: f["x"].where(f["t"] < 2))
    asked.to_csv(tmp_path / "asked.csv", index=False)
    run("impute", tmp_path / "run", tmp_path / "asked.csv", "-o", out, "--overwrite")
    found = pd.read_csv(out)
    assert found["x"].notna().all() and np.allclose(found["x"], asked["x"].fillna(found["x"]))
    run("sample", tmp_path / "run", "-n", 2, "-o", out, "--overwrite", "--given", tmp_path / "asked.csv")
    assert np.allclose(pd.read_csv(out)["t"], np.tile(asked["t"], 2))


@pytest.mark.slow
def test_the_mean_of_a_set_is_learned():
    rng, parts = np.random.default_rng(0), []
    for i in range(600):
        n = rng.integers(1, 6)
        mean = rng.normal()
        parts.append(pd.DataFrame({"id": i, "what": ["mean", *["x"] * n], "v": [mean, *rng.normal(mean, 1, n)]}))
    model = fit(
        pd.concat(parts), data=Data(rows="id", channel="what"), steps=1000, training=scorefield.Training(batch=64)
    )
    asked = pd.DataFrame({"id": 0, "what": ["mean", "x", "x", "x"], "v": [np.nan, 1.0, 1.2, 2.0]})
    drawn = model.condition(asked).sample(512)
    mean = drawn[drawn["what"] == "mean"]["v"]
    assert abs(mean.mean() - 1.05) < 0.2 and 0.4 < mean.std() < 0.65


def amounts(count: int = 40) -> pd.DataFrame:
    """Rain, which is exactly 0 in half of the readings; counts; temperatures."""
    rng = np.random.default_rng(0)
    n = 6 * count
    rain = np.where(rng.random(n) < 0.5, 0.0, rng.exponential(size=n))
    found = {"id": np.repeat(np.arange(count), 6), "t": np.tile(np.arange(6.0), count), "rain": rain}
    return pd.DataFrame(
        found | {"storms": rng.poisson(0.7, n), "kelvin": rng.normal(280, 5, n), "net": rng.integers(-3, 4, n)}
    )


def test_what_readings_do_not_keep_is_said():
    said = (
        "^values of column 'rain' are nowhere negative, and samples may be; they are exactly 0 in \\d+ % of the readings, and "
        "samples are not$"
    )
    data = Data(rows="id", time="t")
    with pytest.warns(UserWarning, match=said):
        fit(amounts(), data=data, steps=1)
    plan = scorefield.fitting.plan(scorefield.fitting.prepare(amounts(), scorefield.fitting.Options(data=data)))
    reasons = {value: reason for name, value, reason in plan.prepared.choices if name == "units"}
    assert (
        reasons["column 'storms'"]
        == f"mean and standard deviation; rounded, and clipped to 0 to {amounts().storms.max()}"
    )
    assert reasons["column 'net'"] == "mean and standard deviation; rounded"
    with pytest.raises(
        ValueError, match=r"^bounds does not go with rows of readings: take numpy\.log of values above 0, or"
    ):
        fit(amounts(), data=Data(rows="id", time="t", bounds={"rain": (0, None)}), steps=1)


@pytest.mark.parametrize("channel", [False, True])
def test_counts_of_readings_stay_counts(channel):
    """Samples far beyond the data: those that are nowhere negative are clipped to the range of the data, as in tables."""
    frame, data = amounts()[["id", "t", "storms", "net"]], Data(rows="id", time="t")
    if channel:
        frame, data = frame.melt(["id", "t"], var_name="what"), Data(rows="id", time="t", channel="what")
    schema = Schema.of(frame, data=data)
    x = schema.unpack(frame, torch.float64)
    wide = x.clone()
    wide[:, : x.shape[1] // 3] = 50.3 * torch.randn(
        x[:, : x.shape[1] // 3].shape, generator=torch.Generator().manual_seed(0)
    )
    drawn = schema.pack(wide)
    storms = drawn[drawn["what"] == "storms"]["value"] if channel else drawn["storms"]
    net = drawn[drawn["what"] == "net"]["value"] if channel else drawn["net"]
    assert storms.dtype == np.int64 and (storms.min(), storms.max()) == (0, amounts().storms.max())
    assert net.min() < -20 and net.max() > 20
    gaps = frame.assign(
        **{name: frame[name].where(frame["t"] < 3) for name in frame.columns if name in ("storms", "value")}
    )
    form = schema.readings
    filled = form.filled(gaps, form.encoded(gaps, asked=True), wide.reshape(len(wide), 3, -1)[:, 0].numpy())
    of_storms = filled[filled["what"] == "storms"]["value"] if channel else filled["storms"]
    assert of_storms.min() == 0 and of_storms.max() == amounts().storms.max() and (of_storms % 1 == 0).all()
