"""Fréchet distances of features: of the data themselves, of their principal components, or of a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .base import Array, Distance, as_rows, subsample
from .distances import with_floor
from .moments import directions

__all__ = ["Features", "Principal", "features_of", "frechet_distance", "frechet_with_floor", "inception"]

Features = Callable[[Tensor], Tensor]
"""A function of data `(B, *D)` to features `(B, F)`."""


def frechet_distance(x: Array, y: Array) -> float:
    """The squared Fréchet distance of Gaussians with the moments of x and y, ‖μ − ν‖² + tr(A + B − 2 (A B)^½).

    The trace of the square root is computed as that of the symmetric (A^½ B A^½)^½ in float64, which needs neither complex
    numbers nor invertible matrices. The estimate is biased upwards, by about the ratio of features to rows: compare it with
    its noise floor.

    Arguments:
        x, y: Features of samples `(N, F)` and of real data `(M, F)`.

    Raises:
        ValueError: If there are fewer than two rows, the shapes differ, or a value is not finite.

    References:
        Dowson and Landau, 1982; Heusel et al., 2017, GANs trained by a two time-scale update rule.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(100, 3))
        >>> round(frechet_distance(x + [1.0, 2.0, 0.0], x), 6)
        5.0
    """
    a, b = (as_rows(z, name).flatten(1).double() for z, name in ((x, "x"), (y, "y")))
    if a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        shapes = f"{tuple(a.shape)}, {tuple(b.shape)}"
        raise ValueError(f"frechet_distance needs at least two rows and equal numbers of features, got {shapes}")
    a = a.to(b.device)
    shift, first, second = a.mean(0) - b.mean(0), a.T.cov().reshape(a.shape[1], -1), b.T.cov().reshape(b.shape[1], -1)
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    middle = root @ second @ root
    # Rounding errors of 1e-16 would contribute √1e-16 = 1e-8 for each direction of zero variance: they are left out.
    spectrum = torch.linalg.eigvalsh((middle + middle.T) / 2)
    spectrum = torch.where(spectrum > 1e-15 * spectrum.abs().max(), spectrum, 0.0)
    return float(shift.square().sum() + first.trace() + second.trace() - 2 * spectrum.sqrt().sum())


@dataclass(frozen=True)
class Principal:
    """The leading principal components of real data as features, in the units of the data.

    Arguments:
        mean: The mean of the data, `(D,)`.
        axes: The principal directions, `(D, F)`.

    Example:
        >>> x = torch.randn(200, 1, 8, 8)
        >>> Principal.of(x, 5)(x).shape
        torch.Size([200, 5])
    """

    mean: Tensor
    axes: Tensor

    @classmethod
    def of(cls, real: Array, count: int = 64) -> Principal:
        """The principal components of `real`, `(M, *D)`: either data that are not compared, or all that are."""
        rows = as_rows(real, "real").flatten(1).float()
        return cls(rows.mean(0), directions(rows, count))

    def __call__(self, x: Tensor) -> Tensor:
        return (x.flatten(1).float() - self.mean) @ self.axes


def features_of(x: Array, features: Features | None, chunk: int = 512) -> Tensor:
    """The features `(N, F)` of data, computed in chunks: by default the flattened data."""
    rows = as_rows(x, "x")
    if features is None:
        return rows.flatten(1)
    parts = []
    for batch in torch.split(rows, chunk):
        with torch.no_grad():
            parts.append(features(batch))
        if parts[-1].ndim != 2 or len(parts[-1]) != len(batch):
            shape = tuple(parts[-1].shape)
            raise ValueError(f"features must return one row per sample, ({len(batch)}, F), got {shape}: flatten them")
    return torch.cat(parts)


def frechet_with_floor(
    samples: Array,
    held_out: Array,
    train: Array | None = None,
    *,
    features: Features | None = None,
    name: str = "Fréchet distance",
    maximum: int = 10000,
    splits: int = 10,
    seed: int = 0,
) -> Distance:
    """The squared Fréchet distance of features, with its noise floor and its bootstrap interval.

    Arguments:
        samples, held_out, train: Samples of the model, held-out data, and further real data for the floor, `(N, *D)`.
        features: A function of data `(B, *D)` to features `(B, F)`. By default the data if they have at most 64 numbers, and
            otherwise their 64 leading principal components, of the training data if there are any.
        name, maximum, splits, seed: As in `with_floor`.

    Raises:
        ValueError: If there are too few rows, or the features do not have the shape `(B, F)`.
    """
    kind = "features of a network"
    if features is None:
        kind, reference = "the data themselves", held_out if train is None else train
        if as_rows(reference[:1]).numel() > 64:
            features, kind = Principal.of(reference[:20000], 64), "64 principal components"
    drawn, real = (features_of(subsample(x, maximum, seed + i), features) for i, x in enumerate((samples, held_out)))
    more = None if train is None else features_of(subsample(train, 2 * maximum, seed + 2), features)
    resamples, note = 20 if drawn.shape[1] <= 256 else 0, f"squared; of {kind}"
    options: dict[str, Any] = {"name": name, "splits": splits, "maximum": maximum, "seed": seed}
    return with_floor(frechet_distance, drawn, real, more, resamples=resamples, note=note, **options)


def inception(weights: str | Path, device: torch.device | str = "cpu") -> Features:
    """The features of the Fréchet Inception distance: 2,048 of Inception v3, for images with one or three channels in 0..255.

    Nothing is downloaded.

    Arguments:
        weights: The file `pt_inception-2015-12-05-6726825d.pth` of torch-fidelity.
        device: Where they are computed; the images and the features stay where the images are.

    Returns:
        A function of images `(B, C, H, W)` to features `(B, 2048)`.

    Raises:
        ImportError: If torchmetrics or torch-fidelity is missing.
        FileNotFoundError: If the file does not exist.
    """
    path = Path(weights).expanduser()
    try:
        network_of = import_module("torchmetrics.image.fid").NoTrainInceptionV3
    except ImportError as error:
        needed = 'FID needs torchmetrics and torch-fidelity: pip install "torchmetrics[image]"'
        raise ImportError(f"{needed}, or pass features of your own") from error
    if not path.exists():
        raise FileNotFoundError(
            f"FID needs the weights of Inception, and {path} does not exist: download "
            "pt_inception-2015-12-05-6726825d.pth from the releases of torch-fidelity, or pass features of your own"
        )
    try:
        network = network_of("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
    except ModuleNotFoundError as error:
        raise ImportError("FID needs torch-fidelity in addition to torchmetrics: pip install torch-fidelity") from error

    network = network.to(device)

    def features(x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] not in (1, 3):
            raise ValueError(f"Inception needs images (B, 1 or 3, H, W), got {tuple(x.shape)}")
        whole = x.round().clamp(0, 255).to(torch.uint8)
        output: Tensor = network(whole.to(device).expand(-1, 3, -1, -1))
        return output.flatten(1).to(x.device)

    return features
