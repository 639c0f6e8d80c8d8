"""From prepared data to all that training and sampling need, each choice with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..calls import parse_call
from ..context import Context
from ..denoisers import Denoiser, EDMPrediction, Whitening
from ..denoisers.precondition import Parametrization
from ..nn import FourierFeatures, choose, choose_for_readings, choose_for_tables
from ..noise_levels import NoiseLevels, choose_noise_levels, diameter
from ..objectives import DenoisingScoreMatching, LevelDistribution, LevelObjective, LogNormal, WithLowTail
from ..processes import Process
from ..progress import part
from ..reading import one_line
from ..rng import permutation, torch_seeded
from ..samplers import Sampling, few_steps_sampling, flow_sampling, image_sampling, sde_sampling
from ..settings import Network, Training
from ..tensors import device_named
from .budget import check_reference, resolve_training, with_muon_every
from .directions import find_whitening
from .hardware import Hardware
from .mixture import fit_mixture
from .options import GIVEN, Choice, Options
from .prepared import Prepared, smallest_step
from .principal import fit_principal_mixture, quarter_removed

__all__ = ["Plan", "plan", "training_levels"]

MANY = 5000  # rows, above which a mixture of vectors is fitted to so many of them, and counts at low levels alone
_DISTANCES = 2e11  # multiplications that the largest distance between data is worth; beyond, it is known within bounds
_SMALLEST, _FEW_GRIDS = 256, 800  # numbers of a grid, and training grids, from which on a mixture is fitted
_NARROWEST = 0.05  # standard deviation of components for grids, in that of the data
_FEWEST, _FOR_EACH = 10, 2  # rows, and those for each column, from which on a mixture of Gaussians is fitted to vectors
_NARROW = 20  # columns, at most
_STREAM = -40  # of these rows


@dataclass(frozen=True)
class Plan:
    """A fit before its first step. `dataclasses.replace` changes a part.

    Arguments:
        prepared: The data.
        noise_levels: The smallest and the largest level, and where training is.
        process: The noise process to sample by.
        parametrization: What the network predicts.
        objective: The loss.
        network: The network with its first weights. One of the user's own is trained in place.
        training: How to train, with nothing left open.
        sampling: How samples are drawn by default.
        device: Where to train.
        choices: All of these in words, with the reasons.
        baseline: A simple distribution of the data, to be averaged with the network, or to be corrected by one for grids
            (`corrected`); None for the network alone.
        growth: How many times as wide as that of reference the network is (`fitting.sizing`).
        crossing: The level below which the state is corrected, and no longer the answer of the baseline.
        overlapping: Whether targets are also averaged over rows of the batches where these leave no others.
        whitening: The moments of vectors that vary little in some directions; None if they do not.
    """

    prepared: Prepared
    noise_levels: NoiseLevels
    process: Process
    parametrization: Parametrization
    objective: LevelObjective
    network: nn.Module
    training: Training
    sampling: Sampling
    device: torch.device
    choices: tuple[Choice, ...]
    baseline: Denoiser | None = None
    growth: float = 1.0
    crossing: float = 1.0
    overlapping: bool = True
    whitening: Whitening | None = None

    @property
    def corrected(self) -> Denoiser | None:
        """The baseline, if the network sees its answer and corrects it; None if there is none, or it is averaged with it."""
        return None if self.prepared.vectors else self.baseline

    def choice(self, name: str) -> Choice:
        """The choice of a name.

        Raises:
            KeyError: If nothing of this name was chosen.
        """
        for choice in self.choices:
            if choice.name == name:
                return choice
        raise KeyError(f"there is no choice {name!r} among {', '.join(c.name for c in self.choices)}")


def plan(prepared: Prepared, options: Options | None = None, hardware: Hardware | None = None) -> Plan:
    """Chooses whatever the user left open.

    Arguments:
        prepared: The data.
        options: What the user asks for.
        hardware: What the network and the batch are sized for; None: the device.

    Raises:
        ValueError: If an option does not fit the data or the others, or there is no such device.

    Example:
        >>> from .preparing import prepare
        >>> found = plan(prepare(torch.randn(200, 2, generator=torch.Generator().manual_seed(0))))
        >>> found.choice("batch").value, found.choice("sampling").value
        ('256', 'UniPC(steps=32)')
    """
    options = options or Options()
    device = torch.device(device_named(options.device))
    scale = _residual_scale(prepared)
    parametrization, of_parametrization = _parametrization(scale, options.parametrization)
    whitening, of_whitening = find_whitening(prepared, options, parametrization)
    with part(0, 0.6):
        levels = _noise_levels(prepared, options.noise_levels, whitening)
    wish = None if options.sampling is None else Sampling.of(options.sampling)
    process, of_process = _process(levels, options.process if wish is None or wish.process is None else wish.process)
    known = {"levels": training_levels(levels), "scale": scale, "process": process}
    objective, of_objective = _objective(known, options.objective)
    if options.growth is None:  # a run that goes on has begun with it
        check_reference(options.training.reference_batch, prepared, objective, device)
    asked = (options.training, prepared, objective, device, options.network, hardware)
    training, of_training, growth = resolve_training(*asked)
    growth = growth if options.growth is None else options.growth
    with part(0.6, 1):
        baseline, of_baseline = _baseline(prepared, options, levels)
    corrects = baseline is not None and not prepared.vectors
    network, of_network = _network(prepared, options.network, levels, growth, corrects)
    training, of_muon = with_muon_every(training, network, prepared)
    sampling, of_sampling = _sampling(prepared, process, wish, corrects)
    parts = (process, parametrization, objective, network, training, sampling, device)
    of_training = (*of_training, *of_muon)
    of_parts = (of_network, of_process, of_parametrization, *of_whitening, of_objective, *of_training, of_sampling)
    crossing = quarter_removed(baseline, prepared.examples, scale) if corrects and baseline is not None else 1.0
    others = (baseline, growth, crossing, options.overlapping, whitening)
    return Plan(prepared, levels, *parts, (*prepared.choices, *of_parts, *of_baseline), *others)


def _baseline(prepared: Prepared, options: Options, levels: NoiseLevels) -> tuple[Denoiser | None, tuple[Choice, ...]]:
    """A mixture of Gaussians for grids, and for few rows of few columns, unless a network or another task is asked for."""
    network, asked = options.network, (options.parametrization, options.objective, options.units)
    if not isinstance(network, Network) or not network.baseline or any(each is not None for each in asked):
        return None, ()
    if prepared.units.variables is not None:
        return None, ()
    return _averaged(prepared, options, levels) if prepared.vectors else _corrected(prepared)


def _corrected(prepared: Prepared) -> tuple[Denoiser | None, tuple[Choice, ...]]:
    """That of grids, which the network sees and corrects; small grids, and few, gain nothing from it."""
    if prepared.moments.mean.numel() < _SMALLEST or len(prepared.split.train) < _FEW_GRIDS:
        return None, ()
    found = fit_principal_mixture(prepared, _NARROWEST * prepared.scale)
    if found is None:
        return None, ()
    words = f"a mixture of {found.components} Gaussians" if found.components > 1 else "a Gaussian"
    where = (
        f"in the first {found.dimensions} principal components" if found.dimensions > 1 else "in the first component"
    )
    return found.mixture, (Choice("baseline", f"{words} {where}", "what the network sees, and learns to correct"),)


def _averaged(prepared: Prepared, options: Options, levels: NoiseLevels) -> tuple[Denoiser | None, tuple[Choice, ...]]:
    """That of vectors of few numbers, which is averaged with the network: at low levels alone, if there are many."""
    rows, columns = prepared.split.train, prepared.shape[0]
    if options.network != Network() or options.data.maps == "affine" or prepared.context is not None:
        return None, ()
    if len(rows) < max(_FEWEST, _FOR_EACH * columns) or columns > _NARROW or not prepared.split.separate:
        return None, ()
    places, many = np.arange(len(rows)), len(rows) > MANY
    if many:
        places = np.sort(permutation(len(rows), prepared.seed, _STREAM)[:MANY])
    x = prepared.states(rows, places.tolist(), "mixture cell")
    groups = prepared.split.groups
    if groups is not None:
        groups = groups[prepared.split.places[0]][places]
        if len(np.unique(groups)) < 2:
            return None, ()
    found = fit_mixture(x, prepared.seed, levels.sigma_min, groups)
    words = f"a mixture of {found.components} Gaussians" if found.components > 1 else "a Gaussian"
    best = f"of its kind the best in {found.folds}-fold cross-validation"
    decided = "held-out rows decide how much the network adds to it"
    use = "for low noise levels, if held-out rows ask for it" if many else decided
    return found.mixture, (Choice("baseline", words, f"{best}; {use}"),)


def training_levels(levels: NoiseLevels) -> LevelDistribution:
    """The distribution of the levels that training draws."""
    body = LogNormal(levels.level_mean, levels.level_std)
    return WithLowTail(body, levels.sigma_min, levels.tail) if levels.tail else body


def _residual_scale(prepared: Prepared) -> float:
    """The root mean square of what the network sees: of standardized data, less their regression on contexts."""
    if prepared.context is None or prepared.context.trend is None:
        return prepared.scale
    return float((prepared.residual.square().mean() + prepared.cell_width.square().mean() / 12).sqrt())


def _noise_levels(
    prepared: Prepared, given: NoiseLevels | str | None, whitening: Whitening | None = None
) -> NoiseLevels:
    """Noise levels that were given, or those of the data; a call may give some of them."""
    if isinstance(given, NoiseLevels):
        return given
    scale, units = prepared.scale, prepared.scaled_units
    if units.affine:
        with part(0, 0.8):
            reach = diameter(prepared.split.train, units, limit=_DISTANCES)
    else:  # states depend on places in cells, and have about the range of a normal distribution
        with part(0, 0.8):
            reach = diameter(prepared.examples, limit=_DISTANCES)
    cell = None if prepared.finest_cell is None else prepared.finest_cell / scale
    residual = prepared.residual if scale == 1 else prepared.residual / scale
    thin = None if whitening is None else float(whitening.deviations.min()) / scale
    with part(0.8, 1):
        found = choose_noise_levels(residual, smallest_step(prepared.summary, units), reach, cell=cell, thin=thin)
    of_context = prepared.context is not None and prepared.context.trend is not None
    if of_context or prepared.asked:
        found = found.narrower()
    found = found if scale == 1 else found.scaled(scale)
    return found if given is None else _with_given(found, given)


def _with_given(found: NoiseLevels, call: str) -> NoiseLevels:
    """The noise levels of a call; what it leaves out are those found."""
    names = ("sigma_min", "sigma_max", "level_mean", "level_std", "tail")
    known = {name: getattr(found, name) for name in (*names, "reach", "numbers", "overlap", "moves")}
    made: NoiseLevels = parse_call(call, NoiseLevels, defaults=known)
    same = [why if getattr(made, name) == known[name] else GIVEN for name, why in zip(names, found.reasons)]
    same += [GIVEN] if made.tail and not found.tail else []
    return NoiseLevels(**{**known, **{name: getattr(made, name) for name in known}, "reasons": tuple(same)})


def _process(levels: NoiseLevels, given: Process | str | None) -> tuple[Process, Choice]:
    """The process; that of a call is for the levels that are learned."""
    if given is None:
        reason = "between the smallest and the largest level; any other will do"
        return levels.process(), Choice("process", repr(levels.process()), reason)
    process: Process = parse_call(given, Process) if isinstance(given, str) else given
    process = process.matched(levels.sigma_min, levels.sigma_max) if isinstance(given, str) else process
    return process, Choice("process", repr(process), GIVEN)


def _parametrization(
    scale: float, given: Parametrization | type[Parametrization] | str | None
) -> tuple[Parametrization, Choice]:
    found: Parametrization
    if given is None:
        found = EDMPrediction(scale)
        return found, Choice("parametrization", repr(found), "the network's output has unit variance at every level")
    if isinstance(given, str):
        found = parse_call(given, Parametrization, defaults={"scale": scale})
    else:
        found = given(scale) if isinstance(given, type) else given
    return found, Choice("parametrization", repr(found), GIVEN)


def _objective(
    known: Mapping[str, Any], given: LevelObjective | Callable[[LevelDistribution], LevelObjective] | str | None
) -> tuple[LevelObjective, Choice]:
    """The loss; `known` are the arguments that it may leave out. A ValueError if samples cannot be drawn with it."""
    if given is None:
        loss = DenoisingScoreMatching(known["levels"], known["scale"])
        return loss, Choice("objective", type(loss).__name__, "scatters less than others, and costs the least")
    if isinstance(given, str):
        given = parse_call(given, LevelObjective, defaults=known)
    elif not isinstance(given, LevelObjective):
        given = given(known["levels"])
    if not isinstance(given, LevelObjective):
        advice = "derive it from objectives.LevelObjective"
        raise TypeError(f"objective must make a LevelObjective, got {given!r}: {advice}")
    given.check_samples()
    return given, Choice("objective", type(given).__name__, GIVEN)


def _sampling(prepared: Prepared, process: Process, given: Sampling | None, corrects: bool) -> tuple[Sampling, Choice]:
    """The probability flow for vectors, the reverse SDE for others (docs/samplers.md has what was measured)."""
    plain = prepared.units.variables is None and prepared.context is None
    if prepared.units.variables is not None and prepared.units.variables.levels:
        usual = sde_sampling(process, 64)
        reason = "the reverse SDE, for categories: it forgets errors of the network, and short steps keep their shares"
    elif prepared.vectors:
        usual = flow_sampling(process)
        reason = "the probability flow, for vectors; thin directions get as many steps as wide ones"
    elif corrects and prepared.context is None and smallest_step(prepared.summary, prepared.scaled_units) is not None:
        usual = image_sampling(process, prepared.scale)
        reason = "the reverse SDE, for grids; in few steps, for whole numbers: the baseline takes the first ones"
    else:
        usual = sde_sampling(process)
        reason = "the reverse SDE, for grids: it forgets errors of the network"
    if given is not None and given.to_be_learned:
        usual = few_steps_sampling(process)
        _check_learnable(given.merged(usual), plain)
    chosen = usual if given is None else given.merged(usual)
    return chosen, Choice("sampling", str(chosen.replace(process=None)), reason if given is None else GIVEN)


def _check_learnable(sampling: Sampling, plain: bool) -> None:
    """Raises unless a schedule can be learned for a sampling."""
    sampler = sampling.sampler
    if sampler is None or not sampler.deterministic or sampler.adaptive or not plain:
        what = (
            "a schedule is learned for a deterministic sampler with fixed steps, of data without context and categories"
        )
        raise ValueError(f"{what}, got {sampling.replace(process=None)}: take ipndm(steps=11, schedule=learned)")


def _network(
    prepared: Prepared, wish: nn.Module | Network, levels: NoiseLevels, growth: float, corrects: bool = False
) -> tuple[nn.Module, Choice]:
    """The network with its first weights, and the reason; a ValueError if that of the user does not fit the data."""
    context = None if prepared.context is None else prepared.context.context
    if isinstance(wish, nn.Module):
        _try(wish, prepared, context)
        return wish, Choice("network", _network_in_words(wish), GIVEN)
    size = 0 if context is None else context.size
    fields = context is not None and bool(context.shape)
    sizes = (0, size) if fields else (size, 0)  # as numbers, or as channels on the grid of the data
    cell = prepared.finest_cell
    step = cell / prepared.scale if levels.tail and cell is not None else None
    options = (wish.widths, wish.depth, wish.patch, wish.attention, wish.periodic)
    variables = prepared.units.variables
    network: nn.Module
    with torch_seeded(prepared.seed):  # first weights come from PyTorch's own generator, which is left as it was
        if prepared.layouts is not None and prepared.schema.readings is not None:
            form = prepared.schema.readings
            gap = None if form.times is None else _closest(prepared.layouts)
            network, reason = choose_for_readings(form.longest, form.channels, gap, wish.widths, wish.depth)
        elif variables is not None:
            if wish.patch is not None or wish.periodic:
                raise ValueError("patch and periodic apply to grids, and these data are a table: leave them out")
            form_of_table = (variables.numbers, variables.levels, len(prepared.split.train))
            network, reason = choose_for_tables(*form_of_table, wish.widths, wish.depth, wish.attention, size, growth)
        else:
            count = len(prepared.split.train)
            network, reason = choose(prepared.shape, count, *options, *sizes, step, growth, corrects)
    larger = (
        f"; {growth:.2g} times as wide as for a short budget on a CPU" if growth > 1 and wish.widths is None else ""
    )
    return network, Choice("network", _network_in_words(network), f"{reason}{larger}")


def _closest(layouts: Tensor) -> float:
    """The distance of neighbouring times of a row, its median over rows and neighbours, in halves of the range of times."""
    times = layouts.reshape(len(layouts), 3, -1)[:, 1]
    gaps = times.sort(1).values.diff(dim=1)
    gaps, there = gaps[gaps > 0], times[~times.isnan()]
    return float(gaps.median() / ((there.max() - there.min()) / 2)) if len(gaps) else 1.0


def _try(network: nn.Module, prepared: Prepared, context: Context | None) -> None:
    """Calls a given network once: an answer of another shape could broadcast, and be trained in silence."""
    p = next(network.parameters(), torch.empty(0))
    variables, shape = prepared.units.variables, prepared.shape
    inputs = shape if variables is None else (variables.size + 2 * variables.count,)  # two flags for each variable
    x = torch.zeros(2, *inputs, dtype=p.dtype, device=p.device)
    missing = () if context is None else (context.empty().expand(2, *context.row_shape).to(x),)
    form = f"F(x, c{', context' if missing else ''})"
    before = {module: module.training for module in network.modules()}
    try:
        with torch.enable_grad(), torch.random.fork_rng():
            answer = network.eval()(x.requires_grad_(), x.new_zeros(2), *missing)
    except Exception as error:
        shapes = ", ".join(str(tuple(each.shape)) for each in (x, x.new_zeros(2), *missing))
        raise ValueError(f"the network must take {form} of shapes {shapes}, and failed: {one_line(error)}") from error
    finally:
        for module, training in before.items():
            module.training = training
    wanted = (2, *shape)
    if not isinstance(answer, Tensor) or tuple(answer.shape) != wanted:
        got = f"shape {tuple(answer.shape)}" if isinstance(answer, Tensor) else f"a {type(answer).__name__}"
        same = (
            "the shape of x" if variables is None else f"shape {wanted}: the state without the flags given and absent"
        )
        need = f"x of shape {tuple(x.shape)} and c of shape (2,) with {same}"
        raise ValueError(f"the network must answer {need}, got {got}: its first and last layer must fit the data")
    if not answer.is_floating_point() or not answer.requires_grad:
        got = (
            "numbers that no gradient reaches: do not detach them" if answer.is_floating_point() else f"{answer.dtype}"
        )
        raise ValueError(f"the network must answer with real numbers that can be differentiated, got {got}")


def _network_in_words(network: nn.Module) -> str:
    count = sum(p.numel() for p in network.parameters())
    inner = network.network if isinstance(network, FourierFeatures) else network
    return f"{type(inner).__name__}, {count:,} parameters"
