"""The examples in the README and the docs of version 0.1.0 still run: they warn of what has another name today.

`v0_1_0/examples.json` holds them, with means of samples that 0.1.0 drew in two of them.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from test_readme import PYTHON

EXAMPLES = json.loads((Path(__file__).parent / "v0_1_0" / "examples.json").read_text())
TODAY = {code for _, code in PYTHON}  # what has not changed since is run there


LONG = {f"conditional.md {n}" for n in range(1, 5)}
LONG |= {"likelihood.md 2", "posterior.md 1", "posterior.md 3", "samplers.md 3"}
CHANGED = [n for n, each in EXAMPLES.items() if "\n".join(each["code"]) + "\n" not in TODAY]


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in LONG else []) for n in CHANGED])
def test_old_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        code = "\n".join(EXAMPLES[name]["code"])
        exec(compile(code.replace("fit(x)", "fit(x, steps=50)"), name, "exec"), scope)  # a small budget for the tests
    mine = [w for w in caught if w.filename == name]
    assert all(w.category is DeprecationWarning for w in mine), mine
    for variable, mean in EXAMPLES[name].get("mean", {}).items():
        np.testing.assert_allclose(scope[variable].mean(0), mean, rtol=1e-9)
        assert any("takes one `sampling` in place of sampler, steps and grid" in str(w.message) for w in mine)
