"""Features of images for Fréchet distances, where no file with weights of Inception is given: a classifier trained here."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Classifier", "accuracy", "classifier_features", "train_classifier"]


class Classifier(nn.Module):
    """A convolutional network for images `(B, 3, 32, 32)` in 0..255; its features are means over positions, `(B, 4 · width)`.

    Arguments:
        width: The number of feature maps at the finest scale.
        classes: The number of classes.
    """

    def __init__(self, width: int = 32, classes: int = 10) -> None:
        super().__init__()
        sizes = (width, 2 * width, 4 * width)
        layers: list[nn.Module] = [nn.Conv2d(3, width, 5, stride=2, padding=2), nn.BatchNorm2d(width), nn.ReLU()]
        for ins, outs in pairwise(sizes):
            layers += [nn.Conv2d(ins, outs, 3, padding=1), nn.BatchNorm2d(outs), nn.ReLU(), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers, nn.Conv2d(sizes[-1], sizes[-1], 3, padding=1), nn.ReLU())
        self.head = nn.Linear(sizes[-1], classes)

    def features(self, x: Tensor) -> Tensor:
        return self.body(x.float() / 127.5 - 1).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.dropout(self.features(x), 0.1, self.training))


def train_classifier(
    images: Tensor, labels: np.ndarray, epochs: int, width: int = 32, device: str = "cpu"
) -> Classifier:
    """Trains the classifier on images `(N, 3, H, W)`, exchanged left for right and shifted at random."""
    torch.manual_seed(0)
    model, batch = Classifier(width).to(device), min(128, len(images))
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.01)
    steps = epochs * (len(images) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=max(2, steps))
    x, y, start = images.to(device), torch.from_numpy(labels).to(device), time.perf_counter()
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).to(device).split(batch)[: len(images) // batch]:
            dy, dx = torch.randint(-3, 4, (2,)).tolist()
            part = torch.roll(x[chosen], (dy, dx), (2, 3))
            part = part.flip(3) if torch.rand(()) < 0.5 else part
            loss = F.cross_entropy(model(part), y[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    print(f"classifier: {steps} steps in {time.perf_counter() - start:.0f} s", flush=True)
    return model.eval()


@torch.no_grad()
def accuracy(model: Classifier, images: Tensor, labels: np.ndarray) -> float:
    """The part of the images whose class the classifier finds."""
    device = model.head.weight.device
    found = torch.cat([model(part.to(device)).argmax(1).cpu() for part in images.split(500)])
    return float((found.numpy() == labels).mean())


def classifier_features(model: Classifier) -> Callable[[Tensor], Tensor]:
    """Its features as a function of images `(B, 3, H, W)` to `(B, F)`, on the CPU."""
    device = model.head.weight.device
    return lambda x: model.features(x.to(device)).cpu()
