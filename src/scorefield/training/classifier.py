"""Training of a classifier of noisy data."""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from ..denoisers import NoisyClassifier
from ..objectives import LevelDistribution
from ..progress import report
from ..rng import Steps
from ..tensors import expand
from .feed import Feed
from .flat import Flat
from .optimizer import Optimizer

__all__ = ["train_classifier"]


def train_classifier(
    classifier: NoisyClassifier,
    feed: Feed,
    classes: Tensor,
    levels: LevelDistribution,
    steps: int,
    learning_rate: float = 2e-3,
    seed: int = 0,
) -> Iterator[Tensor]:
    """Teaches a classifier the classes of noisy data, in place.

    Arguments:
        classifier: The classifier.
        feed: Batches of standardized data.
        classes: The class of each row of the feed, by number, `(N,)`.
        levels: The distribution of the noise levels.
        steps: How many steps; the learning rate falls to 0.
        learning_rate: The learning rate of AdamW.
        seed: The seed of noise and levels.

    Yields:
        The cross-entropy of each step, of shape `()`.

    Raises:
        ValueError: If there is not one class for each row.
    """
    if len(classes) != len(feed.rows):
        raise ValueError(f"every row needs one class, got {len(classes)} classes for {len(feed.rows)} rows")
    rng = Steps(seed, feed.device)
    flat = Flat(classifier.train().requires_grad_(True))
    optimizer = Optimizer(flat, learning_rate, 0.0, weight_decay=0.01)
    for step in range(steps):
        x0, noise = feed.batches(step), rng.at(step)
        level = expand(levels.draw(noise.stratified(len(x0), x0.dtype, x0.device)), x0)
        target = classes[feed.indices(step)].to(x0.device)
        loss = F.nll_loss(classifier(x0 + level * noise.normal_like(x0), level), target)
        flat.gradients.zero_()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step(min(1.0, (step + 1) / 50) * (1 - step / steps))
        report((step + 1) / steps, "training a classifier")
        yield loss.detach()
    flat.release()
    classifier.eval().requires_grad_(False)
