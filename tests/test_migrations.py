"""The structure of old files in the present one; tests/test_v0_1_0.py does it with whole files."""

from __future__ import annotations

import pytest

from scorefield import migrations, spec
from scorefield.processes import VP
from scorefield.samplers import DDIM, AdaptiveSDE, DormandPrince, Sampling
from scorefield.schedules import ExplicitLevels, Karras, UniformTime


def model(**parts):
    parts = {name: spec.describe(part) for name, part in parts.items()}
    return {"class": "scorefield.model.Model", "arguments": {"schema": None, **parts}}


@pytest.mark.parametrize(
    ("sampler", "grid", "steps"),
    [
        (DDIM(), None, 8),
        (DDIM(0.5), Karras(5.0), 8),
        (DormandPrince(), None, None),  # these did not go by the number of steps of the model
        (AdaptiveSDE(), None, None),
        (DDIM(), ExplicitLevels((3.0, 1.0)), None),
    ],
    ids=str,
)
def test_how_samples_are_drawn_becomes_one_value(sampler, grid, steps):
    old = model(process=VP(), sampler=sampler, steps=8, grid=grid)
    outer = {"class": "scorefield.interop.nle.LearnedLikelihood", "arguments": {"model": old, "names": ["a", "b"]}}
    new = migrations.migrate_sampling(outer)
    found = new["arguments"]["model"]["arguments"]
    assert found.keys() == {"schema", "sampling"}
    assert spec.build(found["sampling"]) == Sampling(
        sampler, steps, grid or UniformTime(), VP()
    )  # the clock of the process
    assert new["arguments"]["names"] == ["a", "b"]
    assert old["arguments"]["steps"] == 8
