"""Tables with thin directions, with and without coefficients of their own for these: does a network keep what varies little?

    python benchmarks/thin_directions.py [--only prices factors] [--steps 2000] [--seeds 2] [--off]

For each table and seed: standard deviations of samples over those of the data along the three thinnest principal directions of
standardized numbers; the mean negative log-density of new rows in nats, where all columns are numbers; CPU seconds of the fit.
`--off` fits as was done before thin directions were looked for. The tables:

- prices: opening, closing and highest price and a volume, of three tickers, 2,000 rows; the prices of a day differ by 3 %;
- equal: 24 columns, two of which differ by 1 % of their standard deviation, 2,000 rows;
- factors: 40 columns that are sums of five factors, one with two modes, and noise, 2,400 rows;
- curves: bumps of random height, place and width at 60 points, with noise, 1,600 rows: thin, and curved;
- cancer: four fifths of scikit-learn's breast cancer table, 30 columns, six of which are often 0.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import pandas as pd
from sklearn import datasets

from scorefield.fitting import Options, plan, prepare, train
from scorefield.settings import Training


def prices(g: np.random.Generator) -> pd.DataFrame:
    ticker = g.choice(3, 2400)
    opening = np.array([0.0, 1.0, 2.5])[ticker] + g.normal(size=2400)
    closing = opening + 0.03 * g.normal(size=2400)
    highest = np.maximum(opening, closing) + 0.01 * g.exponential(size=2400)
    columns = {"open": opening, "close": closing, "high": highest, "volume": g.normal(size=2400)}
    return pd.DataFrame({"ticker": np.array(["AAA", "BBB", "CCC"])[ticker], **columns})


def equal(g: np.random.Generator) -> np.ndarray:
    x = g.normal(size=(2500, 24))
    x[:, 1] = x[:, 0] + 0.01 * x[:, 1]
    return x


def factors(g: np.random.Generator) -> np.ndarray:
    loadings, f = np.random.default_rng(9).normal(size=(5, 40)), g.normal(size=(3000, 5))
    f[:, 0] = np.where(g.random(3000) < 0.5, 2, -2) + 0.3 * f[:, 0]
    f[:, 2] = f[:, 1] ** 2 + 0.3 * f[:, 2]
    return f @ loadings + 0.1 * g.normal(size=(3000, 40))


def curves(g: np.random.Generator) -> np.ndarray:
    t, count = np.linspace(0, 1, 60), 2000
    place, width, height = (
        g.uniform(0.3, 0.7, (count, 1)),
        g.uniform(0.05, 0.15, (count, 1)),
        g.gamma(4, 0.25, (count, 1)),
    )
    return height * np.exp(-(((t - place) / width) ** 2) / 2) + 0.01 * g.normal(size=(count, 60))


def cancer(_: np.random.Generator) -> np.ndarray:
    return np.asarray(datasets.load_breast_cancer().data)


TABLES = {"prices": prices, "equal": equal, "factors": factors, "curves": curves, "cancer": cancer}


def numbers(x: object) -> np.ndarray:
    """The columns that are numbers."""
    return np.asarray(x.select_dtypes("number") if isinstance(x, pd.DataFrame) else x, float)


def measured(name: str, seed: int, steps: int | None, whitening: bool) -> str:
    g = np.random.default_rng(seed)
    x = TABLES[name](g)
    order = g.permutation(len(x))
    held_out, kept = np.split(order, [len(x) // 5])
    train_rows, new = (x.iloc[i] if isinstance(x, pd.DataFrame) else x[i] for i in (kept, held_out[:300]))
    options = Options(training=Training(steps=steps), seed=seed, whitening=whitening)
    start = time.process_time()
    model = train(plan(prepare(train_rows, options), options)).model
    seconds = time.process_time() - start
    data, drawn = numbers(train_rows), numbers(model.sample(4000, seed=1))
    units = (data - data.mean(0)) / data.std(0)
    values, vectors = np.linalg.eigh(np.cov(units.T))
    ratio = ((drawn - data.mean(0)) / data.std(0) @ vectors).std(0)[:3] / np.sqrt(values[:3])
    nats = "" if isinstance(x, pd.DataFrame) else f"{-float(model.log_prob(new, tolerance=1e-2).value.mean()):.2f}"
    return f"| {name} | {seed} | {', '.join(f'{r:.2f}' for r in ratio)} | {nats} | {seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TABLES, default=[*TABLES])
    parser.add_argument("--steps", type=int, help="by default, those of a fit")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--off", action="store_true", help="without coefficients of their own for thin directions")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| table | seed | standard deviations along thin directions, of the data's | -log p | CPU seconds |")
    for name in options.only:
        for seed in range(options.seeds):
            print(measured(name, seed, options.steps, not options.off), flush=True)


if __name__ == "__main__":
    main()
