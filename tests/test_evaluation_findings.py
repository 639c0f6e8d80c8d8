"""What the tests of an evaluation reject, in sentences with what to do."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from scorefield.data import Schema
from scorefield.evaluation.findings import table_findings
from scorefield.evaluation.tables import table_tests

pandas = pytest.importorskip("pandas")


def dates(shares: list[float], seed: int) -> pandas.DataFrame:
    """Days of two years, of which the weekdays have these shares; every fifth is missing."""
    rng = np.random.default_rng(seed)
    days = 7 * rng.integers(0, 104, 600) + rng.choice(7, 600, p=shares)
    day = pandas.Series(pandas.Timestamp("2023-01-02") + pandas.to_timedelta(days, "D"))
    return pandas.DataFrame({"day": day.where(np.arange(600) % 5 > 0)})


@pytest.mark.parametrize(
    ("real", "absent"), [([0.2] * 5 + [0, 0], True), ([0.19] * 5 + [0.05, 0], True), ([0.19] * 5 + [0.03, 0.02], False)]
)
def test_samples_on_weekdays_are_left_out_where_some_do_not_occur(real, absent):
    table, drawn = dates(real, 0), dates([1 / 7] * 7, 1)
    schema = Schema.of(table)
    sides = [schema.table[0].encode(each["day"])[:, None] for each in (drawn, table)]
    (family,) = [f for f in table_tests(sides[0], None, sides[1], schema.table)[0] if "weekday" in str(f.labels)]
    assert ("day (weekday) has values in samples that no row" in family.distance.note) is absent
    shapes = SimpleNamespace(shapes=SimpleNamespace(columns=()), columns=())
    (said,) = table_findings(SimpleNamespace(table=shapes, families=(family,), rejected=[family.distance], count=600))
    assert said.startswith("Samples have other times of day or weekdays than the data in") and "day (weekday)" in said
    assert said.endswith("leave out samples on weekdays that do not occur.") is absent and "dates;" not in said
