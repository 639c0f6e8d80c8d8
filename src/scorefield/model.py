"""The model: what `fit` returns, what a file holds, what every command starts from."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from . import checkpoint
from .bars import shown
from .complete_rows import complete_rows
from .conditionable import ConditionableModel
from .conditions import (
    Condition,
    Stage,
    apply_conditions,
)
from .context import Context
from .data import Schema
from .denoisers import DenoiserModule, Gaussian
from .destinations import check_writable
from .diffusion import Diffusion
from .display import Facts, displayed, listed, rounded
from .likelihood import DataDensity, Density, LogProb
from .plotting import plot_rows
from .progress import part
from .rng import SampleBlock
from .samplers import Sampling, SamplingLike
from .settings import Training
from .units import Units

__all__ = ["Model", "load"]


@displayed
class Model(ConditionableModel):
    """A generative model of data, in the units and the form of the data.

    It is a value: conditioning it, guiding it or observing something gives another model, which shares its weights.

    Arguments:
        schema: The form of the data.
        standardize: Their units.
        denoiser: What was learned: the denoiser of standardized data, or the conditional denoiser.
        moments: The mean and the covariance of standardized data.
        sampling: How samples are drawn by default: the noise process (any will do), and the sampler, its steps and the
            schedule; 32 steps of `UniPC`, uniform in the logarithm of the level, where it does not say them.
        context: The encoding of contexts, if the denoiser is a conditional one.
        conditions: What the model is conditioned on (`scorefield.conditions`), in any order.

    Raises:
        ValueError: If `sampling` has no process, a conditional denoiser has no encoding of contexts, or a condition needs a
            denoiser and this is a consistency function.
    """

    def __init__(
        self,
        schema: Schema,
        standardize: Units,
        denoiser: DenoiserModule,
        moments: Gaussian,
        sampling: Sampling,
        context: Context | None = None,
        conditions: Sequence[Condition] = (),
    ) -> None:
        super().__init__(schema, standardize, moments, sampling)
        if denoiser.takes_context and context is None:
            raise ValueError("a conditional denoiser needs an encoding of contexts: Model(…, context=Context.of(…))")
        for condition in conditions:
            if condition.needs_mean:
                denoiser.check_mean(condition.summary)
        self.denoiser = denoiser
        self.context = context
        self._conditions = nn.ModuleList(conditions)
        self.about: Mapping[str, Any] = {}
        """What is known of its fit: `choices` with their reasons, losses, why training stopped; empty where nothing is. Of a
        run also its folder, and with which `trusted` and `network` its files are read."""

    def _facts(self) -> Facts:
        count, schema = sum(p.numel() for p in self.denoiser.parameters()), self.schema
        inner = dict(self.denoiser.named_modules())
        network = inner.get("network", inner.get("denoiser.network", self.denoiser))
        facts = {"data": f"{schema.kind}, {schema.dtype}, shape {schema.shape}"}
        facts |= {"columns": listed(schema.columns)} if schema.columns else {}
        if self.context is not None:
            free = "may be left out" if self.denoiser.unconditional else "needed"
            facts["context"] = f"{listed(self.context.names)} ({free})"
        facts |= {"conditions": "; ".join(each.summary for each in self.conditions)} if self.conditions else {}
        name = self.denoiser.distilled_from
        facts |= {} if name is None else {"distilled from": name or "another model"}
        facts |= {"network": f"{type(network).__name__}, {count:,} parameters", "process": rounded(repr(self.process))}
        return f"Model of {schema.structure}s", facts | {"sampling": str(self.sampling.replace(process=None))}

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What the model is conditioned on."""
        return tuple(self._conditions)  # type: ignore[arg-type]  # a list of modules

    @property
    def diffusion(self) -> Diffusion:
        """The diffusion of standardized data, conditioned: what samplers and likelihoods take.

        Raises:
            ValueError: If a context is still missing, or conditions do not go together.
        """
        return Diffusion(self.process, *apply_conditions(self._stage, self.conditions))

    @property
    def _stage(self) -> Stage:
        """What was learned, before any condition is applied."""
        names = () if self.context is None else self.context.names
        return Stage(self.denoiser, self.moments, self.schema.layout, self.standardize, names)

    def _completed(self, x: Tensor, block: SampleBlock, sampling: Sampling, denoise: bool = True) -> Tensor:
        if not self.schema.complete:
            return x
        return complete_rows(x, block, self._stage, self.conditions, sampling, denoise)

    @property
    def _precise(self) -> Diffusion:
        """The diffusion for densities and latents: never in bfloat16, and for vectors in float64."""
        self.denoiser.check_mean("a log-density or a latent")
        for condition in self.conditions:
            condition.check_density()
        kept = [each for each in self.conditions if not each.only_draws]
        diffusion = (self if len(kept) == len(self.conditions) else self.replace(conditions=kept)).diffusion
        denoiser = diffusion.denoiser.full_precision()
        if len(self.schema.inner_shape) == 1:
            denoiser = copy.deepcopy(denoiser).double()
        return dataclasses.replace(diffusion, denoiser=denoiser)

    def replace(self, **changes: Any) -> Model:
        """A copy with other parts, which shares the rest.

        Arguments:
            changes: Arguments of the constructor, by their names.

        Raises:
            TypeError: If there is no such argument.
        """
        names = ("schema", "standardize", "denoiser", "moments", "sampling", "context", "conditions")
        parts = {name: getattr(self, name) for name in names} | changes
        made = Model(**parts).train(self.training)
        made.about = self.about
        return made

    @property
    def choices(self) -> tuple[tuple[str, str, str], ...]:
        """What was chosen for its fit: names, values and reasons; empty for a model that comes from no fit."""
        return tuple((str(name), str(value), str(why)) for name, value, why in self.about.get("choices", ()))

    @property
    def history(self) -> tuple[tuple[int, float], ...]:
        """The held-out loss while it was trained: steps, and the mean loss after them; empty for a model of no fit."""
        found = self.about.get("on_the_way", {"step": (), "loss": ()})
        return tuple((int(step), sum(each) / len(each)) for step, each in zip(found["step"], found["loss"]))

    def report(self, x: Any = None, count: int | None = None, seed: int = 0) -> Path:
        """Evaluates the run that the model comes from and writes `report.html` into its folder: `scorefield.report`.

        Arguments:
            x: The data that were fitted; read again from where they came from by default.
            count, seed: How many samples to draw, and their seed.

        Returns:
            The path of the page.

        Raises:
            ValueError: If the model comes from no run, or is conditioned; if the data are not those of the run, or were
                given in memory and are not passed again.
        """
        if "run" not in self.about:
            instead = "for a model alone there is scorefield.evaluation.evaluate(model, train, held_out)"
            raise ValueError(
                f"a report is of a run, and this model comes from none: fit(x, run='folder') keeps one; {instead}"
            )
        self.schema.require_one_length("a report", "compare samples with held-out rows yourself")
        if self.conditions:
            raise ValueError("a report is of the model as it was fitted, and this one is conditioned: report that one")
        above = import_module(f"{__package__}.reporting.run")  # the one call that goes up: see docs/design.md
        return Path(above.report(above.Run.of(self), x, count, seed))

    def distill(
        self,
        run: str | os.PathLike[str] | None = None,
        *,
        steps: int = 2,
        minutes: float | None = None,
        training: Training | None = None,
        guidance: float | None = None,
        interval: tuple[float, float] | None = None,
        context: Any = None,
        matching: bool | None = None,
        seed: int = 0,
        device: str = "auto",
        progress: bool | None = None,
    ) -> Model:
        """A model that draws like this one in a few evaluations of a network: it learns where the probability flow leads.

        It needs no data. By default it takes a fourth of the steps that the fit took, a third to a half of its time. The
        model that it gives draws samples, from other noise than this one, and has no scores, densities, latents or posteriors:
        for these ask this one (docs/fast.md).

        Arguments:
            run: A folder to keep the run in; the same call resumes it there. The model must come from a run then.
            steps: How many evaluations a sample takes by default; others can be asked for when sampling.
            minutes: The budget in minutes, in place of that of `training`.
            training: How to train.
            guidance: The weight of guidance that is distilled in, for a conditional model; by default that of this model.
            interval: The noise levels at which it guides.
            context: The contexts to be learned, in the form that `fit` took them; by default those of the held-out rows of the
                run, or those that this model is conditioned on.
            matching: Whether samples are brought to the distribution of this model's once the flow map is roughly known: what
                a small network cannot resolve is then sharp, and not blurred. By default for images of 8 bits.
            seed: The seed of everything that is random.
            device: Where to train: "auto", "cpu", "cuda", …
            progress: Whether a bar is shown; by default in a terminal or a notebook, and elsewhere one line of what takes long.

        Raises:
            ValueError: If the model has categories, missing values or readings, is conditioned on a measurement or on
                columns, or was distilled itself; or if an option does not fit it, or the folder holds another run.

        Example:
            >>> import numpy as np, scorefield
            >>> model = scorefield.fit(np.random.default_rng(0).normal(5, 2, size=(2000, 1)), steps=1000)
            >>> fast = model.distill(steps=1, training=scorefield.Training(steps=500))
            >>> bool(abs(fast.sample(2000).std() - 2) < 0.2), str(fast.sampler), fast.steps
            (True, 'Consistency()', 1)
        """
        above = import_module(f"{__package__}.runs.distilling")  # goes up, as `report` does
        budget = {"minutes": minutes, "training": training, "guidance": guidance, "interval": interval}
        others = {"context": context, "matching": matching, "seed": seed, "device": device, "progress": progress}
        return above.distill(self, run, steps, **budget, **others)  # type: ignore[no-any-return]

    def plot(self, data: Any = None, count: int = 1000, seed: int = 0, axes: Any = None) -> Any:
        """Draws samples with matplotlib: histograms of columns, curves of signals, pictures of fields and images.

        Arguments:
            data: Data in the form that the model learned, to draw next to the samples.
            count: The number of samples; of signals and pictures the first few are drawn.
            seed: Their seed.
            axes: Axes of matplotlib to draw into; by default those of a new figure.

        Returns:
            The axes, in an array.

        Raises:
            ValueError: If there are fewer axes than are needed.

        Example:
            >>> import matplotlib, numpy as np, scorefield
            >>> matplotlib.use("agg")
            >>> x = np.random.default_rng(0).normal(size=(300, 2))
            >>> axes = scorefield.fit(x, steps=50).plot(x, count=100)
            >>> axes[0].get_xlabel(), axes[0].get_ylabel()
            ('column 0', 'column 1')
        """
        self.schema.require_one_length("plot", "plot model.sample(…) as you plot the data")
        count = count if len(self.schema.inner_shape) == 1 else min(count, 16)
        sides = (self.sample(count, seed), data)
        unpacked = [None if x is None else self.schema.unpack(x, torch.float64).numpy() for x in sides]
        return plot_rows(unpacked[0], unpacked[1], self.schema.columns, axes)  # type: ignore[arg-type]  # samples are there

    def with_sampling(self, sampling: SamplingLike) -> Model:
        """The model with another default of how samples are drawn; what `sampling` leaves out stays.

        Arguments:
            sampling: A `Sampling`, a sampler or a call, `"heun(steps=20)"`.

        Raises:
            ValueError: If a call cannot be read.

        Example:
            >>> import numpy as np, scorefield
            >>> model = scorefield.fit(np.random.default_rng(0).normal(size=500), training=scorefield.Training(steps=200))
            >>> model.with_sampling("heun(steps=20)").sampler
            Heun()
        """
        return self.replace(sampling=self._chosen(sampling))

    def log_prob(
        self,
        x: Any,
        probes: int | None = None,
        tolerance: float | None = None,
        seed: int = 0,
        batch: int | None = None,
        target_error: float | None = None,
        extrapolate: bool = False,
        shared: bool = False,
    ) -> LogProb:
        """The log-density of data, in nats and in the units of the data, with its errors.

        It is that of data plus noise of the smallest level, whose effect is estimated (`truncation`). Densities of dates are
        per step of their column (`Column.density_unit`): a day of whole days; those of times of day are per second.

        Of values with positive probability (atoms, such as exact zeros of rain), in tables and in channels of grids, it is the
        probability; of all other values it is the density. A field with zeros has the log of: the probability that exactly
        these values are 0, times the density of the others given that. Only fields with the same zeros have densities in the
        same unit. It is a mean over 8 places in the atoms' cells, which is part of `standard_error`.

        In a table with categories, atoms or missing values, that a value is missing is part of a row where the data miss it;
        where they never do, it is integrated out: the marginal log-density of the other values. So it is where a model was
        fitted with `missing="complete"`: the log-density of values, as far as whether one is missing depends on columns that
        never miss alone. A table of smooth numbers
        alone, or an array, may have no missing values.

        Arguments:
            x: Data in the form that the model learned.
            probes: How many Hutchinson probes estimate the divergence; by default it is exact up to 64 dimensions.
            tolerance, target_error, extrapolate: As for `scorefield.likelihood.log_prob`. In data with categories, atoms or
                missing values the tolerance is 1e-3 by default: the places in cells leave a larger error.
            seed: The seed of the probes.
            batch: How many rows are integrated at once.
            shared: Whether processes that `torchrun` has started share the rows, all of which then call it alike; the result
                is the same, in all of them.

        Returns:
            The values, their errors, and the numbers of evaluations, each of shape `(N,)`.

        Raises:
            ValueError: If `x` has another form, a value is missing that cannot be integrated out, a context is missing, or a
                method has no log-density (`DAPS`, `RePaint`).
        """
        with shown(), part(0, 1, "log-densities"):
            return self.density(seed, probes, tolerance, batch, target_error, extrapolate, shared).log_prob(x)

    def density(
        self,
        seed: int = 0,
        probes: int | None = None,
        tolerance: float | None = None,
        batch: int | None = None,
        target_error: float | None = None,
        extrapolate: bool = False,
        shared: bool = False,
    ) -> Density:
        """Bits per dimension, bounds, marginals, conditionals and p-values, with the arguments of `log_prob`.

        Raises:
            ValueError: As `log_prob`.
        """
        self._check(1, batch)
        how = (batch or self._batch(), seed, probes, tolerance, target_error, extrapolate, shared)
        observed = tuple(not column.missing for column in self.schema.table) if self.schema.complete else None
        return Density(self.schema, DataDensity(self._precise, self.standardize, *how, observed))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model: one `.safetensors` file, whole or not at all.

        Raises:
            ValueError: If a condition holds code of yours, which files do not, or there is a folder at `path`.
            FileNotFoundError: If there is no folder to write into.
        """
        for condition in self.conditions:
            condition.check_saved()
        check_writable(path)
        checkpoint.save(self, path)


def load(
    path: str | os.PathLike[str], trusted: tuple[str, ...] = ("scorefield",), network: nn.Module | None = None
) -> Model:
    """Reads a model that `Model.save` or `fit` wrote. No code of the file is run.

    Arguments:
        path: The file, or the folder of a run.
        trusted: The packages whose classes may be built.
        network: Your own network, if the model was fitted with one that cannot be built from its arguments.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is truncated, foreign, or not a model.
    """
    folder = path if os.path.isdir(path) else None
    model = checkpoint.load(path if folder is None else os.path.join(folder, "model.safetensors"), trusted, network)
    if not isinstance(model, Model):
        raise ValueError(f"{path} holds a {type(model).__name__}, not a model: read it with scorefield.checkpoint.load")
    if folder is not None:
        model.about = {"run": os.fspath(folder), "reading": (trusted, network)}
    return model
