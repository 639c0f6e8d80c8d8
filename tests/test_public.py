"""The public face: quick to import, and training stands on torch, numpy and safetensors alone."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import scorefield

ALONE = """
import sys

for name in {names!r}:
    sys.modules[name] = None  # an import of it fails, as if it were not installed
import numpy as np
import scorefield

x = np.random.default_rng(0).normal(size=(60, 2))
model = scorefield.fit(x, training=scorefield.Training(steps=5))
images = np.random.default_rng(0).integers(0, 255, (40, 6, 6), dtype=np.uint8)
other = scorefield.fit(images, training=scorefield.Training(steps=2, batch=8), network=scorefield.Network(widths=(8,)))
print(model.sample(3).shape, other.sample(3).dtype, model.log_prob(x[:2]).value.shape)
"""
OPTIONAL = (
    *("scipy", "sklearn", "matplotlib", "PIL", "jinja2", "cyclopts", "rich", "tensorboard"),
    *("pandas", "pyarrow", "h5py", "zarr", "xarray", "netCDF4"),
)


def test_training_needs_torch_numpy_and_safetensors_alone():
    script = ALONE.format(names=set(OPTIONAL))
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.stdout.split("\n")[0] == "(3, 2) uint8 torch.Size([2])", ended.stderr


def test_the_package_is_imported_without_torch():
    script = "import sys, scorefield; scorefield.__version__, dir(scorefield); print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"


@pytest.mark.parametrize("name", scorefield.__all__)
def test_every_public_name_is_there(name):
    assert getattr(scorefield, name) is not None
    assert name in dir(scorefield)


def test_modules_are_attributes_and_others_are_not():
    assert scorefield.processes.VE().sigma_max == 50.0
    with pytest.raises(AttributeError, match="module 'scorefield' has no attribute 'nonsense'"):
        scorefield.nonsense  # noqa: B018


MODULES = [info.name for info in pkgutil.walk_packages(scorefield.__path__, "scorefield.")]
ROOMS = {name.split(".")[1] for name in MODULES if not name.split(".")[1].startswith("_")}


def test_modules_are_discoverable():
    internal = scorefield._INTERNAL
    assert internal < ROOMS
    assert set(dir(scorefield)) == {*scorefield.__all__, *(ROOMS - internal)}
    assert all(inspect.ismodule(getattr(scorefield, name)) for name in ROOMS)


def test_the_package_runs_as_the_command_line():
    ended = subprocess.run(
        [sys.executable, "-m", "scorefield", "--version"], capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == scorefield.__version__


def test_type_checkers_see_what_is_imported_when_asked_for():
    tree = ast.parse(Path(scorefield.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    names = {alias.asname for node in block.body for alias in node.names}
    assert names == {*ROOMS, *scorefield.__all__} - {"__version__"}


def test_no_module_hides_a_verb():
    assert not {name for name in scorefield.__all__ if not name.startswith("_")} & ROOMS
    for name in ("compare", "diagnose", "evaluate", "fit", "load", "read", "report"):
        assert callable(getattr(scorefield, name))


def test_a_verb_with_the_name_of_an_old_module_stays_a_verb():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old, other = importlib.import_module("scorefield.evaluate"), importlib.import_module("scorefield.process")
    assert old.evaluate_run is scorefield.evaluation.evaluate_run
    with pytest.raises(TypeError, match="evaluate_run"):
        old(nothing=1)
    with pytest.raises(TypeError, match=r"scorefield\.process is a module, which cannot be called"):
        other()


def test_a_function_with_the_name_of_an_old_module_can_be_called_after_it_was_imported():
    code = """if True:
        import importlib, inspect, warnings
        import scorefield.data
        held = scorefield.data.check
        warnings.simplefilter("ignore")
        importlib.import_module("scorefield.data.check")
        from scorefield.data import check
        found = check("new.npy", scorefield.data.Schema.of([[1.0], [2.0]]))
        print(type(found).__name__, check is held, inspect.signature(check) == inspect.signature(held))
    """
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "Npy False True\n"


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_is_public(name):
    module = importlib.import_module(name)
    public = module.__all__
    assert len(set(public)) == len(public)
    for each in public:
        assert getattr(module, each) is not None or each in vars(module)
