"""Classifiers of noisy data, for `Model.guide`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from .context import Context
from .denoisers import NoisyClassifier
from .model import Model
from .nn import ClassifierNetwork
from .objectives import ProcessLevels
from .rng import torch_seeded
from .training import Feed, train_classifier

__all__ = ["fit_classifier"]


def fit_classifier(
    model: Model,
    x: Any,
    labels: Any,
    steps: int = 2000,
    batch: int = 128,
    width: int = 64,
    depth: int = 3,
    seed: int = 0,
    watch: Callable[[Tensor], None] = lambda loss: None,
) -> NoisyClassifier:
    """Trains a classifier of noisy data, in the units of a model.

    Arguments:
        model: The model that it is to guide.
        x: Data in the form that the model learned.
        labels: The class of each row, strings or whole numbers, `(N,)`.
        steps, batch: The number of training steps, and the batch size.
        width, depth: The width of the network, and the number of its layers.
        seed: The seed.
        watch: Called with the loss after every step.

    Returns:
        The classifier, for `model.guide(classifier, label)`.

    Raises:
        ValueError: If labels are not classes, or not as many as rows; if `steps` or `batch` is below 1.

    Example:
        >>> import numpy as np, scorefield
        >>> label = np.random.default_rng(1).integers(2, size=400)
        >>> x = np.random.default_rng(0).normal(10.0 * label)
        >>> model = scorefield.fit(x, training=scorefield.Training(steps=300))
        >>> ones = model.guide(fit_classifier(model, x, label, steps=200), label=1)
        >>> bool(ones.sample(100).mean() > 8)
        True
    """
    if min(steps, batch) < 1:
        raise ValueError(f"fit_classifier needs steps and batch of at least 1, got steps={steps}, batch={batch}")
    model.schema.require_one_length("a classifier", "give the label as a channel with one reading a row")
    rows = model.schema.rows(x)
    column = Context.of({"label": np.asarray(labels)}, model.schema.inner_shape)
    names = column.columns[0].categories
    if names is None:
        raise ValueError("a classifier needs classes: strings, or few different whole numbers")
    classes = column(np.asarray(labels))[:, :-1].argmax(1)
    with torch_seeded(seed):
        network = ClassifierNetwork(model.standardize.state_shape, len(names), width, depth).to(model.device)
    classifier = NoisyClassifier(network, 1.0, names)
    feed = Feed(rows, model.standardize, batch, seed, model.device)
    for loss in train_classifier(classifier, feed, classes, ProcessLevels(model.process), steps, seed=seed):
        watch(loss)
    return classifier
