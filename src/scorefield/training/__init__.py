"""Training."""

from .accelerated import Accelerated, compile_failure, plain
from .announcing import Announcer
from .average import PowerAverage, exponent
from .classifier import train_classifier
from .density import ConditionalDensity, DensityTraining, train_density
from .feed import Batches, Feed
from .flat import Flat
from .held_out import held_out_losses, losses_by_level, parts_of
from .loop import Progress, Trainer
from .matching import MatchingTrainer
from .mirrored import Mirrored, flipped
from .optimizer import Optimizer
from .successive import Resumable, Successive

__all__ = [
    "Accelerated",
    "Announcer",
    "Batches",
    "ConditionalDensity",
    "DensityTraining",
    "Feed",
    "Flat",
    "MatchingTrainer",
    "Mirrored",
    "Optimizer",
    "PowerAverage",
    "Progress",
    "Resumable",
    "Successive",
    "Trainer",
    "compile_failure",
    "exponent",
    "flipped",
]
__all__ += ["held_out_losses", "losses_by_level", "parts_of", "plain", "train_classifier", "train_density"]
