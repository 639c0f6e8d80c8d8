"""The quality of a run on MNIST: the Fréchet distance of its samples on the features of a classifier trained here.

    scorefield fit mnist_train.npz -o runs/mnist --minutes 8
    python benchmarks/mnist.py mnist_train.npz runs/mnist [--count 10000]

The classifier is trained on 45,000 of the 60,000 digits, none of which the run has held out. Samples are compared with 6,000
digits that neither the run nor the classifier was trained on. The floor is the same distance for as many other digits that
the classifier was not trained on. Also printed: the number of samples in each class, and the confidence of the classifier.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import scorefield
from scorefield.data import read
from scorefield.fitting import split
from scorefield.runs import Run


class Classifier(nn.Module):
    """A small convolutional network; its penultimate layer gives 128 features."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(64, 96, 3, padding=1), nn.BatchNorm2d(96), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(96 * 9, 128), nn.ReLU()),
        )
        self.head = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.dropout(self.body(x), 0.3, self.training))


def ready(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images.astype(np.float32))[:, None] / 255


def train_classifier(images: np.ndarray, labels: np.ndarray, epochs: int = 3) -> Classifier:
    """Trains the classifier, with small random shifts of the digits."""
    torch.manual_seed(0)
    model, batch = Classifier(), 128
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    steps = epochs * (len(images) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    x, y = ready(images), torch.from_numpy(labels.astype(np.int64))
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).split(batch)[: len(images) // batch]:
            dy, dx = torch.randint(-2, 3, (2,)).tolist()
            loss = F.cross_entropy(model(torch.roll(x[chosen], (dy, dx), (2, 3))), y[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def features(model: Classifier, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The features and the class probabilities."""
    parts = [model.body(x) for x in ready(images).split(500)]
    found = torch.cat(parts)
    return found.double().numpy(), model.head(found).softmax(1).numpy()


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """The squared Fréchet distance of the Gaussians with the moments of two sets of features."""
    from scipy.linalg import sqrtm

    left, right = np.cov(a.T), np.cov(b.T)
    cross = np.trace(sqrtm(left @ right).real)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(left) + np.trace(right) - 2 * cross)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("run")
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    images, labels = np.load(options.data)["images"], np.load(options.data)["labels"]
    run = Run(options.run)
    model, about = run.model, run.read("fit.json")
    asked = run.read("run.json")["asked"]
    held_out = split(model.schema.rows(read(options.data)), asked["data"]["held_out"], asked["seed"]).held_out.indices
    rest = np.setdiff1d(np.arange(len(images)), held_out)
    classifier = train_classifier(images[rest[:45_000]], labels[rest[:45_000]])
    real, sure = features(classifier, images[held_out])
    accuracy = float((sure.argmax(1) == labels[held_out]).mean())
    floor, _ = features(classifier, images[rest[45_000 : 45_000 + len(held_out)]])
    start = time.perf_counter()
    drawn = model.sample(options.count, seed=0)
    seconds = time.perf_counter() - start
    ours, classes = features(classifier, drawn)
    counts = np.bincount(classes.argmax(1), minlength=10)
    print(f"scorefield {scorefield.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(
        f"training    {about['steps']} steps in {about['seconds']:.0f} s: {about['steps'] / about['seconds']:.2f} steps/s"
    )
    print(f"held-out    loss {about['held_out_loss']:.4f} ({about['weights']})")
    print(f"sampling    {options.count / seconds:.1f} samples/s, {model.steps} steps of {type(model.sampler).__name__}")
    print(f"classifier  accuracy {accuracy:.4f} on held-out digits")
    n = len(real)
    print(
        f"FD          {frechet(ours[:n], real):.2f} for {min(n, len(ours))} samples, {frechet(ours, real):.2f} for {len(ours)}"
    )
    print(f"floor       {frechet(floor, real):.2f} for {len(floor)} real digits")
    print(f"classes     {counts.tolist()}, expected near {len(ours) // 10}")
    print(f"confidence  {np.mean(classes.max(1)):.3f} in samples, {np.mean(sure.max(1)):.3f} in real digits")


if __name__ == "__main__":
    main()
