"""Quality against the number of evaluations: a run on MNIST, with the samplers of the literature.

    scorefield fit mnist_train.npz -o runs/mnist --minutes 8
    python benchmarks/quality.py mnist_train.npz runs/mnist -o quality.json [--count 1000] [--only DDIM UniPC]

Every sampler and number of evaluations uses the same seeds; the Fréchet distance to held-out digits is that of
benchmarks/mnist.py. Results are saved as they come, and the same command resumes. It ends with a table that also shows where
each sampler stops improving: the fewest evaluations within two standard errors of its best.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
from mnist import features, frechet, train_classifier

import scorefield
from scorefield import samplers as s
from scorefield.data import read
from scorefield.fitting import split
from scorefield.runs import Run
from scorefield.schedules import ExplicitLevels, LogLevel, Schedule, UniformTime

AROUND_ONE = ExplicitLevels((54.7, 22.0, 10.0, 5.5, 3.3, 2.1, 1.35, 0.85, 0.5, 0.27, 0.12, 0.03))

# Name, sampler, and schedule (uniform in time if None).
SAMPLERS: list[tuple[str, s.Sampler, Schedule | None]] = [
    ("exponential Adams(3), eta 1", s.ExponentialAdams(3, eta=1.0), None),
    ("exponential Adams(2), eta 1", s.ExponentialAdams(2, eta=1.0), None),
    ("exponential Adams(3)", s.ExponentialAdams(3), None),
    ("DDIM", s.DDIM(), None),
    ("ancestral", s.Ancestral(), None),
    ("Heun", s.Heun(), None),
    ("DPM++(2M)", s.DPM(2), None),
    ("DPM++(3M)", s.DPM(3), None),
    ("UniPC(3)", s.UniPC(3), None),
    ("iPNDM(3)", s.IPNDM(3), None),
    ("SDE-DPM++(2M)", s.DPM(2, eta=1.0), None),
    ("SDE-DPM++(2M), log level", s.DPM(2, eta=1.0), LogLevel()),
    ("SDE-DPM++(2M), levels around 1", s.DPM(2, eta=1.0), AROUND_ONE),
    ("SDE-DPM++(2M), few steps", s.DPM(2, eta=1.0, bounded=True), LogLevel(0.03)),
    ("restarts, log level", s.Restart(), LogLevel()),
    ("ten restarts, log level", s.Restart(repeats=10), LogLevel()),
    ("stochastic Heun", s.StochasticHeun(), None),
    ("Heun with churn 10", s.Churn(10.0), None),
]
EVALUATIONS = (8, 12, 16, 24, 32, 48)


def classifier_and_features(path: str, run: Run) -> tuple[object, np.ndarray]:
    """The classifier, and the features of the held-out digits of the run."""
    images, labels = np.load(path)["images"], np.load(path)["labels"]
    asked = run.read("run.json")["asked"]
    rows = run.model.schema.rows(read(path))
    held_out = split(rows, asked["data"]["held_out"], asked["seed"]).held_out.indices
    rest = np.setdiff1d(np.arange(len(images)), held_out)[:45_000]
    classifier = train_classifier(images[rest], labels[rest])
    return classifier, features(classifier, images[held_out])[0]


def standard_error(drawn: np.ndarray, real: np.ndarray, times: int = 10) -> float:
    """The bootstrap standard error of the distance over samples."""
    rng = np.random.default_rng(0)
    again = [frechet(drawn[rng.integers(len(drawn), size=len(drawn))], real) for _ in range(times)]
    return float(np.std(again, ddof=1))


def table(kept: dict) -> None:
    columns = sorted({entry["evaluations"] for entry in kept.values()})
    print(f"{'':30}" + "".join(f"{n:>14}" for n in columns) + "   enough")
    for name in dict.fromkeys(entry["name"] for entry in kept.values()):
        row = {e["evaluations"]: (e["distance"], e["error"]) for e in kept.values() if e["name"] == name}
        best, error = min(row.values())
        enough = min(n for n, (distance, _) in row.items() if distance <= best + 2 * error)
        cells = [f"{row[n][0]:.2f} ± {row[n][1]:.2f}" if n in row else "" for n in columns]
        print(f"{name:30}" + "".join(f"{cell:>14}" for cell in cells) + f"{enough:9}")


def within(sampler: s.Sampler, schedule: Schedule, model: scorefield.Model, most: int) -> tuple[s.Sampling, int] | None:
    """The sampling with the most steps of a given number of evaluations at most, and how many it makes; None if none has."""
    known = [None] if schedule.steps is not None else range(most, 0, -1)
    for steps in known:
        sampling = s.Sampling(sampler, steps, schedule, model.process)
        made = (sampling.evaluations or 0) + 1
        if made <= most:
            return sampling, made
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("run")
    parser.add_argument("-o", "--output", type=Path, default=Path("quality.json"))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--evaluations", type=int, nargs="+", default=EVALUATIONS)
    parser.add_argument("--only", nargs="+", default=None, help="names, or parts of them")
    options = parser.parse_args()
    kept = json.loads(options.output.read_text()) if options.output.exists() else {}
    run = Run(options.run)
    model = run.model
    classifier, real = classifier_and_features(options.data, run)
    chosen = [w for w in SAMPLERS if options.only is None or any(part in w[0] for part in options.only)]
    for evaluations in options.evaluations:
        for name, sampler, schedule in chosen:
            found_steps = within(sampler, schedule or UniformTime(), model, evaluations)
            if found_steps is None:
                continue
            sampling, made = found_steps
            key = f"{name} {made} {options.count}"
            if key in kept:
                continue
            start = time.perf_counter()
            drawn = model.sample(options.count, sampler=sampling)
            seconds = time.perf_counter() - start
            found = features(classifier, drawn)[0]
            kept[key] = {
                "name": name,
                "evaluations": made,
                "distance": frechet(found, real),
                "error": standard_error(found, real),
                "seconds": seconds,
            }
            options.output.with_suffix(".part").write_text(json.dumps(kept, indent=1))
            os.replace(options.output.with_suffix(".part"), options.output)
            print(f"{key}: {kept[key]['distance']:.2f} in {seconds:.0f} s", flush=True)
    print(f"scorefield {scorefield.__version__}, {options.count} samples, {len(real)} held-out digits")
    table(kept)


if __name__ == "__main__":
    main()
