"""The commands. Each is one call of the library, and imports it only when it is run."""

from __future__ import annotations

import contextlib
import shlex
import sys
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Group, Parameter

from .. import __version__
from ..bars import duration
from ..progress import part
from ..settings import Network, Training
from .launching import complain, shares_work
from .options import Choices, Form, Reading, from_file
from .terminal import number, quoted, say, table, with_options

if TYPE_CHECKING:
    from ..data import Schema
    from ..fitting import Plan
    from ..model import Model
    from ..runs import Run

__all__ = ["app", "say_ended", "stoppable_fit"]

_GROUPS = ("Training", "Choices", "Sampling", "Reading", "Data", "Network", "Context", "Other")
_ORDER = {name: Group(name, sort_key=i) for i, name in enumerate(_GROUPS)}


def flat(group: str) -> Parameter:
    """The fields of a dataclass as options of their own."""
    return Parameter(name="*", group=_ORDER[group])


_MOST, _NAME = 20, 30  # columns of a table that are listed, and characters of a name that they line up for
_RELATIONS, _WORDS = 6, 100  # relations that are listed, and characters of one
_CONFIG = "A TOML file with these options, at the top level or in a table [COMMAND]; the command line takes precedence."
_FITTED = "The training data, if they have been moved."
_OVERWRITE = "Replace a file that is there already, which is refused otherwise. What a command reads is never replaced."

RunFolder = Annotated[Path, Parameter(help="The folder of a run.")]
Fitted = Annotated[Path | None, Parameter(help=_FITTED)]
Config = Annotated[Path | None, Parameter(group=_ORDER["Other"], help=_CONFIG)]
Device = Annotated[str, Parameter(group=_ORDER["Other"], help="auto, cpu, cuda, …")]
Seed = Annotated[int, Parameter(group=_ORDER["Other"])]
Overwrite = Annotated[bool, Parameter(group=_ORDER["Other"], negative="", help=_OVERWRITE)]

app = App(
    name="scorefield",
    version=__version__,
    help="""Learn the distribution of your data from samples, then draw new samples.

Give it a table, signals, fields or images: a file (.npy .npz .csv .parquet .xlsx .h5 .nc .zarr) a folder of .npy or .parquet files, or one of images. It chooses noise levels, network and budget from the data, says why, and trains a score-based model whose samples have the form of the data: the same columns, types, shapes and units.

The main steps in three commands:

  scorefield fit data.npy -o run
  scorefield sample run -n 1000 -o new.npy
  scorefield report run
""",  # noqa: E501
    help_epilogue="scorefield COMMAND --help explains a command, with examples; --debug shows where an error comes from.",
    help_format="plaintext",
    config=from_file,
    default_parameter=Parameter(consume_multiple=True, negative_iterable=()),
)


@app.command(
    sort_key=0,
    help_epilogue="""Examples:

  scorefield fit table.csv -o run --minutes 2
  scorefield fit table.csv -o run --categorical zone,band --bounds share=0:1 \\
    --keep id
  scorefield fit fields.h5 --key pressure -o run --channels none --periodic
  scorefield fit photos/ -o run --resize 64 --minutes 60 --widths 64 128 256
  scorefield fit digits.npz -o run --key images --context digits.npz \\
    --context-key labels
  scorefield fit data.npy -o run --process vp --sampler "ddim(steps=50)"
  scorefield fit data.npy -o run --objective "slicedscorematching(count=2)" \\
    --parametrization v
  scorefield fit visits.csv -o run --groups patient
  scorefield fit prices.csv -o run --split time=day
  scorefield fit data.npy -o run --config run.toml
  torchrun --nproc-per-node 4 -m scorefield fit data.npy -o run""",
)
@shares_work
def fit(
    data: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    training: Annotated[Training, flat("Training")] = Training(),  # noqa: B008
    choices: Annotated[Choices, flat("Choices")] = Choices(),  # noqa: B008
    reading: Annotated[Reading, flat("Reading")] = Reading(),  # noqa: B008
    form: Annotated[Form, flat("Data")] = Form(),  # noqa: B008
    network: Annotated[Network, flat("Network")] = Network(),  # noqa: B008
    context: Annotated[Path | None, Parameter(group=_ORDER["Context"])] = None,
    context_key: Annotated[str | None, Parameter(group=_ORDER["Context"])] = None,
    context_columns: Annotated[tuple[str, ...] | None, Parameter(group=_ORDER["Context"])] = None,
    seed: Seed = 0,
    device: Device = "auto",
    tensorboard: Annotated[bool, Parameter(group=_ORDER["Other"])] = False,
    config: Config = None,
) -> None:
    """Learn the distribution of data, and save the model in a folder.

    If the fit is interrupted, the same command resumes it and gives the same result.

    Arguments:
        data: A file, or a folder: of .npy or .parquet files, or of images.
        output: The folder of the run.
        context: A file with the context of each example (labels, numbers, a table, fields), for a conditional model:
            scorefield sample run --given label=3.
        context_key: The array in that file, if it has several.
        context_columns: The columns of that file, if it is a table; it may be the file of the data.
        seed: The random seed.
        tensorboard: Also write a log for TensorBoard.
    """
    from ..distributed import decided
    from ..runs import Run, fit

    run = Run(output)
    run.check_writable()
    decided(run.check_free)
    x = reading.read(data)
    how, groups = form.with_labels(x)
    contexts = None if context is None else Reading(context_key, context_columns).read(context)
    complete = run.ended
    with stoppable_fit(output), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # warnings are printed below
        given: dict[str, Any] = {"data": how, "network": network, "training": training, "context": contexts}
        given |= {"groups": groups}
        given |= {**choices.given(), "source": reading.source(data), "tensorboard": tensorboard}
        fit(x, output, **given, seed=seed, device=device, begin=_introduce)
    _conclude(run, complete)


def say_ended(run: Run, complete: bool) -> dict[str, Any]:
    """Says how far training went, or that it had ended before; gives what was recorded."""
    about = run.read("fit.json")
    if complete:
        say(f"{run.path} was already complete: nothing left to do")
    else:
        say(f"{about['steps']:,} steps in {duration(about['seconds'])}, until {about['stopped']}")
    return about


def _conclude(run: Run, complete: bool) -> None:
    """Says how it went, and what to do next."""
    about = say_ended(run, complete)
    say(f"held-out loss {about['held_out_loss']:.4f} ({about['weights']})")
    if about.get("warning"):
        say(f"warning: {about['warning']}")
    if about.get("not_compiled"):
        say(f"warning: {about['not_compiled']}: it was trained as it is, --no-compile does not try")
    place = shlex.quote(str(run.path))
    say(f"next: scorefield sample {place} -n 1000 -o {_place_for_samples(run)}, or: scorefield report {place}")
    print(run.file("model.safetensors"))


def _place_for_samples(run: Run) -> str:
    """A name for samples, in a format that holds their form: that of the data where it is one for samples."""
    kind, source = run.model.schema.kind, (run.read("run.json")["asked"]["source"] or {}).get("path", "")
    if kind in ("dataframe", "series"):
        return "new.parquet" if source.lower().endswith(".parquet") else "new.csv"
    if kind in ("dataarray", "dataset"):
        return "new.zarr" if source.lower().rstrip("/").endswith(".zarr") else "new.nc"
    return "new/" if source and Path(source).is_dir() else "new.npy"


def _introduce(plan: Plan) -> None:
    """Says what was found in the data, and what was chosen."""
    schema, training = plan.prepared.schema, plan.training
    form = " x ".join(map(str, schema.shape)) if schema.shape else "single numbers"
    say(f"data: {plan.prepared.summary.count:,} of shape {form} ({schema.dtype}); {schema.reason}")
    _columns(schema)
    _relations(plan)
    _constraints(plan)
    parts = plan.prepared.split
    for line in (f"held out: {parts.said}" if parts.said else "", f"warning: {parts.warning}" if parts.warning else ""):
        if line:
            say(line)
    say(f"network: {plan.choice('network').value}")
    budget = next(f"{getattr(training, n):g} {n}" for n in ("minutes", "steps", "epochs") if getattr(training, n))
    times = f"{training.accumulate} x " if training.accumulate > 1 else ""
    say(f"budget: {budget}, batches of {times}{training.batch}, on {plan.device}{_processes()}")
    if training.compile:
        say("PyTorch compiles the network in the first steps, which takes a minute or more; --no-compile leaves it out")
    low, high = plan.noise_levels.sigma_min, plan.noise_levels.sigma_max
    say(f"noise levels: {low:.3g} to {high:.3g} standard deviations; scorefield info says why")
    for choice in plan.choices:
        if choice.given:
            say(f"{choice.name}: {choice.value}")


def _processes() -> str:
    """How many processes share the work, if several do."""
    from ..distributed import size

    return f" in {size()} processes" if size() > 1 else ""


def _columns(schema: Schema) -> None:
    """Says what each column of a table was taken for, and which are left out."""
    from ..data import describe_columns

    rows = describe_columns(schema)
    kept = [row for row in rows if row[1] != "left out"]
    width = max((min(len(name), _NAME) for name, *_ in rows), default=0)
    for name, _, reason in kept[:_MOST]:
        say(f"  {name:{width}}  {reason}")
    if len(kept) > _MOST:
        say(f"  … and {len(kept) - _MOST:,} more: scorefield info")
    for name, _, reason in rows[len(kept) :][:_MOST]:
        say(f"  {name:{width}}  left out: {with_options(reason)}")
    if len(rows) - len(kept) > _MOST:
        say(f"  … and {len(rows) - len(kept) - _MOST:,} more left out: scorefield info")


def _relations(plan: Plan) -> None:
    """Says which columns follow exactly from others, and which do but for missing values."""
    found = [choice for choice in plan.choices if choice.name == "relation"]
    for choice in found[:_RELATIONS]:
        say(f"relation: {textwrap.shorten(str(choice.value), _WORDS, placeholder=' …')} ({choice.reason})")
    if len(found) > _RELATIONS:
        say(f"… and {len(found) - _RELATIONS:,} more relations: scorefield info")


def _constraints(plan: Plan) -> None:
    """Says which constraints hold in every row, and how samples keep to them."""
    found = [str(choice.value) for choice in plan.choices if choice.name == "constraint"]
    for text in found[:_RELATIONS]:
        say(f"constraint: {text} (holds in every row)")
    if found:
        words = " ".join(map(quoted, found[:_RELATIONS]))
        rest = f"; {len(found) - _RELATIONS:,} more: scorefield info" if len(found) > _RELATIONS else ""
        say(
            f"samples may break a constraint that is not declared; what is a rule of yours: --constraints {words}{rest}"
        )


@contextlib.contextmanager
def stoppable_fit(output: Path) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP end a fit with one line that says how to resume it."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        kept = (output / "training.safetensors").is_file()
        advice = "the same command resumes it" if kept else "nothing was trained yet"
        complain(f"interrupted: {advice}")
        raise SystemExit(error.code if isinstance(error, SystemExit) else 130) from None


def device_of(device: str) -> str:
    """The device that is asked for; "auto" takes a GPU if there is one."""
    from ..tensors import device_named

    return device_named(device)


def model_of(run: Path) -> Model:
    """The model of a run, or in a model.safetensors."""
    from ..model import load
    from ..runs import Run

    return Run(run).model if run.is_dir() or not run.exists() else load(run)


@app.command(
    sort_key=5,
    help_epilogue="""Examples:

  scorefield noise-levels data.npy
  scorefield noise-levels data.npy -o levels.png
  scorefield noise-levels photos/ --resize 64 --overlap 0.5667 --moves 5""",
)
def noise_levels(
    data: Path,
    /,
    *,
    reading: Annotated[Reading, flat("Reading")] = Reading(),  # noqa: B008
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    overlap: float = 0.5,
    moves: int | None = None,
    published: bool = False,
    form: Annotated[Form, flat("Data")] = Form(),  # noqa: B008
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    config: Config = None,
) -> None:
    """Choose the noise levels and other settings from the data, and print the reasons. Nothing is trained.

    Arguments:
        data: A file, or a folder: of .npy or .parquet files, or of images.
        output: A figure to write: distances between data, the overlap of neighbouring levels, an example at several levels.
        overlap: How much neighbouring levels of annealed Langevin dynamics overlap; 0.5667 gives the ladders of NCSNv2.
        moves: How many moves annealed Langevin dynamics makes at each level; by default chosen to suit the levels.
        published: Whether the smallest level is that of NCSN, 0.01 for data in [0, 1].
        seed: The seed of the random split into training and held-out data.
        device: The device that choices are for: auto, cpu, cuda, …
    """
    from ..destinations import check_writable
    from ..fitting import Options, plan, prepare
    from ..noise_levels import ncsnv2_smallest_level
    from ..overwriting import refuse_existing

    if output is not None:
        check_writable(output)
        refuse_existing(output, overwrite)
    x = reading.read(data)
    how, groups = form.with_labels(x)
    options = Options(how, seed=seed, device=device)
    with part(0, 1, "reading the form of the data"):
        prepared = prepare(x, options, groups=groups)
    with part(0, 1, "choosing noise levels"):
        planned = plan(prepared, options)
    title = f"{prepared.summary.count:,} examples of shape {prepared.schema.shape}; levels in standard deviations"
    found, affine = replace(planned.noise_levels, overlap=overlap, moves=moves), prepared.affine
    if published:
        rows = prepared.split.train
        examples = prepared.states(rows, list(range(min(4096, len(rows)))), "example")
        found = found.published(ncsnv2_smallest_level(examples))
    columns = ("what", "value", "why", "what changing it costs")
    table(title, columns, found.rows(None if affine is None or affine.std.numel() > 1 else float(affine.std)))
    table("What fit would choose", ("what", "value", "why"), planned.choices)
    if output is not None:
        from ..reporting.calibration import write_calibration

        print(write_calibration(output, found, prepared.split.train, prepared.units))


@app.command(
    sort_key=6,
    help_epilogue="""Examples:

  scorefield info run""",
)
def info(run: RunFolder, /) -> None:
    """Show the settings of a run, what was chosen and why, what each column holds, and how training went."""
    from ..data import describe_columns
    from ..runs import Run

    folder = Run(run)
    record = folder.read("run.json")
    request = record["asked"]
    asked = {n: v for n, v in request.items() if n not in ("source", "fingerprint") and not isinstance(v, dict)}
    for group in ("data", "network", "training"):
        if isinstance(request[group], dict):
            asked |= {n: v for n, v in request[group].items() if v is not None}
    shape = " x ".join(map(str, record["shape"]))
    source = request["source"]["path"] if request["source"] else "data in memory"
    table(f"{run}: {shape} of {source}", ("asked", ""), asked.items())
    table("Chosen", ("what", "value", "why"), [*record["choices"], *record["noise_levels"]])
    if "imported" in record:
        table("Imported", ("", ""), record["imported"].items())
    elif folder.ended:
        about = folder.read("fit.json")
        if columns := describe_columns(folder.model.schema):
            rows = [(name, f"left out: {why}" if kind == "left out" else why) for name, kind, why in columns]
            table("Columns", ("column", "what it holds"), rows)
        rows = [(n, about[n]) for n in ("steps", "stopped", "held_out_loss", "weights")]
        table("How it went", ("", ""), [("time", duration(about["seconds"])), *rows])
    else:
        last = folder.log[-1:] or [{"step": 0}]
        print(f"interrupted after step {number(last[0]['step'])}: run the same fit again to resume it")
    sys.stdout.flush()
