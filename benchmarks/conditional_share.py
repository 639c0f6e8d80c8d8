"""What the fraction of conditional rows in training costs the joint distribution of a table, and gains its conditionals.

    python benchmarks/conditional_share.py adult.csv [--rows 5000] [--steps 2500] [--shares 0.2 0.35 0.5] [--seed 0]

Each share is a fit of the first rows of the shuffled table. Printed are, of up to 4,000 other rows: the joint loss, its
mean over seven noise levels with the same noise for all fits; and the cross-entropies of the categories, in nats and
summed over them, given all other columns and given half of them at random, by one evaluation of the network each.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
import torch

import scorefield
from scorefield.data.variables import ABSENT, FREE, GIVEN
from scorefield.denoisers.mixed import MixedNetwork
from scorefield.fitting import prepared
from scorefield.rng import Samples

LEVELS = (0.1, 0.3, 0.6, 1.0, 1.7, 3.0, 6.0)


def divided(table: pd.DataFrame, rows: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows to fit, and others whose values lie within those, as a model takes no level that it has not seen."""
    mixed = table.sample(frac=1, random_state=0)
    train, rest = mixed[:rows], mixed[rows:]
    for name in table.columns:
        if pd.api.types.is_numeric_dtype(table[name]):
            rest = rest[rest[name].between(train[name].min(), train[name].max())]
        else:
            rest = rest[rest[name].isin(set(train[name]))]
    return train.reset_index(drop=True), rest[:4000].reset_index(drop=True)


@torch.no_grad()
def joint_loss(network: MixedNetwork, x: torch.Tensor) -> float:
    """The mean loss of joint rows."""
    share, found = network.share, []
    network.share = 0.0
    for value in LEVELS:
        level = torch.full((len(x), 1), value)
        found.append(float(network.losses(x, level, (1 + level**2) / level**2, Samples(5, 0, len(x), "x")).mean()))
    network.share = share
    return float(np.mean(found))


def cross_entropy(model: scorefield.Model, x: torch.Tensor, given: float) -> float:
    """The sum over the categories of the cross-entropy of each given a part of all other variables."""
    variables, total = model.denoiser.variables, 0.0
    generator = torch.Generator().manual_seed(0)
    for category, (start, stop) in enumerate(variables.blocks):
        status = torch.where(torch.rand((len(x), variables.count), generator=generator) < given, GIVEN, ABSENT)
        status[:, variables.numbers + category] = FREE
        found = model.denoiser.category_log_probs(x, status, category)
        total -= float((found * x[:, start:stop]).sum(1).mean())
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.2, 0.35, 0.5])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    train, others = divided(pd.read_csv(options.table), options.rows)
    for share in options.shares:
        prepared._USUAL = share
        start = time.process_time()
        model = scorefield.fit(train, seed=options.seed, training=scorefield.Training(steps=options.steps))
        spent = time.process_time() - start
        x = model.standardize(model.schema.unpack(others, torch.float64)).float()
        x = x[~x.isnan().any(1)]
        parts = [f"joint loss {joint_loss(model.denoiser, x):.4f}"]
        parts += [
            f"categories given all {cross_entropy(model, x, 1.0):.3f}",
            f"given half {cross_entropy(model, x, 0.5):.3f}",
        ]
        print(f"share {share:g}: {', '.join(parts)} nats; {spent:.0f} CPU seconds, {len(x)} rows", flush=True)


if __name__ == "__main__":
    main()
