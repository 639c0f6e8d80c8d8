"""`scorefield posterior`: samples of the posterior given a measurement."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .inputs import described
from .launching import first, shares_work
from .options import Conditions, Drawing
from .terminal import say, table
from .verbs import Config, Device, Overwrite, app, device_of, flat, model_of

if TYPE_CHECKING:
    from ..measurement import Measurement
    from ..model import Model
    from ..samplers import Sampling

__all__ = ["posterior"]

_SAMPLERS = ("daps", "repaint", "twistedparticles")  # methods that are samplers of posteriors


@app.command(
    sort_key=1.5,
    help_epilogue="""Examples:

  scorefield posterior run y.npy --operator mask --noise 0.1 -n 100 -o x.npy
  scorefield posterior run y.npy --operator "blur(width=2)" --noise 5 --check
  scorefield posterior run y.npy --operator "blur | grey" --noise 5 -n 9 -o x/
  scorefield posterior run y.npy --operator "linear('A.npy')" --noise cov.npy \\
    -n 1000 -o x.csv
  scorefield posterior run y.npy --operator "radon(angles=12)" \\
    --noise "poisson(gain=2)" -n 16 -o x.npy
  scorefield posterior run y.npy --operator "linear('A.npy')" --noise 0.1 \\
    -n 1000 -o x.npy --particles 4000

"""
    "Operators are those of scorefield.measurement (mask, blur, downsample, grey, radon, fourier, linear), one after "
    "another with | between them; methods those of scorefield.posterior (momentmatching, pigdm, tmpd, dps, annealed), "
    "and twistedparticles, daps and repaint. Arrays are given as files: 'A.npy'. An unknown name lists them all.",
)
@shares_work
def posterior(
    run: Path,
    y: Path,
    /,
    *,
    operator: str,
    noise: str,
    count: Annotated[int | None, Parameter(alias="-n")] = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    method: str | None = None,
    drawing: Annotated[Drawing, flat("Sampling")] = Drawing(),  # noqa: B008
    particles: int | None = None,
    islands: int = 4,
    check: bool = False,
    simulations: int = 200,
    seed: int = 0,
    batch: int | None = None,
    conditions: Annotated[Conditions, flat("Context")] = Conditions(),  # noqa: B008
    device: Device = "auto",
    overwrite: Overwrite = False,
    config: Config = None,
) -> None:
    """Draw samples of the posterior given a measurement, y = A(x) + noise, in the form of the training data.

    Arguments:
        run: The folder of a run, or a model.safetensors.
        y: The measured values, a .npy in the units of the data. For --operator mask a whole example, NaN where unknown.
        operator: A, as name or name(key=value, …); "first | then" for one after another. Of colour images, whose
            last axis are the colours, "blur(width=2, axes=(0, 1))".
        noise: The standard deviation of the noise, a number or a .npy; or a .npy of its covariance; or "poisson(gain=1)".
        count: How many samples to draw.
        output: A file .npy .npz .csv .parquet .xlsx .h5 .nc .zarr, or a folder/ for images as .png.
        method: How the posterior is sampled; by default by particles for vectors of up to 16 numbers, else by moment matching.
        particles: Reweight this many particles per island, correcting the method's bias, and print log p(y).
        islands: How many independent islands, two or more for a standard error.
        check: Simulate measurements of Gaussian data and of the model itself, draw again, and say whether to trust the method.
        simulations: How many measurements of each the check simulates.
        seed: The random seed.
        batch: How many samples are drawn at once; memory grows with it.
    """

    from ..data import check as check_output
    from ..overwriting import refuse_existing
    from ..runs import drawn

    if (count is None) != (output is None) or (count is None and not check):
        raise ValueError(
            "give the number of draws and an output file: -n 100 -o draws.npy; with --check both may be left out"
        )
    if particles is not None and (drawing.sampler is not None or check):
        raise ValueError("--particles are a sampler of their own: leave --sampler and --check out")
    sampling = drawing.sampling()
    model = model_of(run)
    if output is not None:
        check_output(output, model.schema)
        refuse_existing(output, overwrite)
    model = conditions.applied(model.to(device_of(device)))
    given = model.observe(_measurement(y, operator, noise, model), _method(method))
    if check and first():
        _check(given, simulations, seed, sampling)
    if count is None or output is None:
        return
    if particles is None:
        texts = {"drawing": drawing, "conditions": conditions, "operator": operator, "noise": noise, "method": method}
        asked = described(run=run, y=y, **texts, device=model.device.type)
        with drawn(given, count, output, asked, seed, sampling, batch) as batches:
            if first():
                _written(given, batches, count, output, sampling)
    elif first():
        _weighed(given, count, output, seed, particles, islands, sampling)
    print(output)


def _numbers(path: str | Path) -> Any:
    """The array in a .npy."""
    import numpy as np

    from ..data import read

    if Path(path).suffix.lower() != ".npy":
        raise ValueError(f"arrays are read from .npy files, got {path}: write it with numpy.save")
    found = read(path)
    if found.dtype.kind not in "fiub":
        raise ValueError(
            f"{path} holds {found.dtype}, and numbers are needed: write it with numpy.save(x.astype(float))"
        )
    return np.asarray(found)


def _measurement(y: Path, operator: str, noise: str, model: Model) -> Measurement:
    import numpy as np

    from ..calls import parse_call
    from ..measurement import Measurement, Noise

    acting, observed = _acting(operator, _numbers(y).astype(np.float64), tuple(model.schema.shape))
    try:
        size: Any = float(noise)
    except ValueError:
        size = _numbers(noise) if noise.lower().endswith(".npy") else parse_call(noise, Noise, _numbers)
    return Measurement(acting, observed, size)


def _acting(text: str, y: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """The operator of calls with | between them, and the numbers that it observes; a mask shows what is not NaN in y."""
    import numpy as np

    from ..calls import parse_call, split_call
    from ..measurement import Compose, Mask, Operator

    *before, last = split_call(text, "operator")
    acting = [parse_call(part, Operator, _numbers) for part in before]
    if last.lower() not in ("mask", "mask()"):
        acting.append(parse_call(last, Operator, _numbers))
    else:
        if not before and y.shape != shape:
            need = f"an example of shape {shape} with NaN where nothing is known"
            raise ValueError(f"mask needs {need}, got {y.shape}; or write mask('keep.npy')")
        keep = ~np.isnan(y)
        y = y[keep]
        acting.append(Mask(keep))
    return (acting[0] if len(acting) == 1 else Compose(tuple(acting))), y


def _method(text: str | None) -> Any:
    from ..calls import parse_call
    from ..posterior import Method
    from ..samplers import Sampler

    if text is None:
        return None
    return parse_call(text, Sampler if text.strip().lower().split("(")[0] in _SAMPLERS else Method)


def _check(model: Model, simulations: int, seed: int, sampling: Sampling) -> None:
    from ..inverse import check_posterior

    found = check_posterior(model, simulations, seed=seed, sampling=sampling)
    ranks = found.calibration
    rows: list[tuple[Any, ...]] = [("ranks of coordinates among draws, p", ranks.p_value, "above 0.005")]
    rows += [("coverage about an estimate, p", ranks.coverage_p_value, "above 0.005")]
    rows += [("ranks of measured quantities, misfit, directions, p", found.ranks.p_value, "above 0.01")]
    if found.own is not None:
        rows += [(f"the same for {found.own.simulations} samples of the model, p", found.own.p_value, "above 0.01")]
    if found.width is not None:
        rows += [
            ("variance over the exact one, worst direction", found.width, "0.9 to 1.1"),
            ("distance of the mean, in exact deviations", found.shift, "below 0.1"),
            ("how often y is as far out, p", found.surprise, "above 0.01"),
        ]
    table(f"{simulations} simulated measurements, {found.seconds:.0f} s", ("", "", "trusted if"), rows)
    for sentence in found.verdict:
        print(sentence)


def _weighed(
    model: Model, count: int, output: Path, seed: int, particles: int, islands: int, sampling: Sampling
) -> None:
    from ..data import check, write
    from ..inverse import evidence
    from ..rng import Samples

    check(output, model.schema)
    found = evidence(model, seed, particles, islands, sampling=sampling)
    weighted, known = found.weighted, found.log_evidence
    rows = [
        ("log p(y), nats", float(known.value)),
        ("its standard error", float(known.standard_error)),
        ("effective number of particles", weighted.effective_sample_size),
        ("the smallest during sampling, of an island", float(found.effective.min())),
    ]
    table(f"{islands} islands of {particles:,} particles", ("", ""), rows)
    table("log p(y) of each island", ("island", "nats"), list(enumerate(found.islands.tolist(), 1)))
    drawn = weighted.resample(count, Samples(seed, 0, count, "draws"))
    write(output, [model.schema.pack(drawn)], count, model.schema)


def _written(model: Model, batches: Any, count: int, output: Path, sampling: Sampling) -> None:
    from ..data import check, write
    from ..inverse import approximation_error, misfit

    check(output, model.schema)
    observed: list[float] = []
    first: list[Any] = []

    def packed() -> Any:
        for part in batches:
            whole = model.schema.pack(part)
            first[:] = first or [whole]
            observed.extend(misfit(model, whole).tolist())
            yield whole

    write(output, packed(), count, model.schema)
    mean = sum(observed) / len(observed)
    say(f"mean squared misfit: {mean:.3g} x the noise variance (1 is expected)")
    bias = approximation_error(model, first[0], sampling=sampling)
    if bias.found:
        say(bias.verdict)
