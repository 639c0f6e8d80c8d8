"""A classifier beside a model, for guidance: it knows the noise that samples carry on their way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .context import Context
from .denoisers import ClassifierGuided, NoisyClassifier
from .model import Model
from .nn import ClassifierNetwork
from .objectives import ProcessLevels
from .training import Feed, train_classifier

__all__ = ["classifier_guided", "fit_classifier"]


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
        model: The model that it is to lead.
        x: Data in the form that the model learned.
        labels: The class of each datum, words or whole numbers, `(N,)`.
        steps: How many steps.
        batch: How many data a step sees.
        width: The width of the network.
        depth: The number of its layers.
        seed: The seed of everything that is random.
        watch: Is called with the loss after every step.

    Raises:
        ValueError: If labels are no classes, or not as many as data.
    """
    rows = model.schema.rows(x)
    column = Context.of({"label": np.asarray(labels)}, model.schema.inner_shape)
    names = column.columns[0].categories
    if names is None:
        raise ValueError("a classifier needs classes: words, or whole numbers of which there are few")
    classes = column(np.asarray(labels))[:, :-1].argmax(1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ClassifierNetwork(model.schema.inner_shape, len(names), width, depth).to(model.device)
    classifier = NoisyClassifier(network, 1.0, names)
    feed = Feed(rows, model.standardize, batch, seed, model.device)
    for loss in train_classifier(classifier, feed, classes, ProcessLevels(model.process), steps, seed=seed):
        watch(loss)
    return classifier


def classifier_guided(model: Model, classifier: NoisyClassifier, label: str | int, weight: float = 1.0) -> Model:
    """A model that is led to a class: sampled and saved like any other.

    Arguments:
        model: The model.
        classifier: What `fit_classifier` made for it.
        label: The class.
        weight: How far it is led; 1 is the law of that class, if classifier and model are right.

    Raises:
        ValueError: If the classifier does not know the class.

    Example:
        >>> import scorefield
        >>> label = np.arange(400) % 2
        >>> x = np.random.default_rng(0).normal(10.0 * label)
        >>> model = scorefield.fit(x, training=scorefield.Training(steps=300))
        >>> ones = classifier_guided(model, fit_classifier(model, x, label, steps=200), label=1)
        >>> bool(ones.sample(100).mean() > 8)
        True
    """
    if label not in classifier.names:
        known = ", ".join(map(str, classifier.names[:10]))
        raise ValueError(f"the classifier knows no class {label!r}: it knows {known}")
    denoiser = ClassifierGuided(model.denoiser, classifier, classifier.names.index(label), weight)
    parts = (model.schema, model.standardize, denoiser, model.moments, model.sampling)
    return Model(*parts, model.context).train(model.training)
