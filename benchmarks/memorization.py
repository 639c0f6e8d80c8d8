"""Does the evaluation detect a network that has memorized its data, and pass one that has not?

    python benchmarks/memorization.py mnist_train.npz [--digits 140] [--steps 2000] [--run runs/mnist]

Trains the default U-Net on a few digits, with nothing held out, so that early stopping cannot help; then compares samples
with those digits and with new ones. With --run, the same for a run of `scorefield fit` on all digits.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from scorefield.data import read
from scorefield.evaluation import Evaluation, evaluate, evaluate_run
from scorefield.runs import Run, fit
from scorefield.settings import Data, Training


def show(name: str, found: Evaluation) -> None:
    near = found.neighbours
    print(f"{name}: {found.count} samples, suspicious: {near.suspicious}")
    print(f"  nearest training digit at {near.ratio:.3f} times the distance of held-out ones, p = {near.p_value:.2g}")
    print(f"  near copies: {near.copied:.1%} of samples, {near.copied_held_out:.1%} of held-out digits")
    print(f"  authentic: {near.authentic:.1%} of samples, {near.authentic_held_out:.1%} of held-out digits")
    if found.gap is not None:
        print(f"  gap of losses suspicious: {found.gap.suspicious}; {found.gap.verdict}")
    for sentence in found.verdict:
        print(f"  {sentence}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--digits", type=int, default=140)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--run", type=Path)
    options = parser.parse_args()
    x = read(options.data)
    few, others = x[: options.digits], x[-1000:]
    start = time.perf_counter()
    model = fit(few, data=Data(held_out=0), training=Training(steps=options.steps))
    epochs = options.steps * 64 / options.digits
    print(
        f"{options.digits} digits: {options.steps} steps, {epochs:.0f} looks at each, {time.perf_counter() - start:.0f} s"
    )
    show(f"trained on {options.digits} digits", evaluate(model, few, others, options.count))
    if options.run is not None:
        show(f"{options.run}", evaluate_run(Run(options.run), x, options.count))


if __name__ == "__main__":
    main()
