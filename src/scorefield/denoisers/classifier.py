"""Classifier guidance: a denoiser guided by a classifier of noisy data."""

from __future__ import annotations

import torch
import torch.nn as nn
from torch import Tensor

from ..tensors import per_sample
from .base import Denoiser

__all__ = ["ClassifierGuided", "NoisyClassifier"]


class NoisyClassifier(nn.Module):
    """A classifier of data with noise of any level: log p(class | x_0 + σ z = x).

    Arguments:
        network: A network G(x, c) with x of shape `(B, *D)` and c, the noise label, `(B,)`, to logits `(B, classes)`.
        scale: The standard deviation of the data, in the units of the state.
        names: The names of the classes.
    """

    def __init__(self, network: nn.Module, scale: float = 1.0, names: tuple[str | int, ...] = ()) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        self.names = tuple(names)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """log p(class | x), of shape `(B, classes)`.

        Raises:
            ValueError: If the network gives another number of logits.
        """
        dtype = next((p.dtype for p in self.network.parameters()), x.dtype)
        noise = per_sample(torch.log(level / self.scale) / 4, x)
        logits = self.network((torch.rsqrt(level**2 + self.scale**2) * x).to(dtype), noise.to(dtype))
        classes = len(self.names) or logits.shape[-1]
        if logits.shape != (len(x), classes) or classes < 2:
            need = f"({len(x)}, {classes})" if self.names else f"({len(x)}, classes), two classes or more"
            raise ValueError(f"a classifier must give logits {need}, got shape {tuple(logits.shape)}")
        return torch.log_softmax(logits.to(x.dtype), 1)


class ClassifierGuided(Denoiser):
    """D(x, σ) + weight σ² ∇ log p(class | x, σ): a denoiser guided to a class (Dhariwal & Nichol, 2021).

    With a weight of 1, and if the classifier is right, it is the denoiser of the data of that class.

    Arguments:
        denoiser: The denoiser of all data.
        classifier: The classifier, of states in the same units.
        label: The index of the class.
        weight: How strongly; 1 for the distribution of that class.
    """

    def __init__(self, denoiser: Denoiser, classifier: NoisyClassifier, label: int, weight: float = 1.0) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.classifier = classifier
        self.label = label
        self.weight = weight

    def unguided(self) -> Denoiser:
        inner, weight = self.denoiser.unguided(), min(max(self.weight, 0.0), 1.0)
        if inner is self.denoiser and weight == self.weight:
            return self
        return ClassifierGuided(inner, self.classifier, self.label, weight)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        differentiable = torch.is_grad_enabled() and x.requires_grad
        with torch.inference_mode(False), torch.enable_grad():
            state = x if differentiable else x.detach().clone().requires_grad_()
            likelihood = self.classifier(state, level)[:, self.label].sum()
            gradient = torch.autograd.grad(likelihood, state, create_graph=differentiable)[0]
        return self.denoiser(x, level) + self.weight * level**2 * gradient  # type: ignore[no-any-return]
