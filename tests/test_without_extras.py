"""Installed without extras, every command works, or names the extra that it needs."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import scorefield
from scorefield.cli.verbs import app

ROOT = Path(__file__).parent.parent
EXTRAS = ("pandas", "pyarrow", "h5py", "zarr", "xarray", "netCDF4", "openpyxl", "tensorboard", "diffusers")
EXTRAS += ("starlette", "uvicorn")
RUN = """
import contextlib, io, json, sys

for name in {extras!r}:
    sys.modules[name] = None  # an import of it fails, as if it were not installed
from scorefield.cli import main

found = []
for words in json.load(sys.stdin):
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        status = main(words)
    found.append([status, said.getvalue()])
print(json.dumps(found))
"""
WORK = [  # in this order, with an extra where one is needed
    ("fit x.npy -o run --steps 20", ""),
    ("info run", ""),
    ("sample run -n 20 -o new.npy", ""),
    ("sample run -n 20 -o new.csv", "data"),
    ("sample run -n 20 -o new.nc", "data"),
    ("sample run -n 20 -o new.xlsx", "excel"),
    ("logprob run new.npy", ""),
    ("impute run gaps.npy -o filled.npy", ""),
    ("noise-levels x.npy", ""),
    ("fit table.csv -o other --steps 5", "data"),
    ("fit x.npy -o other --steps 5 --tensorboard", "tensorboard"),
    ("show run --port 0", "show"),
    ("posterior run y.npy -o posterior.npy --operator mask([true,false]) --noise 0.1 -n 5", ""),
    ("import auto folder -o other", "diffusers"),
    ("distill run -o fast --steps 20", ""),
    ("evaluate run -n 50", ""),
    ("report run -n 50", ""),
    ("compare run -n 30", ""),
    ("diagnose run", ""),
]


@pytest.mark.slow
def test_every_command_works_or_names_the_extra(tmp_path):
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {words.split()[0] for words, _ in WORK} == {name for name in app._commands if not name.startswith("-")}
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(600, 2)))
    np.save(tmp_path / "gaps.npy", np.array([[np.nan, 1.0], [0.5, 0.5]]))
    np.save(tmp_path / "y.npy", np.array([0.5]))
    (tmp_path / "table.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    schedule = {"_class_name": "DDPMScheduler", "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
    (tmp_path / "folder" / "scheduler_config.json").write_text(json.dumps(schedule | {"num_train_timesteps": 10}))
    given = json.dumps([words.split() for words, _ in WORK])
    script = [sys.executable, "-c", RUN.format(extras=EXTRAS)]
    ended = subprocess.run(script, input=given, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    for (words, extra), (status, said) in zip(WORK, json.loads(ended.stdout), strict=True):
        if extra:
            assert extra in known and status == 1 and said.count("\n") == 1, (words, said)
            assert f"scorefield[{extra}]" in said or f"pip install {extra}" in said, (words, said)
        else:
            assert status == 0, (words, said)


def test_the_version_is_one_everywhere():
    """Of the package and of what people cite; a release is dated."""
    lines = dict(line.split(": ", 1) for line in (ROOT / "CITATION.cff").read_text().splitlines() if ": " in line)
    assert lines["version"] == scorefield.__version__
    assert "dev" not in scorefield.__version__ and len(lines["date-released"]) == len("2026-11-28")
