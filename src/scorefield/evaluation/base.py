"""What an evaluation holds."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from ..display import Facts, displayed, plain
from ..metrics import (
    ConditionalColumn,
    Curve,
    Distance,
    GeneralizationGap,
    MissingPatterns,
    Neighbours,
    Privacy,
    SmallestDefects,
    TableShapes,
    TableTrends,
    TestFamily,
    TypedColumn,
    Utility,
    rejected,
)

__all__ = ["ConditionCheck", "Conditionals", "Drift", "Evaluation", "TableEvaluation", "Verdict", "WithTests"]

DRIFT_LEVEL = CONDITIONALS_LEVEL = 0.01
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)  # of distances that are kept


@dataclass(frozen=True)
class Drift:
    """Energy distances, in standard units, where the held-out rows are the last ones in time.

    Arguments:
        apart: Between training rows and held-out rows. Its range is that of earlier stretches of as many rows, each from the
            rows before it; its p-value is that of rows in random order.
        samples: Between samples and held-out rows.
        fit: Between samples and training rows, with a test that finds that a model does not fit the rows it was trained on.

    Example:
        >>> apart, fit = (Distance("energy", 0.3, 0.0, 0.0, 0.05, p_value=p) for p in (0.002, 0.4))
        >>> Drift(apart, 0.31, fit).sentence
        'The held-out rows are the last in time, and are 0.3 from training rows in energy distance, earlier stretches at most \
0.05 from the rows before them: the data drift. Samples are 0.31 from held-out rows and not distinguished from training rows \
(p = 0.4): what the tests see is drift, not a model that does not fit.'
    """

    apart: Distance
    samples: float
    fit: Distance

    @property
    def drifts(self) -> bool:
        """Whether later rows differ from earlier ones more than the order of rows explains."""
        return not self.apart.covered and (self.apart.p_value or 0.0) <= DRIFT_LEVEL

    @property
    def fits(self) -> bool:
        """Whether samples are not distinguished from training rows."""
        return (self.fit.p_value or 0.0) > DRIFT_LEVEL

    @property
    def sentence(self) -> str:
        """The result in a sentence or two."""
        apart = f"{self.apart.value:.2g} from training rows in energy distance"
        usual = f"earlier stretches at most {self.apart.high:.2g} from the rows before them"
        said = f"The held-out rows are the last in time, and are {apart}, {usual}"
        near = f"Samples are {self.samples:.2g} from held-out rows and"
        fit = f"training rows (p = {self.fit.p_value:.2g})"
        if self.drifts and self.fits:
            what = "what the tests see is drift, not a model that does not fit"
            return f"{said}: the data drift. {near} not distinguished from {fit}: {what}."
        if self.drifts:
            return (
                f"{said}: the data drift. {near} {self.fit.value:.2g} from {fit}: the model does not fit these either."
            )
        drift = "no drift was found, and rows of a series are not independent, so that p-values may be too small"
        return f"{said}: {drift}. {near} {self.fit.value:.2g} from {fit}."


@dataclass(frozen=True)
class TableEvaluation:
    """What was measured of a table.

    Arguments:
        shapes: Of each column.
        trends: Of pairs of columns; None if there is one column, or more than 256.
        patterns: Of missing values; None if none is missing.
        boosted: The two-sample test with boosted trees, which is among the distances of the evaluation too.
        utility: How well a column is predicted after learning from samples; None if there is nothing to predict.
        privacy: How close samples are to training rows; None if nothing was held out.
        columns: The columns themselves, which know how their values are written.
    """

    shapes: TableShapes
    trends: TableTrends | None
    patterns: MissingPatterns | None
    boosted: Distance
    utility: Utility | None
    privacy: Privacy | None
    columns: tuple[TypedColumn, ...] = ()

    @property
    def scores(self) -> tuple[Distance, ...]:
        """The overall scores, higher is better: Column Shapes and Column Pair Trends."""
        return (self.shapes.score, *(() if self.trends is None else (self.trends.score,)))

    def plain(self) -> dict[str, Any]:
        """The same as plain data, without the columns; distances to neighbours by their quantiles."""
        whole = {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.name != "columns"}
        if self.privacy is not None:
            sides = {name: _quantiles(getattr(self.privacy, name)) for name in ("distances", "held_out")}
            whole["privacy"] |= sides | {"quantiles": list(QUANTILES), "suspicious": self.privacy.suspicious}
        return whole


@dataclass(frozen=True)
class ConditionCheck:
    """Whether what was asked of a conditional model is what it draws.

    Arguments:
        distance: The mean error of the condition that a predictor finds in samples, minus that in held-out rows, with a test.
        labels: The classes, and the columns of numbers, `(K,)`.
        counts: How many held-out rows have each.
        samples, real: The mean errors of samples and of held-out rows, `(K,)`: shares that are not recognized as the class
            asked for, or mean absolute errors of numbers in standard deviations.
        classes: Whether all columns of the condition are classes.
    """

    distance: Distance
    labels: tuple[str, ...]
    counts: np.ndarray
    samples: np.ndarray
    real: np.ndarray
    classes: bool


@dataclass(frozen=True)
class Conditionals:
    """Whether values of held-out rows, drawn again given the others, can be distinguished from the real ones.

    Arguments:
        tests: The tests: of rows of which a random half of the columns was drawn, or all but one; and of single columns given
            all others.
        columns: Each column given all others, those first that differ the most; none if they follow from each other.
        rows: How many rows had half of their columns drawn.
        each: How many rows had each single column drawn.
        draws: How often, in each of these rows.
        failed: Why nothing could be drawn; "" if it could.
    """

    tests: tuple[Distance, ...]
    columns: tuple[ConditionalColumn, ...]
    rows: int
    each: int
    draws: int
    failed: str = ""

    @property
    def rejected(self) -> tuple[Distance, ...]:
        """The tests that distinguish drawn values from real ones, at 1 % for all of these tests together."""
        return rejected(self.tests, CONDITIONALS_LEVEL)

    @property
    def wrong(self) -> tuple[ConditionalColumn, ...]:
        """The columns whose draws given all others are distinguished from real values, at 1 % for all columns together."""
        return tuple(column for column in self.columns if column.p_value <= CONDITIONALS_LEVEL)

    @property
    def missed(self) -> tuple[ConditionalColumn, ...]:
        """The columns of which boosted trees know more, those first of which they know the most more."""
        return tuple(sorted((c for c in self.columns if c.missed), key=lambda c: c.skill - c.trees))


@dataclass(frozen=True)
class Verdict:
    """What an evaluation means.

    Arguments:
        conclusion: What to conclude, in a sentence.
        reasons: Why.
        advice: What to do.
        details: How it was tested, and what could have been found.

    Example:
        >>> Verdict("Samples differ from real data.", ("1 of 2 tests finds a difference.",), ("Train longer.",)).sentences
        ('Samples differ from real data.', '1 of 2 tests finds a difference.', 'Train longer.')
    """

    conclusion: str
    reasons: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    details: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of it: first what to conclude, then why, then what to do."""
        return (self.conclusion, *self.reasons, *self.advice, *self.details)


class WithTests:
    """What holds tests of samples against held-out data: an `Evaluation`, or the tests of one sampler."""

    distances: tuple[Distance, ...]
    families: tuple[TestFamily, ...]
    curves: tuple[Curve, ...]
    condition: ConditionCheck | None

    @property
    def tests(self) -> tuple[Distance, ...]:
        """All tests of samples against held-out data: those that say where the difference is come first."""
        families, curves = ([each.distance for each in several] for several in (self.families, self.curves))
        asked = [] if self.condition is None else [self.condition.distance]
        return tuple(d for d in (*asked, *families, *curves, *self.distances) if d.p_value is not None)

    @property
    def rejected(self) -> tuple[Distance, ...]:
        """The tests that distinguish samples from real data, at 5 % for all tests together."""
        return rejected(self.tests)


@displayed
@dataclass(frozen=True)
class Evaluation(WithTests):
    """What was measured.

    Arguments:
        count, seconds: How many samples were drawn, and how long that took.
        chosen: What is measured on such data, in a sentence.
        distances: What compares samples with held-out data as a whole: tests, which have a p-value, and distances; each
            with its floor, the same between real data and real data.
        families: Many statistics together: columns of tables, and pairs of them.
        curves: What is measured on fields.
        neighbours: Distances to the nearest training example, of samples and of held-out data.
        gap: The losses of training and of held-out data by noise level; None if nothing was held out.
        twin: Samples of the model drawn with fresh noise and without, compared with each other: a test whether the learned
            score is that of one distribution.
        verdict: Sentences that say what it means and what to do next.
        samples: The first samples, for pictures, `(M, *D)` in the layout of networks and the units of the data; of tables the
            data matrix, with codes of categories and NaN for missing values.
        table: What was measured of a table; None for other data, or too few of them.
        smallest: The smallest defects that the tests could have found at these sizes; None if there are no tests.
        rows: How many real rows there are, if the tests of moments and marginals use all of them; 0 otherwise.
        fresh: How many held-out rows the tests use: all, or one of each group where these were held out as a whole.
        split: How rows were held out, if not one by one at random; "" if they were.
        drift: How far held-out rows are from training rows, if they are the last in time; None if not.
        condition: Whether samples follow the conditions they were drawn with; None if there are none, or too few rows.
        summary: The verdict by its parts: what to conclude, why, and what to do.
        conditionals: Whether values given others are drawn as they are in held-out rows; None if the model does not learn
            conditionals, or that cannot be asked.
    """

    count: int
    seconds: float
    chosen: str
    distances: tuple[Distance, ...]
    families: tuple[TestFamily, ...]
    curves: tuple[Curve, ...]
    neighbours: Neighbours
    gap: GeneralizationGap | None
    twin: Distance | None
    verdict: tuple[str, ...] = ()
    samples: np.ndarray = field(default_factory=lambda: np.zeros((0, 1), np.float32))
    table: TableEvaluation | None = None
    smallest: SmallestDefects | None = None
    rows: int = 0
    fresh: int = 0
    split: str = ""
    drift: Drift | None = None
    condition: ConditionCheck | None = None
    summary: Verdict | None = None
    conditionals: Conditionals | None = None

    def _facts(self) -> Facts:
        tests = f"{len(self.rejected)} of {len(self.tests)} distinguish samples from held-out data"
        facts = {"tests": tests, "copies": "suspected" if self.copies_suspected else "none found"}
        return f"Evaluation of {self.count:,} samples", facts | {"verdict": " ".join(self.verdict)}

    @property
    def copies_suspected(self) -> bool:
        """Whether samples seem to be copies of training data; of tables also by distances of mixed rows."""
        private = None if self.table is None else self.table.privacy
        return self.neighbours.suspicious or (private is not None and private.suspicious)

    def plain(self) -> dict[str, Any]:
        """The same as plain data, without the samples; distances to neighbours by their quantiles."""
        near = plain(self.neighbours) | {"quantiles": list(QUANTILES), "suspicious": self.neighbours.suspicious}
        near |= {"copies_p_value": plain(self.neighbours.copies_p_value)}
        near |= {name: _quantiles(getattr(self.neighbours, name)) for name in ("samples", "held_out")}
        whole = {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.name not in ("samples", "table")}
        table = {} if self.table is None else {"table": self.table.plain()}
        return whole | table | {"neighbours": near, "rejected": [d.name for d in self.rejected]}


def _quantiles(values: np.ndarray) -> list[float]:
    found: list[float] = np.quantile(values, QUANTILES).tolist()
    return found
