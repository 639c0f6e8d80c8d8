"""A report reads the model and the data once, and draws each set of samples once."""

from __future__ import annotations

from collections import Counter

import numpy as np

from scorefield import fit
from scorefield.evaluation import runs as evaluated
from scorefield.model import Model
from scorefield.reporting.run import report
from scorefield.runs import Run, folder
from scorefield.settings import Network


def test_nothing_is_read_or_drawn_twice(tmp_path, monkeypatch):
    """F7: 0.1.0 loaded the model twice, read and fingerprinted the data twice, and drew the same samples twice."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(80, 2)))
    source, small = {"path": str(tmp_path / "x.npy")}, Network(widths=(8,), depth=1)
    fit(np.load(tmp_path / "x.npy"), tmp_path / "run", steps=5, network=small, source=source)
    calls: Counter[str] = Counter()

    def counted(name, function, key=lambda *arguments: ""):
        def call(*arguments, **named):
            calls[name + key(*arguments)] += 1
            return function(*arguments, **named)

        return call

    monkeypatch.setattr(folder, "load", counted("load", folder.load))
    monkeypatch.setattr(evaluated, "read", counted("read", evaluated.read))
    monkeypatch.setattr(evaluated, "fingerprint", counted("fingerprint", evaluated.fingerprint))
    seeded = counted("draws of seed ", Model.batches, lambda model, count, seed=0, *rest: str(seed))
    monkeypatch.setattr(Model, "batches", seeded)
    report(Run(tmp_path / "run"), count=30)
    assert calls == {"load": 1, "read": 1, "fingerprint": 1, "draws of seed 0": 1, "draws of seed 1": 1}
