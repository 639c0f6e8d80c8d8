"""Rows of different length: sets, series with gaps from a known process, and prices of shares, against exact answers.

    python benchmarks/irregular.py sets [--rows 2000] [--steps 2000]
    python benchmarks/irregular.py series [--rows 1000] [--steps 4000]
    python benchmarks/irregular.py shares [--steps 1000]

sets: θ ~ N(0, 1) and 1 to 100 readings x ~ N(θ, 1); the posterior of θ from one fit, and how far draws lie that are given
the same readings in another order.
series: a Gaussian process at 20 times, of which 30 % at random are missing; the last quarter of the times is forecast for new
series. Coverage of central intervals, and the mean log-density of what is forecast, and those of the process itself.
shares: monthly prices of ten shares and indices, 1990 to 2019, that come with Matplotlib (some begin later, some end), as one
row for each share and year; from the end of August on, they are forecast for the years since 2013, which were not fitted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import matplotlib.cbook
import numpy as np
import pandas as pd
from scipy import stats

import scorefield
from scorefield import Data, Model

LEVELS = (0.5, 0.9)


def timed(make: Callable[[], Model]) -> Model:
    """A fit, whose CPU seconds are printed."""
    start, wall = time.process_time(), time.perf_counter()
    model = make()
    print(f"fit: {time.process_time() - start:.0f} CPU s, {time.perf_counter() - wall:.0f} s")
    return model


def set_of(i: int, theta: float, x: np.ndarray) -> pd.DataFrame:
    """θ and its readings as lines."""
    return pd.DataFrame({"id": i, "what": ["theta", *["x"] * len(x)], "value": [theta, *x]})


def sets(rows: int, steps: int, draws: int) -> None:
    """The posterior of a mean from 1 to 100 readings."""
    rng = np.random.default_rng(0)
    theta, counts = rng.normal(size=rows), np.exp(rng.uniform(0, np.log(101), rows)).astype(int).clip(1, 100)
    counts[0] = 100
    frame = pd.concat([set_of(i, t, rng.normal(t, 1, n)) for i, (t, n) in enumerate(zip(theta, counts))])
    model = timed(lambda: scorefield.fit(frame, data=Data(rows="id", channel="what"), steps=steps))
    print("readings, (mean of draws - exact) / exact deviation, deviation of draws / exact")
    for n in (1, 3, 10, 30, 100):
        x = rng.normal(rng.normal(), 1, n)
        drawn = model.condition(set_of(0, np.nan, x)).sample(draws)
        found = drawn.loc[drawn["what"] == "theta", "value"].to_numpy()
        mean, std = x.sum() / (n + 1), (n + 1) ** -0.5
        print(f"{n:4d} {(found.mean() - mean) / std:+.3f} {found.std() / std:.3f}")
        other = model.condition(set_of(0, np.nan, x[::-1])).sample(draws)
        apart = abs(np.sort(other.loc[other["what"] == "theta", "value"].to_numpy()) - np.sort(found)).max()
        print(f"     largest difference of draws in another order: {apart:.1e}")


def kernel(s: np.ndarray, t: np.ndarray) -> np.ndarray:
    """A smooth process of variance 1, and noise of variance 0.05, on times from 0 to 1."""
    apart = abs(s[:, None] - t[None])
    near: np.ndarray = np.exp(-((apart / 0.2) ** 2) / 2) + 0.05 * (apart == 0)
    return near


def series_of(rng: np.random.Generator, rows: int) -> pd.DataFrame:
    """Series at 14 of 20 times, at random."""
    times, parts = np.arange(20) / 19, []
    values = rng.multivariate_normal(np.zeros(20), kernel(times, times), rows)
    for i, x in enumerate(values):
        kept = np.sort(rng.permutation(20)[:14])
        parts.append(pd.DataFrame({"id": i, "t": times[kept], "x": x[kept]}))
    return pd.concat(parts, ignore_index=True)


def covered(low_to_high: np.ndarray, truth: np.ndarray) -> str:
    """How often central intervals of draws `(K, n)` hold the truth `(n,)`."""
    found = []
    for level in LEVELS:
        low, high = np.quantile(low_to_high, [(1 - level) / 2, (1 + level) / 2], axis=0)
        found.append(f"{100 * level:.0f} %: {((low <= truth) & (truth <= high)).mean():.3f}")
    return ", ".join(found)


def exact_forecast(
    part: pd.DataFrame, past: np.ndarray, mean_of: Callable, covariance: Callable
) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the covariance of the future of one series given its past."""
    t, x = part["t"].to_numpy(), part["x"].to_numpy()
    m, k = mean_of(t), covariance(t, t)
    gain = k[~past][:, past] @ np.linalg.inv(k[past][:, past])
    return m[~past] + gain @ (x[past] - m[past]), k[~past][:, ~past] - gain @ k[past][:, ~past]


def forecast(
    model: Model, fresh: pd.DataFrame, cut: float, mean_of: Callable, covariance: Callable, draws: int
) -> None:
    """Coverage and log-densities of forecasts from `cut` on, and those of a Gaussian process."""
    future = fresh["t"].to_numpy() >= cut
    asked = fresh.assign(x=fresh["x"].where(~future))
    drawn = np.stack([each["x"].to_numpy()[future] for each in model.impute(asked, draws=draws)])
    truth = fresh["x"].to_numpy()[future]
    found = model.density().conditional(fresh, given=~future).value.numpy()
    exact, normal = [], []
    rng = np.random.default_rng(1)
    for _, part in fresh.groupby("id"):
        past = part["t"].to_numpy() < cut
        mean, spread = exact_forecast(part, past, mean_of, covariance)
        exact.append(stats.multivariate_normal(mean, spread).logpdf(part["x"].to_numpy()[~past]))
        normal.append(rng.multivariate_normal(mean, spread, draws))
    error = (found - exact).std() / len(exact) ** 0.5
    print(f"coverage of {future.sum()} values by {draws} draws: {covered(drawn, truth)}")
    print(f"  by the Gaussian process: {covered(np.concatenate(normal, 1), truth)}")
    print(f"log-density a series: {found.mean():.3f}, Gaussian process {np.mean(exact):.3f}, ", end="")
    print(f"difference {np.mean(found - exact):+.3f} ± {error:.3f}")


def series(rows: int, steps: int, draws: int, fresh: int) -> None:
    """Forecasts of a known process."""
    rng = np.random.default_rng(0)
    frame, others = series_of(rng, rows), series_of(rng, fresh)
    others = others[others["id"].isin(others.loc[others["t"] >= 0.75, "id"])]
    model = timed(lambda: scorefield.fit(frame, data=Data(rows="id", time="t"), steps=steps))
    forecast(model, others, 0.75, np.zeros_like, kernel, draws)


def prices() -> pd.DataFrame:
    """Logarithms of monthly prices over that of January, in per cent, one row for each share and year."""
    with matplotlib.cbook.get_sample_data("Stocks.csv") as file:
        table = pd.read_csv(file, comment="#", parse_dates=["Date"]).set_index("Date")
    table = table[table.index.day == 1]
    long = np.log(table).rename_axis(columns="share").stack().dropna().rename("x").reset_index()
    long["year"], long["t"] = long["Date"].dt.year, long["Date"].dt.month - 1
    first = long[long["t"] == 0].set_index(["share", "year"])["x"]
    long = long.join(first.rename("first"), on=["share", "year"]).dropna()
    long["x"], long["id"] = 100 * (long["x"] - long["first"]), long["share"] + " " + long["year"].astype(str)
    return long.loc[long["t"] > 0, ["id", "year", "t", "x"]].reset_index(drop=True)


def shares(steps: int, draws: int) -> None:
    """Forecasts of prices, and by a random walk with the mean and the variance of the months that were fitted."""
    long = prices()
    old, new = long[long["year"] < 2013], long[long["year"] >= 2013]
    new = new[new["id"].isin(new.loc[new["t"] >= 8, "id"])]
    moves = old.groupby("id")["x"].diff().dropna()
    print(f"{old['id'].nunique()} rows are fitted, {new['id'].nunique()} are forecast")
    columns = ["id", "t", "x"]
    model = timed(lambda: scorefield.fit(old[columns], data=Data(rows="id", time="t"), steps=steps))
    known = (lambda t: moves.mean() * t, lambda s, t: moves.var() * np.minimum(s[:, None], t[None]))
    forecast(model, new[columns].reset_index(drop=True), 8, *known, draws)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("sets", "series", "shares"))
    parser.add_argument("--rows", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--draws", type=int)
    parser.add_argument("--fresh", type=int, default=200)
    args = parser.parse_args()
    if args.what == "sets":
        sets(args.rows or 2000, args.steps or 2000, args.draws or 2048)
    elif args.what == "series":
        series(args.rows or 1000, args.steps or 4000, args.draws or 200, args.fresh)
    else:
        shares(args.steps or 1000, args.draws or 200)


if __name__ == "__main__":
    main()
