"""What a fit leaves: the model, and what was measured of it on held-out data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..denoisers import Denoiser, DenoiserModule, Gaussian, MixedDenoiser
from ..display import Facts, displayed
from ..distributed import each
from ..known_readings import layouts
from ..metrics import loss_gap, means_of
from ..model import Model
from ..progress import mapped, parts
from ..samplers import Sampling, learn_steps
from ..schedules import DEFAULT_SCHEDULE
from ..training import Trainer, compile_failure, losses_by_level, parts_of, plain
from .blending import blended
from .planning import MANY, Plan
from .principal import trusted_level

__all__ = ["KEPT", "Fitted", "finish"]

KEPT = 4096  # held-out rows that losses are measured on, at most
_SHARES = {
    "choosing weights": 2,
    "mixing with the baseline": 1,
    "losses by noise level": 2,
    "signs of overfitting": 0.5,
    "learning the steps of the sampler": 1,
}  # about how long each takes
_LEVELS = 17  # at which losses are measured
_FEW = 10  # examples, below which a network learns them by repetition alone
# held-out rows of which a large gap is said untested, and how many times the training loss that is
_UNTESTED, _FAR = 10, 2.0
_ADVICE = "more data, a smaller network or a shorter budget help"


@displayed
@dataclass(frozen=True)
class Fitted:
    """A fitted model.

    Arguments:
        model: The model, with the best weights.
        record: What was measured, as plain data: `weights` (which ones these are), `held_out_loss`, `share_of_network` (that
            above low noise levels: below 1 where it is averaged with a simple distribution), `stopped` (why), `steps`,
            `seconds`, `by_level` (losses by noise level), `on_the_way` (and over training), `warning`; `not_compiled` (why),
            if a network was to be compiled and could not be; `few_steps` (how far samples are from converged ones), if the
            schedule of the sampler was learned; `trusted_level` (above which the network is not asked; None: it always is),
            if it corrects a mixture.
    """

    model: Model
    record: dict[str, Any]

    def _facts(self) -> Facts:
        facts = {"model": repr(self.model).partition("\n")[0], "weights": str(self.record["weights"])}
        facts |= {"held-out loss": f"{self.held_out_loss:.4f}", "steps": f"{self.record['steps']:,}"}
        facts |= {"stopped": str(self.record["stopped"])}
        return "Fitted", facts | ({"warning": self.warning} if self.warning else {})

    @property
    def warning(self) -> str:
        """A warning: too few data, or that the network has memorized them; "" if there is none."""
        return str(self.record["warning"])

    @property
    def held_out_loss(self) -> float:
        """The loss on held-out data."""
        return float(self.record["held_out_loss"])


@dataclass(frozen=True)
class _Losses:
    """Losses by noise level, each of shape `(N, L)`: on held-out and on training data, and of a denoiser that answers 0.

    And of the mixture that a network corrects, on held-out data.
    """

    levels: Tensor
    held_out: Tensor
    train: Tensor
    zero: Tensor
    corrected: Tensor | None = None

    def plain(self) -> dict[str, list[float]]:
        rows = {"level": self.levels, "loss": self.held_out.mean(0), "train_loss": self.train.mean(0)}
        return {name: values.tolist() for name, values in (rows | {"zero_loss": self.zero.mean(0)}).items()}


def finish(plan: Plan, trainer: Trainer) -> Fitted:
    """Ends training: the model with the best weights, and what was measured on held-out data.

    Arguments:
        plan: The plan.
        trainer: The training that it asked for, at its end.
    """
    step = parts(_SHARES)
    with step("choosing weights"):
        chosen, loss = trainer.finish()
    failure = compile_failure(trainer.denoiser)
    plain(trainer.denoiser)
    denoiser, share = plan.objective.unwrap(trainer.denoiser.cpu()), 1.0
    if plan.baseline is not None and plan.corrected is None:
        lowest = plan.noise_levels.sigma_min
        mixed = (plan.baseline, denoiser.conditioned_on(None), trainer.held_out.cpu(), plan.objective)
        with step("mixing with the baseline"):
            many = len(plan.prepared.split.train) > MANY
            near = (None, lowest, 1.0) if many else (plan.prepared.moments, lowest)
            mixture, found = blended(*mixed, plan.prepared.seed, *near)
        if mixture.levels or not many:
            denoiser, loss, share = mixture, found, mixture.share
    with step("losses by noise level"):
        losses = _measured(plan, trainer, denoiser)
    denoiser, measured = _trusting(plan, denoiser, losses)
    with step("signs of overfitting"):
        warning = _memorized(plan, trainer, chosen if share > 0.5 else "mostly the baseline", losses)
    record = {
        "weights": chosen,
        "held_out_loss": loss,
        "share_of_network": share,
        "stopped": trainer.stopped,
        "steps": trainer.step,
        "seconds": trainer.seconds,
        "by_level": losses.plain(),
        "on_the_way": {
            "level": parts_of(plan.objective.levels).tolist(),
            "step": [step for step, _ in trainer.parts],
            "loss": [parts for _, parts in trainer.parts],
        },
        "warning": warning,
    } | ({"not_compiled": failure} if failure else {})
    record |= measured
    prepared = plan.prepared
    context = None if prepared.context is None else prepared.context.context
    form = (prepared.schema, prepared.whole_units)
    where = () if prepared.layouts is None else (layouts(prepared.layouts),)
    made = Model(*form, denoiser, prepared.moments, plan.sampling, context, where).to("cpu").eval()
    with step("learning the steps of the sampler"):
        sampling, measured = _in_few_steps(plan, made)
    return Fitted(made if sampling is plan.sampling else made.replace(sampling=sampling), record | measured)


def _trusting(plan: Plan, denoiser: DenoiserModule, losses: _Losses) -> tuple[DenoiserModule, dict[str, Any]]:
    """The denoiser that leaves the largest levels to the mixture which it corrects, if it corrects one, and from where on.

    Not given a context, which the mixture does not know, and of which much may be decided where noise is strong.
    """
    if losses.corrected is None or plan.prepared.context is not None or not plan.prepared.split.separate:
        return denoiser, {}
    weights = plan.objective.measure.weight(losses.levels)
    known = (losses.levels, losses.held_out, losses.corrected, weights, plan.prepared.moments.mean.numel())
    level = trusted_level(*known)
    return denoiser if level is None else denoiser.trusting(level), {"trusted_level": level}


def _in_few_steps(plan: Plan, model: Model) -> tuple[Sampling, dict[str, Any]]:
    """How the model draws, with its schedule learned if that was asked for, and what was measured of it."""
    planned = plan.sampling
    if not planned.to_be_learned:
        return planned, {}
    found = learn_steps(model.diffusion, model.standardize.state_shape, planned, plan.prepared.seed)
    if found is None:
        return planned.replace(schedule=DEFAULT_SCHEDULE), {}
    return found.sampling, {"few_steps": {"distance": found.distance, "variance": found.variance}}


def _measured(plan: Plan, trainer: Trainer, denoiser: DenoiserModule) -> _Losses:
    """The losses by noise level of held-out data, and of as many training data."""
    prepared, objective = plan.prepared, plan.objective.measure
    low, high = plan.noise_levels.sigma_min, plan.noise_levels.sigma_max
    levels = torch.logspace(math.log10(low), math.log10(high), _LEVELS)
    count = max(64, min(512, 2**18 // prepared.moments.mean.numel()))
    held_out, device = trainer.held_out[:count], plan.device  # where the network was trained, it is measured
    rows = prepared.split.train.subset(range(min(count, len(prepared.split.train))))
    train = prepared.states(rows, prepared.chosen(rows, count, stream=-4), "train cell").to(device)
    of_held_out = trainer.context
    of_train = None if prepared.context is None else prepared.context.train.to(device)
    denoiser, zero = denoiser.to(device), _zero(plan, held_out).to(device)
    draws = max(1, min(8, 1024 // max(1, len(held_out)))) if held_out.ndim == 2 else 1

    def measured(which: tuple[DenoiserModule, Tensor, Tensor | None]) -> Tensor:
        d, x, c = which
        return torch.stack(
            [*mapped(lambda i: losses_by_level(d, x, objective, levels, i, c, each), range(draws))]
        ).mean(0)

    found = [(denoiser, held_out, of_held_out), (denoiser, train, of_train), (zero, held_out, None)]
    if plan.corrected is not None and plan.objective.denoising:
        found.append((plan.corrected.to(device), held_out, None))
    return _Losses(levels, *(losses.cpu() for losses in mapped(measured, found)))


class _Zero(nn.Module):
    """A network whose answer is 0."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return x.new_zeros(len(x), self.size)


def _zero(plan: Plan, like: Tensor) -> Denoiser:
    """The denoiser of a network whose answer is 0: that of independent standard normal numbers and categories."""
    variables = plan.prepared.units.variables
    if variables is None:
        return Gaussian(torch.zeros_like(like[0]), torch.ones_like(like[0]))
    prepared, network = plan.prepared, _Zero(variables.size)
    asked, frequencies = prepared.asked, prepared.frequencies
    return MixedDenoiser(network, variables, share=prepared.share, asked=asked, frequencies=frequencies)


def _memorized(plan: Plan, trainer: Trainer, chosen: str, losses: _Losses) -> str:
    """Says so if the data are too few, or the network has memorized them or was about to; "" if not."""
    count, train, held_out = plan.prepared.summary.count, losses.train, losses.held_out
    if count < _FEW:
        return f"Only {count} examples: too few to learn a distribution, or to test one; give {_FEW} or more."
    split = plan.prepared.split
    if split.groups is not None:  # rows of one group, copies of one row, say, are not independent
        places = plan.prepared.chosen(split.held_out, KEPT, stream=-3)[: len(held_out)]
        held_out = means_of(held_out, split.groups[split.places[1]][places])
        train = means_of(train, split.groups[split.places[0][: len(train)]])
    if split.separate and min(len(train), len(held_out)) > 1:
        gap = loss_gap(losses.levels, train, held_out)
        drift = "" if split.order is None else "; or the data drift: the held-out rows are the last ones"
        if gap.suspicious:
            return f"{gap.verdict.rstrip('.')} ({_ADVICE}{drift})."
        if len(held_out) < _UNTESTED and (ratio := float(held_out.mean() / train.mean())) > _FAR:
            untested = f"{len(held_out)} held-out rows are too few to test it"
            return (
                f"The held-out loss is {ratio:.2g} times the training loss, as of a network that overfits; {untested}."
            )
    if chosen == "best during training":
        step = min(trainer.history, key=lambda row: row[1])[0]
        where = f"from step {step:,} on the network memorized its data"
        return f"The held-out loss rose: {where}; the weights of that step are kept ({_ADVICE})."
    return ""
