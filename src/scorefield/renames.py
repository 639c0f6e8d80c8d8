"""Names of earlier versions that still work, as one table.

Imports of old modules and names (`_old_names`), model files that hold them, and the table in the glossary all follow from
it. To rename something public, add it here. Paths are written without the package: `samplers.Heun` is
`scorefield.samplers.Heun`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["ARGUMENTS", "GONE", "MODULES", "NAMES", "PACKAGE", "current", "outwards", "updated"]

PACKAGE = "scorefield"

# Old module -> the module that took its place. What is inside a package moves with it.
MODULES = {
    "calibrate": "noise_levels",
    "calibrate.calibration": "noise_levels.levels",
    "calibrate.find": "noise_levels.choose",
    "compare": "comparison",
    "data.check": "data.summary",
    "data.labelled": "data.dataarrays",
    "data.numbers": "data.dtypes",
    "denoise": "denoisers",
    "denoise.derivative": "derivatives",
    "denoise.labelled": "denoisers.pretrained",
    "denoise.published": "denoisers.ncsn",
    "denoise.uncertain": "denoisers.uncertainty",
    "diagnose": "diagnostics",
    "evaluate": "evaluation",
    "flow": "gaussian_frame",
    "grid": "schedules",
    "likelihood.ends": "likelihood.truncation",
    "likelihood.flow": "likelihood.probability_flow",
    "likelihood.twin": "likelihood.self_check",
    "likelihood.units": "likelihood.data_units",
    "likelihood.unusual": "likelihood.typicality",
    "metrics.chains": "mcmc.effective_size",
    "metrics.phases": "metrics.two_phase",
    "nn.recognizer": "nn.classifier",
    "nn.waves": "nn.fourier_features",
    "objective": "objectives",
    "objective.levelled": "objectives.per_level",
    "process": "processes",
    "recognize": "classifier_guidance",
    "report": "reporting",
    "run": "runs",
    "sample": "samplers",
    "sample.chain": "mcmc.chain",
    "sample.decoupled": "posterior.daps",
    "sample.importance": "mcmc.importance",
    "sample.inpaint": "posterior.repaint",
    "sample.optimum": "mcmc.simulated_annealing",
    "sample.particle": "posterior.twisted_smc",
    "sample.sequential": "mcmc.sequential",
    "sample.transition": "mcmc.transition",
    "sample.weighted": "mcmc.weighted",
    "standardize": "units",
    "train": "training",
    "train.ahead": "training.prepared",
    "train.gaussian": "training.density",
}

# Old name -> new name, where the name itself or its package changed; an old module inside a package finds it there too.
NAMES = {
    "calibrate.Calibration": "noise_levels.NoiseLevels",
    "calibrate.calibrate": "noise_levels.choose_noise_levels",
    "calibrate.hundredth": "noise_levels.ncsnv2_smallest_level",
    "calibrate.points.spread": "noise_levels.points.evenly_spaced",
    "compare.Row": "comparison.SamplerResult",
    "compare.Way": "samplers.Sampling",
    "context.Column": "context.ContextColumn",
    "context.leave_out": "context.drop_context",
    "context.regression": "context.linear_regression",
    "context.shuffled": "context.shuffle_sets",
    "data.numbers.seen": "data.dtypes.value_range",
    "denoise.ByIndex": "denoisers.IndexConditioning",
    "denoise.ByLevel": "denoisers.LevelConditioning",
    "denoise.ByTime": "denoisers.TimeConditioning",
    "denoise.Classified": "denoisers.ClassifierGuided",
    "denoise.Classifier": "denoisers.NoisyClassifier",
    "denoise.Composed": "denoisers.ComposedDenoiser",
    "denoise.Density": "denoisers.AnalyticDensity",
    "denoise.Energy": "denoisers.EnergyDenoiser",
    "denoise.Flow": "denoisers.FlowPrediction",
    "denoise.Given": "denoisers.Conditioned",
    "denoise.Karras": "denoisers.EDMPrediction",
    "denoise.Labelled": "denoisers.PretrainedDenoiser",
    "denoise.Labels": "denoisers.NoiseConditioning",
    "denoise.Mean": "denoisers.DataPrediction",
    "denoise.Noise": "denoisers.NoisePrediction",
    "denoise.Score": "denoisers.ScorePrediction",
    "denoise.Scored": "denoisers.NCSNDenoiser",
    "denoise.Uncertain": "denoisers.WithUncertainty",
    "denoise.Velocity": "denoisers.VPrediction",
    "diagnose.Check": "diagnostics.ScoreCheck",
    "diagnose.states.States": "diagnostics.states.NoisyStates",
    "diagnose.states.look": "diagnostics.states.noisy_states",
    "evaluate.Way": "evaluation.LossHistory",
    "evaluate.falling": "evaluation.still_falling",
    "flow.Frame": "gaussian_frame.GaussianFrame",
    "grid.Given": "schedules.ExplicitLevels",
    "grid.Grid": "schedules.Schedule",
    "grid.Uniform": "schedules.UniformTime",
    "interop.nle.Likelihood": "interop.nle.LearnedLikelihood",
    "interop.nle.LikelihoodPosterior": "interop.nle.NLEPosterior",
    "interop.npse.Posterior": "interop.npse.NPSEPosterior",
    "inverse.Check": "inverse.PosteriorCheck",
    "inverse.check": "inverse.check_posterior",
    "likelihood.Scaled": "likelihood.DataDensity",
    "likelihood.ends.beyond": "likelihood.truncation.residual_score",
    "likelihood.twin.twin": "likelihood.self_check.resembling_mixture",
    "measurement.Correlated": "measurement.CorrelatedNoise",
    "measurement.Normal": "measurement.WhiteNoise",
    "measurement.Poisson": "measurement.PoissonNoise",
    "measurement.noise.Gaussian": "measurement.noise.GaussianNoise",
    "metrics.Family": "metrics.TestFamily",
    "metrics.Gap": "metrics.GeneralizationGap",
    "metrics.assessed": "metrics.permutation_test",
    "metrics.autocorrelation": "mcmc.autocorrelation",
    "metrics.base.Samples": "metrics.base.Array",
    "metrics.classifier.Classifier": "metrics.classifier.TwoSampleClassifier",
    "metrics.columns.Column": "metrics.columns.TableColumn",
    "metrics.columns.piled": "metrics.columns.stacked_columns",
    "metrics.effective_sample_size": "mcmc.effective_sample_size",
    "metrics.features.seen": "metrics.features.features_of",
    "metrics.middle_of": "metrics.default_threshold",
    "nn.Fourier": "nn.FourierEmbedding",
    "nn.Recognizer": "nn.ClassifierNetwork",
    "nn.Waves": "nn.FourierFeatures",
    "nn.ncsnpp_parts.Waves": "nn.ncsnpp_parts.LevelEmbedding",
    "objective.Clock": "objectives.ProcessLevels",
    "objective.Even": "objectives.EDMWeighting",
    "objective.Fisher": "objectives.FisherWeighting",
    "objective.Levelled": "objectives.LevelObjective",
    "objective.Levels": "objectives.LevelDistribution",
    "objective.Likelihood": "objectives.LikelihoodWeighting",
    "objective.Simple": "objectives.NoiseWeighting",
    "objective.Single": "objectives.SingleLevel",
    "objective.Tailed": "objectives.WithLowTail",
    "posterior.Annealed": "posterior.AnnealedLikelihood",
    "posterior.Conditioned": "posterior.ExactPosterior",
    "posterior.Line": "posterior.LinearizedMeasurement",
    "posterior.Look": "posterior.PosteriorMoments",
    "posterior.Measured": "posterior.StandardizedMeasurement",
    "posterior.State": "posterior.NoisyState",
    "posterior.condition": "posterior.exact_posterior",
    "posterior.given": "posterior.posterior_of",
    "posterior.measured.Seen": "posterior.measured.MaskedObservation",
    "posterior.methods.Gaussian": "posterior.methods.GaussianApproximation",
    "posterior.methods.Shifted": "posterior.methods.LikelihoodShift",
    "recognize.led": "model.Model.guide",
    "report.grids.Look": "reporting.grids.GridStyle",
    "report.grids.look_of": "reporting.grids.grid_style",
    "sample.Adaptive": "samplers.AdaptiveSampler",
    "sample.Chain": "mcmc.Chain",
    "sample.DAPS": "posterior.DAPS",
    "sample.Estimate": "mcmc.Estimate",
    "sample.GaussianLangevin": "mcmc.GaussianLangevin",
    "sample.Hamiltonian": "mcmc.Hamiltonian",
    "sample.Kernel": "samplers.OneStepSampler",
    "sample.Langevin": "mcmc.Langevin",
    "sample.Law": "mcmc.Target",
    "sample.MetropolisLangevin": "mcmc.MetropolisLangevin",
    "sample.Optimum": "mcmc.AnnealingResult",
    "sample.Point": "mcmc.ChainState",
    "sample.Population": "mcmc.Population",
    "sample.RePaint": "posterior.RePaint",
    "sample.Transition": "mcmc.Transition",
    "sample.Twisted": "posterior.TwistedSMC",
    "sample.Unadjusted": "mcmc.Unadjusted",
    "sample.Weighted": "mcmc.WeightedSamples",
    "sample.annealed_importance": "mcmc.annealed_importance",
    "sample.arc": "samplers.spherical_interpolation",
    "sample.base.sample": "samplers.sample",
    "sample.base.trajectory": "samplers.trajectory",
    "sample.geometric": "mcmc.geometric",
    "sample.langevin": "mcmc.langevin",
    "sample.score_importance": "mcmc.score_importance",
    "sample.sequential_monte_carlo": "mcmc.sequential_monte_carlo",
    "sample.simulated_annealing": "mcmc.simulated_annealing",
    "sample.tempered": "mcmc.tempered",
    "sample.transition.Stepped": "mcmc.transition.ScaledTransition",
    "sample.twisted": "posterior.twisted_smc",
    "sample.walk": "samplers.trajectory_from",
    "train.ahead.ahead": "training.prepared.prepared_losses",
    "train.gaussian.train_gaussian": "training.density.train_density",
    "train.train_gaussian": "training.train_density",
}

# (class, old argument) -> new argument.
ARGUMENTS = {
    ("nn.MLP", "more"): "extra",
    ("nn.UNet", "beside"): "context_channels",
    ("nn.UNet", "more"): "extra",
    ("settings.Training", "matrix_rate"): "muon_learning_rate",
    ("settings.Training", "rate"): "learning_rate",
    ("settings.Training", "reference"): "reference_batch",
}

# Old module or name that has no successor of its own -> what serves instead.
GONE = {
    "conditioning": "conditions",
    "data.arrays": "data.read",
    "data.frames.column_dtypes": "data.Schema",
    "data.frames.column_names": "data.Schema",
    "data.frames.from_frame": "data.Schema",
    "data.given": "data.Schema",
    "data.images": "data.read",
    "data.labelled.coordinates": "data.Schema",
    "data.labelled.explain_dataset": "data.Schema",
    "data.labelled.to_labelled": "data.Schema",
    "data.reader": "data.FileRows",
    "data.tables": "data.read",
    "denoise.conditional.part_of": "denoisers.Denoiser",
    "denoise.part_of": "denoisers.Denoiser",
    "fitting.Fitting": "fitting.plan",
}


def current(path: str) -> str:
    """Today's path of a module or a name; the path itself if it is not an old one.

    Example:
        >>> current("denoise.precondition.Karras"), current("sample.ode.Heun"), current("samplers.Heun")
        ('denoisers.EDMPrediction', 'samplers.ode.Heun', 'samplers.Heun')
    """
    if path in MODULES:
        return MODULES[path]
    place, _, name = path.rpartition(".")
    for outer in outwards(place):
        if f"{outer}.{name}" in NAMES:
            return NAMES[f"{outer}.{name}"]
    for outer in outwards(place):
        if outer in MODULES:
            return MODULES[outer] + path.removeprefix(outer)
    return path


def outwards(path: str) -> list[str]:
    """The path, its package, the package of that, ..."""
    parts = path.split(".")
    return [".".join(parts[:i]) for i in range(len(parts), 0, -1)]


def updated(value: Any) -> Any:
    """A description (`spec.describe`) of an earlier version with today's names of classes and arguments."""
    if isinstance(value, Mapping):
        found = {key: updated(inner) for key, inner in value.items()}
        kind = found.get("class")
        if isinstance(kind, str) and kind.startswith(f"{PACKAGE}.") and isinstance(found.get("arguments"), dict):
            path = current(kind.removeprefix(f"{PACKAGE}."))
            place, _, name = path.rpartition(".")
            owners = [f"{outer}.{name}" for outer in outwards(place)]
            new = {old: new for (owner, old), new in ARGUMENTS.items() if owner in owners}
            arguments = {new.get(key, key): inner for key, inner in found["arguments"].items()}
            found |= {"class": f"{PACKAGE}.{path}", "arguments": arguments}
        return found
    return [updated(inner) for inner in value] if isinstance(value, list | tuple) else value
