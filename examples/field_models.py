"""Two models of the same fields: the NCSNv2 recipe with annealed Langevin dynamics, and the default of this package.

The examples of the optic nerve and of fibres import it; it has no command line. NCSNv2 has its levels by its own rules
(`ncsnv2_recipe.py`). Both networks are small, for minutes on a CPU.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from ncsnv2_recipe import experiment, trained

import scorefield
from scorefield import Model, Network, Training
from scorefield.metrics import energy_distance, field_tests, with_floor


def options(about: str, output: str) -> argparse.Namespace:
    """The options of both examples."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=4000, help="fields to train on")
    parser.add_argument("--side", type=int, default=32, help="pixels of a side")
    parser.add_argument("--steps", type=int, default=1000, help="steps of training of each model")
    parser.add_argument("--moves", type=int, default=2, help="moves of annealed Langevin dynamics per level")
    parser.add_argument("--count", type=int, default=48, help="samples of each model")
    parser.add_argument("-o", "--output", type=Path, default=Path(output))
    return parser.parse_args()


def ncsnv2(train: np.ndarray, steps: int, moves: int) -> Model:
    """The model of the NCSNv2 recipe, which samples by annealed Langevin dynamics."""
    x = torch.from_numpy(train)[:, None]
    recipe = experiment("fields", x, steps, moves, features=8, batch=16, average=0.99)
    print(f"NCSNv2: {1 + moves * (recipe.ladder.count - 1):,} evaluations for each sample")
    return recipe.model(trained(recipe, x), train)


def default(train: np.ndarray, steps: int) -> Model:
    """The default for grids, with a small network."""
    return scorefield.fit(train, network=Network(widths=(16, 32, 48)), training=Training(steps=steps, batch=32))


def models(train: np.ndarray, options: argparse.Namespace) -> dict[str, Model]:
    """Both models."""
    return {"NCSNv2": ncsnv2(train, options.steps, options.moves), "default": default(train, options.steps)}


def compared(made: dict[str, Model], train: np.ndarray, held_out: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Samples of each model, after each statistic of them was printed next to its value between real fields."""
    samples, (train, held_out) = {}, (train[:, None], held_out[:, None])
    for name, model in made.items():
        start = time.process_time()
        samples[name] = np.asarray(model.sample(count, seed=0))
        print(f"{name}: {count} samples in {time.process_time() - start:.0f} CPU seconds")
        far = with_floor(energy_distance, samples[name][:, None], held_out, train)
        print(f"{name}: energy distance {far.value:.3f} (real: {far.floor:.3f}, 95 % below {far.high:.3f})")
        for curve in field_tests(samples[name][:, None], held_out, train, permutations=199):
            found = curve.distance
            print(
                f"  {curve.name}: {found.value:.1f} (real: {found.floor:.1f}, 95 % below {found.high:.1f})", flush=True
            )
    return samples
