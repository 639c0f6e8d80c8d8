"""`scorefield evaluate`, `report`, `compare`: how good a run is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .launching import shares_work
from .options import NAMES, Conditions, Drawing, Reading
from .terminal import say, table
from .verbs import Config, Device, Fitted, RunFolder, app, flat

if TYPE_CHECKING:
    from ..evaluation import Conditionals, Evaluation, TableEvaluation

__all__ = ["compare", "evaluate", "report"]

_COLUMNS = 12  # of a table are listed


@app.command(
    sort_key=2,
    help_epilogue="""Examples:

  scorefield evaluate run
  scorefield evaluate run moved/data.npy -n 5000""",
)
@shares_work
def evaluate(
    run: RunFolder,
    data: Fitted = None,
    /,
    *,
    count: Annotated[int | None, Parameter(alias="-n")] = None,
    seed: int = 0,
    target: str | None = None,
    drawing: Annotated[Drawing, flat("Sampling")] = Drawing(),  # noqa: B008
    conditions: Annotated[Conditions, flat("Context")] = Conditions(),  # noqa: B008
    device: Device = "auto",
    reading: Annotated[Reading, flat("Reading")] = Reading(),  # noqa: B008
    config: Config = None,
) -> None:
    """Measure how good a run is: new samples compared with held-out data, by tests that suit the data.

    Each distance comes with its noise floor, the distance between real data and other real data. A p-value is the
    probability of a difference at least as large by chance. The conclusion and the next steps are printed at the end.

    Arguments:
        count: How many samples to draw; by default 2000 vectors or 1000 grids.
        seed: The seed of the samples.
        target: The column of a table that is predicted from samples and from real rows; the last category by default.
    """
    from ..evaluation import RunData, evaluate_run
    from ..runs import Run

    folder, sampling = Run(run), drawing.sampling()
    folder.check_writable()
    opened = conditions.applied_to(RunData.of(folder, reading.given(data, run), device))
    found = evaluate_run(opened, None, count, seed, sampling, target)
    say(found.chosen)
    rejected = {d.name for d in found.rejected}
    tests, measures = found.tests, [d for d in found.distances if d.p_value is None]
    rows: list[tuple[Any, ...]]
    rows = [(d.name, d.value, d.floor, d.low, d.high, d.p_value, "no" if d.name in rejected else "yes") for d in tests]
    rows += [(d.name, d.value, d.floor, d.low, d.high, "", "in range" if d.covered else "outside") for d in measures]
    title = f"{found.count:,} samples against held-out data"
    table(title, ("", "samples", "real data", "from", "to", "p", "as real data"), rows)
    say(
        "as real data: a test says no if it distinguishes them, at 5 % for all tests together; a distance without p is in"
    )
    say("range from 5 % to 95 % of real data, or outside, as it is by chance now and then: the tests decide")
    _print_families(found)
    if found.table is not None:
        _print_table(found.table)
    if found.conditionals is not None and found.conditionals.tests:
        _print_conditionals(found.conditionals)
    near = found.plain()["neighbours"]
    shares = [f"{100 * q:g} %" for q in near["quantiles"]]
    rows = [
        ("of samples", *near["samples"], near["copied"]),
        ("of held-out data", *near["held_out"], near["copied_held_out"]),
    ]
    table("Distances to the nearest training example, by quantiles", ("", *shares, "near copies"), rows)
    if folder.ended:
        levels = folder.read("fit.json")["by_level"]
        shown = {"level": "level", "loss": "held out", "train_loss": "training", "zero_loss": "a zero predictor"}
        shown = {name: title for name, title in shown.items() if name in levels}
        columns = [levels[name] for name in shown]
        table("Loss by noise level", tuple(shown.values()), list(zip(*columns))[::3])
    for sentence in found.verdict:
        print(sentence)
    print(folder.file("evaluation.json"))


def _print_families(found: Evaluation) -> None:
    """Columns and pairs of them, those that differ the most."""
    for family in found.families:
        worst = family.p_values.argsort(kind="stable")[:8]
        numbers = (family.samples, family.real, family.p_values)
        rows = [(family.labels[i], *(float(column[i]) for column in numbers)) for i in worst]
        unit = f": {family.values}" if family.values else ""
        title = f"The {family.distance.name}, those first that differ the most{unit}"
        table(title, ("", "samples", "real data", "p (Bonferroni)"), rows)
    if any(family.values.endswith("standard units") for family in found.families):
        say("standard units: 0 is the mean of the data, and 1 their standard deviation")


def _print_conditionals(found: Conditionals) -> None:
    """The tests of values drawn given others, and each column given all others."""
    wrong = {d.name for d in found.rejected}
    rows: list[tuple[Any, ...]]
    rows = [
        (d.name, d.value, d.floor, d.low, d.high, d.p_value, "no" if d.name in wrong else "yes") for d in found.tests
    ]
    title = f"Values drawn given others, against the {found.rows:,} held-out rows they were drawn for"
    table(title, ("", "drawn", "if right", "from", "to", "p", "as real data"), rows)
    if not found.columns:
        return
    rows = [(c.name, c.skill, c.trees, c.spread, c.p_value) for c in found.columns[:_COLUMNS]]
    names = ("", "skill", "boosted trees", "spread", "p (Bonferroni)")
    table(f"Each column given all others, in {found.each:,} rows, the worst first", names, rows)
    say(
        "skill: 0 if draws know no more than the column alone, 1 if they are the held-out values; boosted trees: theirs,"
    )
    say("learned from training rows; spread: 1 if right, less if draws are too sure, more if they vary too much")


def _print_table(found: TableEvaluation) -> None:
    """The columns of a table, its scores, and how well trees learn from samples."""
    columns = found.shapes.columns
    rows: list[tuple[Any, ...]] = [
        (
            c.name,
            c.kind,
            c.distance.value,
            c.distance.high,
            c.missing.samples,
            c.missing.real,
            c.below + c.above,
            c.unseen or 0,
        )
        for c in sorted(columns, key=lambda c: c.distance.high - c.distance.value)[:_COLUMNS]
    ]
    names = ("", "kind", "distance", "real data up to", "missing", "in the data", "out of range", "never in the data")
    title = "Columns (Kolmogorov-Smirnov for numbers, total variation for categories), those first that differ the most"
    table(title, names, rows)
    scores = [(s.name, s.value, s.floor, s.low, s.high) for s in found.scores]
    table("Scores in the definitions of SDMetrics, 1 is ideal", ("", "samples", "real data", "from", "to"), scores)
    say(found.boosted.note)
    utility, privacy = found.utility, found.privacy
    if utility is not None:
        say(
            f"{utility.statistic} of boosted trees for {utility.target}: {utility.samples:.3g} after learning from samples, "
            f"{utility.real:.3g} from as many real rows"
        )
    if privacy is not None:
        say(
            f"{100 * privacy.closer.value:.3g} % of the samples are nearer to a training row than to a held-out row, by chance "
            f"{100 * privacy.closer.low:.3g} to {100 * privacy.closer.high:.3g} %; {100 * privacy.copies:.3g} % equal a "
            f"training row, of held-out rows {100 * privacy.copies_held_out:.3g} %"
        )


@app.command(
    sort_key=3,
    help_epilogue="""Examples:

  scorefield report run
  scorefield report run moved/data.npy""",
)
@shares_work
def report(
    run: RunFolder,
    data: Fitted = None,
    /,
    *,
    count: Annotated[int | None, Parameter(alias="-n")] = None,
    seed: int = 0,
    target: str | None = None,
    drawing: Annotated[Drawing, flat("Sampling")] = Drawing(),  # noqa: B008
    conditions: Annotated[Conditions, flat("Context")] = Conditions(),  # noqa: B008
    device: Device = "auto",
    reading: Annotated[Reading, flat("Reading")] = Reading(),  # noqa: B008
    config: Config = None,
) -> None:
    """Evaluate a run, say the verdict, and write report.html into its folder: one self-contained page.

    Arguments:
        count: How many samples to draw for the distances.
        seed: The seed of the samples.
        target: The column of a table that is predicted from samples and from real rows; the last category by default.
    """
    from ..evaluation import RunData
    from ..reporting.run import report
    from ..runs import Run

    folder, sampling = Run(run), drawing.sampling()
    folder.check_writable()
    opened = conditions.applied_to(RunData.of(folder, reading.given(data, run), device))
    page = report(opened, None, count, seed, sampling, target)
    for sentence in folder.read("evaluation.json")["verdict"]:
        say(sentence)
    print(page)


@app.command(
    sort_key=4,
    help_epilogue="""Examples:

  scorefield compare run
  scorefield compare run --samplers heun "ddim(eta=1)" "dpm(order=3)" --steps 16
  scorefield compare run --samplers dpm "dpm(schedule=karras(rho=5))" -n 500

"""
    + NAMES,
)
@shares_work
def compare(
    run: RunFolder,
    data: Fitted = None,
    /,
    *,
    samplers: tuple[str, ...] | None = None,
    steps: int | None = None,
    schedule: str | None = None,
    process: str | None = None,
    count: Annotated[int | None, Parameter(alias="-n")] = None,
    seed: int = 0,
    conditions: Annotated[Conditions, flat("Context")] = Conditions(),  # noqa: B008
    device: Device = "auto",
    reading: Annotated[Reading, flat("Reading")] = Reading(),  # noqa: B008
    config: Config = None,
) -> None:
    """Sample with several samplers from the same seeds, and compare them on one page, compare.html in the folder of the run.

    For each: evaluations of the network, seconds, distances to held-out data, diversity.

    Arguments:
        samplers: Each as name or name(key=value, …); by default the model's own and the common ones of the literature.
        steps: The number of steps, where a sampler does not give its own; by default the model's own.
        schedule: The times to step through, where a sampler does not give its own; by default the model's own.
        process: The noise process, where a sampler does not give its own; by default the model's own.
        count: How many samples to draw with each sampler; by default 1000 vectors or 256 grids.
        seed: The seed of the samples.
    """
    from ..comparison import compare
    from ..distributed import decided
    from ..evaluation import RunData
    from ..reporting.compare import write_comparison
    from ..runs import Run
    from ..samplers import Sampling

    folder, sampling = Run(run), Sampling.of(None, None, schedule, process)
    folder.check_writable()
    opened = conditions.applied_to(RunData.of(folder, reading.given(data, run), device)).with_sampling(sampling)
    found = compare(opened, samplers or (), None, count, seed, steps, None, say)
    page = folder.file("compare.html")
    decided(lambda: str(write_comparison(page, found, folder.path.resolve().name)))
    names = ("evaluations", "seconds", "a second", *(d.name for d in found.rows[0].distances))
    floors = ("real data", "", "", "", *(d.floor for d in found.rows[0].distances), "", 1, "")
    rows: list[tuple[Any, ...]] = [floors]
    for row in found.rows:
        cost = (row.name, row.evaluations, row.seconds, found.count / row.seconds)
        quality = (*(d.value for d in row.distances), "yes" if row.covered else "no", row.diversity, row.apart)
        rows.append((*cost, *quality))
    title = f"{found.count:,} samples of each sampler, the same seeds, against held-out data"
    table(title, ("sampler", *names, "as real data", "diversity", "from the first"), rows)
    for sentence in found.verdict:
        print(sentence)
    print(page)
