"""The pages that the tests share."""

from __future__ import annotations

import numpy as np
import pytest
from served_pages import REPORT, TINY, Served, served, stripes

import scorefield
from scorefield.settings import Training


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Served:
    """The page of a conditional model of images, which has a report with a script in it."""
    report = tmp_path_factory.mktemp("show") / "report.html"
    report.write_text(REPORT)
    x, label = stripes()
    training = Training(steps=30, batch=16, unconditional=0.2)
    return served(scorefield.fit(x, context=label, **{**TINY, "training": training}), "stripes", report)


@pytest.fixture(scope="session")
def table() -> Served:
    """The page of a model of a table of several types."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    mode = rng.choice(["rail", "road"], 120)
    days = pandas.Timestamp("2024-01-01") + pandas.to_timedelta(rng.integers(0, 300, 120), "D")
    columns = {
        "mode": mode,
        "load (t)": rng.normal(10 + 5 * (mode == "rail")),
        "day": days,
        "late": rng.random(120) < 0.3,
    }
    return served(scorefield.fit(pandas.DataFrame(columns), **TINY), "freight")
