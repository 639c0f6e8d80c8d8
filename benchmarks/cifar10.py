"""CIFAR-10: a model for ten minutes of one GPU, its quality as it learns, and the samplers and networks of a paper on it.

    python benchmarks/cifar10.py cifar10_train.parquet -o runs/cifar10 [--minutes 10] [--count 50000]
        [--features pt_inception-2015-12-05-6726825d.pth] [--parts train curve samplers networks figures] [--small]

The data are a .parquet with encoded images in the column `image` and their classes in `label`. The last fifth of the images is
kept back from training: half of it is what samples are compared with, the other half gives the floor. The parts are done one
after another, each with what those before it left in the folder; results are added to `results.json` there.

train      the network of the recipe for the device: on a GPU one of 37 million parameters, compiled, in bfloat16 with the
           channels last; on a CPU one of 4.3 million, for an hour. Muon, two power-function averages of the weights, left and
           right exchanged at random, data on the device.
curve      the Fréchet distance of averages of the weights on the way, by images seen and by minutes, and of `--count` samples
           at the end, next to its floor.
samplers   Milstein, Euler-Maruyama, predictor-corrector and the probability-flow ODE, and the default, on this one model.
networks   the sweep of the paper: the network of Song's tutorial with its coarsest scale of 256 and of 512 feature maps, and
           three activations.
figures    samples next to data, and interpolations from the prior.

The distance uses the features of Inception if the file of weights is given (see `scorefield.metrics.inception`), and otherwise
those of a classifier trained here on the images that the model is trained on: such figures can be compared with each other, and
with those of no other program. With Inception, samples are compared with nine tenths of the images, otherwise with a tenth.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cifar10_figures import draw_figures
from cifar10_paper import Compared, compare_networks, compare_samplers
from image_features import accuracy, classifier_features, train_classifier

import scorefield
from scorefield import Network, Training
from scorefield.fitting import Options, finish, plan, prepare, threads, trainer_of
from scorefield.metrics import frechet_distance, inception
from scorefield.metrics.features import Features, features_of
from scorefield.model import Model
from scorefield.settings import Data
from scorefield.training import Flat

__all__ = ["main"]

PARTS = ("train", "curve", "samplers", "networks", "figures")
MARKS = (1 / 16, 1 / 8, 1 / 4, 1 / 2)  # of the budget, at which averages of the weights are kept


@dataclass(frozen=True)
class Recipe:
    """What is done on a kind of device.

    Arguments:
        network, training: How the model is trained; the budget is an option of the command line.
        count: How many samples are drawn of the model at the end.
        some: How many are drawn at each point of the curve, and of each network of the paper.
        evaluations: The numbers of evaluations at which samplers are compared.
        compared: How many samples are drawn of each sampler.
        epochs, width: The passes of the classifier through the data, and its width.
        widths: The feature maps of the paper's network at its finer scales, and two for the coarsest.
        share: The budget of a network of the paper, as a part of that of the model.
    """

    network: Network = field(default_factory=Network)
    training: Training = field(default_factory=Training)
    count: int = 50_000
    some: int = 10_000
    evaluations: tuple[int, ...] = (16, 32, 64, 128, 256)
    compared: int = 5_000
    epochs: int = 20
    width: int = 64
    widths: tuple[tuple[int, ...], tuple[int, ...]] = ((32, 64, 128), (256, 512))
    share: float = 0.2


GPU = Recipe(
    Network(widths=(176, 352, 352), depth=2, patch=2, attention=True),
    Training(batch=512, precision="bfloat16", compile=True, channels_last=True, evaluations=20),
)
CPU = Recipe(
    Network(widths=(48, 96, 192)),
    Training(evaluations=10),
    count=5_000,
    some=500,
    evaluations=(13, 28),
    compared=500,
    epochs=6,
    width=32,
    share=0.025,
)
SMALL = Recipe(
    Network(widths=(8, 16)),
    Training(batch=8, evaluations=1, warmup=5),
    count=32,
    some=16,
    evaluations=(4,),
    compared=16,
    epochs=1,
    width=8,
    widths=((4, 8, 8), (8, 16)),
    share=0.5,
)


@dataclass(frozen=True)
class Images:
    """The images `(N, 32, 32, 3)`: to train on, to compare with, and others for the floor; and the classes of the first two."""

    train: np.ndarray
    real: np.ndarray
    others: np.ndarray
    labels: tuple[np.ndarray, np.ndarray]

    @classmethod
    def read(cls, path: str, most: int | None) -> Images:
        """Those of a file, or of its first rows."""
        import pandas

        labels = pandas.read_parquet(path, columns=["label"])["label"].to_numpy().astype(np.int64)[:most]
        images = np.asarray(scorefield.read(path, key="image"))[:most]
        kept, half = len(images) // 5, len(images) // 10
        return cls(images[:-kept], images[-kept:-half], images[-half:], (labels[:-kept], labels[-kept:-half]))


def channels_first(images: Any) -> torch.Tensor:
    """Images `(N, H, W, 3)` as `(N, 3, H, W)`, in 0..255."""
    return torch.as_tensor(np.asarray(images)).movedim(-1, 1)


def train(images: Images, recipe: Recipe, training: Training, folder: Path, device: str) -> dict[str, Any]:
    """Trains the model, and leaves it and averages of its weights on the way in the folder."""
    data = Data(dequantize=False, mirror=(1,), held_out=0.05)
    options = Options(data, recipe.network, training, device=device)
    planned = plan(prepare(images.train, options), options)
    rows = (planned.training.batch or 1) * planned.training.accumulate
    way, marks, spent = [], list(MARKS), time.process_time()
    with threads(planned):
        trainer = trainer_of(planned)
        for progress in trainer.run():
            while marks and progress.fraction >= marks[0]:
                marks.pop(0)
                way.append((progress.step, progress.seconds, trainer.averages[0].values.cpu().clone()))
        spent = time.process_time() - spent
        fitted = finish(planned, trainer)
    model = fitted.model
    model.save(folder / "model.safetensors")
    points = []
    for step, seconds, values in way:
        denoiser = copy.deepcopy(model.denoiser).requires_grad_(True)
        Flat(denoiser).read(values)
        model.replace(denoiser=denoiser.requires_grad_(False)).save(folder / f"step{step}.safetensors")
        points.append({"step": step, "images": step * rows, "minutes": seconds / 60})
    found = {name: fitted.record[name] for name in ("weights", "held_out_loss", "steps", "seconds", "warning")}
    found |= {"images": found["steps"] * rows, "cpu_seconds": spent, "history": trainer.history, "points": points}
    found |= {"network": planned.choice("network").value, "sampling": str(planned.sampling)}
    found |= {name: getattr(planned.training, name) for name in ("batch", "precision", "compile", "channels_last")}
    print(f"{found['network']}, batches of {found['batch']}, {found['precision']}", flush=True)
    said = f"{found['steps']} steps of {rows} in {found['seconds']:.0f} s ({spent:.0f} CPU seconds)"
    print(f"{said}: held-out loss {found['held_out_loss']:.4f} ({found['weights']})", flush=True)
    return found


class Distances:
    """Fréchet distances to real images.

    Arguments:
        images: The images.
        features: A function of images to features.
        all_of_them: Whether samples are compared with the images of training, too, as is usual with Inception; features that
            were learned from these images would tell them from any others.
    """

    def __init__(self, images: Images, features: Features, all_of_them: bool = False) -> None:
        self.features = features
        real = np.concatenate([images.train, images.real]) if all_of_them else images.real
        self.real = features_of(channels_first(real), features)
        self.others = features_of(channels_first(images.others), features)

    def __call__(self, drawn: Any) -> tuple[float, float]:
        """The distance of samples, and the total variance of their features over that of real images."""
        found = features_of(channels_first(drawn), self.features)
        spread = found.double().var(0).sum() / self.real.double().var(0).sum()
        return frechet_distance(found, self.real), float(spread)

    def floor(self, count: int) -> float:
        """That of as many real images, or of all that there are."""
        return frechet_distance(self.others[:count], self.real)


def measured_with(images: Images, recipe: Recipe, weights: str | None, device: str) -> tuple[Distances, dict[str, Any]]:
    """What samples are compared with, and what the features are."""
    if weights is not None:
        return Distances(images, inception(weights, device), True), {"features": f"Inception, {Path(weights).name}"}
    labels, real = images.labels, channels_first(images.real)
    network = train_classifier(channels_first(images.train), labels[0], recipe.epochs, recipe.width, device)
    found = accuracy(network, real, labels[1])
    print(
        f"features of a classifier trained here, whose accuracy on images that were kept back is {found:.3f}",
        flush=True,
    )
    return Distances(images, classifier_features(network)), {"features": "classifier trained here", "accuracy": found}


def draw_curve(model: Model, recipe: Recipe, count: int, folder: Path, train: dict[str, Any], d: Distances) -> Any:
    """The distances of the models on the way, and of samples at the end."""
    points = []
    for point in train["points"]:
        before = scorefield.load(folder / f"step{point['step']}.safetensors").to(model.device)
        points.append({**point, "distance": d(before.sample(recipe.some))[0], "count": recipe.some})
        print(f"after {point['images']} images, {point['minutes']:.2f} min: {points[-1]['distance']:.4g}", flush=True)
    start = time.perf_counter()
    drawn = model.sample(count)
    seconds = time.perf_counter() - start
    end = {"step": train["steps"], "images": train["images"], "minutes": train["seconds"] / 60}
    points.append({**end, "distance": d(drawn[: recipe.some])[0], "count": recipe.some})
    found = {"points": points, "distance": d(drawn)[0], "count": count, "floor": d.floor(count), "seconds": seconds}
    found["floor_count"] = min(count, len(d.others))
    said = f"{count} samples at {count / seconds:.1f} a second: distance {found['distance']:.4g}"
    print(f"{said}; floor {found['floor']:.4g}, of {found['floor_count']} real images", flush=True)
    return found


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--count", type=int, help="how many samples are drawn at the end")
    parser.add_argument("--features", help="the weights of Inception")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--small", action="store_true", help="all of it small: to see that it runs")
    return parser.parse_args()


def main() -> None:
    """Does the parts that were asked for."""
    asked = options()
    recipe = SMALL if asked.small else CPU if asked.device == "cpu" else GPU
    folder, device = asked.output, asked.device
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "results.json"
    results: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    budget = {"steps": 30} if asked.small else {"minutes": asked.minutes}
    less = {name: max(1, value * recipe.share) for name, value in budget.items()}
    images, count = Images.read(asked.data, 600 if asked.small else None), asked.count or recipe.count
    results["about"] = {"scorefield": scorefield.__version__, "torch": torch.__version__, "device": device}
    if "train" in asked.parts:
        results["train"] = train(images, recipe, replace(recipe.training, **budget), folder, device)
        kept.write_text(json.dumps(results, indent=1))
    model = scorefield.load(folder / "model.safetensors").to(device)
    if {"curve", "samplers", "networks"} & {*asked.parts}:
        distances, results["measured"] = measured_with(images, recipe, asked.features, device)
        compared = Compared(distances, images.real)
    if "curve" in asked.parts:
        results["curve"] = draw_curve(model, recipe, count, folder, results["train"], distances)
        kept.write_text(json.dumps(results, indent=1))
    if "samplers" in asked.parts:
        results["samplers"] = compare_samplers(model, recipe.compared, recipe.evaluations, compared)
        kept.write_text(json.dumps(results, indent=1))
    if "networks" in asked.parts:
        training = replace(recipe.training, **less)
        known = (images.train, recipe.widths, training, device, recipe.some, compared)
        results["networks"] = compare_networks(*known)
        kept.write_text(json.dumps(results, indent=1))
    if "figures" in asked.parts:
        draw_figures(model, images.real, results, folder, 16 if asked.small else 64)


if __name__ == "__main__":
    main()
