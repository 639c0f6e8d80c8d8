"""Samples in 1, 2 and 4 evaluations of a model that was distilled, next to its teacher and to solvers with as few evaluations.

    python benchmarks/few_steps.py helix checkerboard mixture magic.csv [--steps 10000]
    python benchmarks/few_steps.py gaussian-field lognormal-field --steps 800
    python benchmarks/few_steps.py mnist_train.npz --run runs/mnist

Toys have 10,000 training rows; samples are compared with 10,000 new ones by the energy distance, and so are other new rows:
the floor. A table is a CSV file, of which the columns of numbers are taken, standardized by mean and standard deviation
alone, and MNIST the run that benchmarks/mnist.py measures; both are compared with rows that were held out. Fields are 32 x
32 and periodic; the largest error of the power spectrum is that of its ring averages, and the moments are those of single
pixels. Speed is that of drawing, by the CPU seconds of all threads.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import scorefield
from scorefield import toys
from scorefield.data import read
from scorefield.metrics import energy_distance
from scorefield.rng import Samples
from scorefield.runs import Run, read_split
from scorefield.settings import Data, Network, Training

COUNT = 10_000
SOLVERS = (
    "unipc(steps=3)",
    "exponentialadams(3, steps=5, schedule=angle)",
    "exponentialadams(3, steps=7, schedule=angle)",
)
Numbers = dict[str, float]
Measure = Callable[[np.ndarray], Numbers]


def mixture(count: int, seed: int) -> np.ndarray:
    """Five Gaussians of standard deviation 0.4 in 8 dimensions, with weights of 0.1 to 0.3."""
    rng, means = np.random.default_rng(1000 + seed), np.random.default_rng(3).normal(size=(5, 8)) * 2
    chosen = rng.choice(5, count, p=[0.1, 0.15, 0.2, 0.25, 0.3])
    return means[chosen] + 0.4 * rng.normal(size=(count, 8))


def toy(name: str) -> Callable[[int, int], np.ndarray]:
    if name == "mixture":
        return mixture
    made = toys.Helix() if name == "helix" else toys.Checkerboard()
    return lambda count, seed: made.sample(count, Samples(seed, 0, count)).numpy()


def field(count: int, seed: int, power: float = 3.0) -> np.ndarray:
    """Gaussian fields of variance 1 whose spectrum falls as 1 / (1 + (k/4)²)^power."""
    k = np.fft.fftfreq(32, 1 / 32)
    spectrum = (1 + (k[:, None] ** 2 + k[None] ** 2) / 16) ** -power
    spectrum[0, 0] = 0
    noise = np.random.default_rng(seed).normal(size=(count, 32, 32))
    x = np.fft.ifft2(np.fft.fft2(noise) * np.sqrt(spectrum / spectrum.mean())).real
    return x.astype(np.float32)


def rings(x: np.ndarray) -> np.ndarray:
    """The mean power in rings of wave numbers, of shape `(15,)`."""
    k = np.fft.fftfreq(32, 1 / 32)
    ring = np.round(np.hypot(k[:, None], k[None])).astype(int)
    power = (np.abs(np.fft.fft2(x)) ** 2).mean(0)
    return np.array([power[ring == r].mean() for r in range(1, 16)])


def of_vectors(real: np.ndarray) -> Measure:
    return lambda x: {"energy": energy_distance(x, real, maximum=COUNT)}


def of_fields(real: np.ndarray) -> Measure:
    wanted = rings(real)

    def measure(x: np.ndarray) -> Numbers:
        x = x.astype(float)
        found = np.abs(rings(x) / wanted - 1)
        moments = {"std": x.std(), "kurtosis": ((x - x.mean()) ** 4).mean() / x.var() ** 2}
        low, high = np.quantile(real, (0.001, 0.999))
        tails = {"below 0.1 %": float((x < low).mean()), "above 99.9 %": float((x > high).mean())}
        return {"spectrum": float(found[:8].max()), "fine": float(found.max()), **moments, **tails}

    return measure


def of_digits(run: Run, path: Path, count: int) -> Measure:
    """The Fréchet distance of benchmarks/mnist.py."""
    from mnist import features, frechet, train_classifier

    images, labels = np.load(path)["images"], np.load(path)["labels"]
    parts = read_split(run, run.model.schema.rows(read(path, key="images")))
    held_out = np.asarray(parts.places[1])
    rest = np.setdiff1d(np.arange(len(images)), held_out)
    classifier = train_classifier(images[rest[:45_000]], labels[rest[:45_000]])
    real, _ = features(classifier, images[held_out[:count]])
    return lambda x: {"Fréchet": frechet(features(classifier, x)[0], real)}


def said(name: str, numbers: Numbers, seconds: float, count: int) -> None:
    speed = f"{count / seconds:10,.0f} a CPU second" if seconds else ""
    print(f"  {name:60}", *(f"{key} {value:9.5f}" for key, value in numbers.items()), speed, flush=True)


def compare(
    teacher: scorefield.Model, fast: scorefield.Model, measure: Measure, count: int, default: bool = True
) -> None:
    ways = [(f"consistency, {n}", fast, f"consistency(steps={n})") for n in (1, 2, 4)]
    ways += [(call, teacher, call) for call in SOLVERS]
    ways += [(f"teacher, {teacher.sampling.replace(process=None)}", teacher, None)] if default else []
    for name, model, call in ways:
        model.sample(8, sampler=call)  # first calls are slow
        start = time.process_time()  # of all threads: others may work on the machine
        x = model.sample(count, seed=3, sampler=call)
        seconds = time.process_time() - start
        said(name, measure(np.asarray(x)), seconds, count)


def distilled(teacher: scorefield.Model, training: Training, matching: bool | None = None) -> scorefield.Model:
    start = time.process_time()
    fast = teacher.distill(training=training, matching=matching)
    about = fast.about
    print(
        f"  distilled: {about['steps']:,} steps, {time.process_time() - start:.0f} CPU s, loss {about['held_out_loss']:.2g},"
        f" energy distance {about.get('energy_distance')}"
    )
    return fast


def fitted(x: np.ndarray, steps: int, run: Path, **options: object) -> scorefield.Model:
    start = time.process_time()
    model = scorefield.fit(x, run, steps=steps, **options)
    print(f"  fitted: {model.about['steps']:,} steps, {time.process_time() - start:.0f} CPU s", flush=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--steps", type=int, default=10_000, help="of the fit")
    parser.add_argument("--distill-steps", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument(
        "--matching", action=argparse.BooleanOptionalAction, help="of distributions; by default of images"
    )
    parser.add_argument("--rows", type=int, help="of a table, the first ones; all by default")
    parser.add_argument("--widths", type=int, nargs=2, default=(32, 64), help="of the network for fields")
    parser.add_argument("--run", help="a run of MNIST")
    parser.add_argument("--count", type=int, help="samples")
    options = parser.parse_args()
    training = Training(steps=options.distill_steps, learning_rate=options.learning_rate)
    for name in options.data:
        print(name, flush=True)
        with tempfile.TemporaryDirectory() as place:
            if name.endswith("-field"):
                log = name.startswith("lognormal")
                make = (lambda n, seed: np.exp(0.5 * field(n, seed))) if log else field
                count, measure = options.count or 2000, of_fields(make(8000, 1))
                network = Network(widths=tuple(options.widths), periodic=True)
                teacher = fitted(make(10_000, 0), options.steps, Path(place) / "run", network=network)
                said("floor: other real fields", measure(make(count, 2)), 0, count)
            elif name.endswith(".npz"):
                run, count = Run(options.run), options.count or 5000
                teacher, measure = run.model, of_digits(run, Path(name), count)
            elif name.endswith(".csv"):
                table = read(name).select_dtypes("number")[: options.rows]
                teacher = fitted(table, options.steps, Path(place) / "run", data=Data(maps="affine"))
                parts = read_split(Run(Path(place) / "run"), teacher.schema.rows(table))
                train, held_out = (x.take(range(len(x)), torch.float64).numpy() for x in (parts.train, parts.held_out))
                count, measure = len(held_out) * 4, of_vectors(held_out)
                said("floor: training rows", measure(train[:count]), 0, count)
            else:
                make, count = toy(name), COUNT
                measure = of_vectors(make(COUNT, 9))
                said("floor: other real rows", measure(make(COUNT, 11)), 0, count)
                teacher = fitted(make(10_000, 0), options.steps, Path(place) / "run")
            compare(teacher, distilled(teacher, training, options.matching), measure, count)


if __name__ == "__main__":
    main()
