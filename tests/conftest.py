"""What all tests share."""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest
import torch

from scorefield.denoisers import Gaussian, Mixture

torch.set_num_threads(1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What the tests and the libraries consist of stays: no search for garbage goes through it again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def seeded() -> None:
    """What draws from PyTorch's global generator, as the first weights of a network, is the same in every run."""
    torch.default_generator.manual_seed(0)  # torch.manual_seed notes the stack for devices that nobody asks for


@pytest.fixture
def gaussian() -> Gaussian:
    """Correlated data in two dimensions, neither centred nor of unit variance."""
    mean = torch.tensor([1.0, -2.0], dtype=torch.float64)
    return Gaussian(mean, torch.tensor([[1.0, 0.3], [0.3, 0.25]], dtype=torch.float64))


@pytest.fixture
def mixture() -> Mixture:
    """Three Gaussians in two dimensions with different covariances, apart but not separate."""
    means = torch.tensor([[-1.0, 0.5], [1.0, 0.0], [0.3, -1.2]], dtype=torch.float64)
    roots = torch.tensor([[[0.5, 0.1], [0.0, 0.3]], [[0.4, 0.0], [0.2, 0.4]], [[0.3, 0.2], [0.1, 0.6]]]).double()
    return Mixture(means, roots @ roots.mT, torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64))
