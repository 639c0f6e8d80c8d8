"""The public face: quick to import, and training stands on torch, numpy and safetensors alone."""

from __future__ import annotations

import subprocess
import sys

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
