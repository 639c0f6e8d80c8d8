"""What all tests share."""

from __future__ import annotations

import gc
import runpy
import sys
from collections.abc import Callable, Generator
from pathlib import Path

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


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Generator[Path, None, None]:
    """The folder of the examples, which import their neighbours, as scripts can."""
    folder, before = Path(__file__).parents[1] / "examples", set(sys.modules)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in set(sys.modules) - before:
        if (folder / f"{name}.py").exists():
            del sys.modules[name]


@pytest.fixture
def run_example(
    examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, tuple[int, int]]]:
    """Runs an example with options, and returns its output and the size of its figure, whose path is the last line."""
    from PIL import Image

    def ran(name: str, *options: str, figure: str = "") -> tuple[str, tuple[int, int]]:
        path = tmp_path / (figure or f"{name}.png")
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *options, "-o", str(path)])
        runpy.run_path(str(examples / f"{name}.py"), run_name="__main__")
        text = capsys.readouterr().out
        assert text.splitlines()[-1] == str(path)
        return text, Image.open(path).size

    return ran
