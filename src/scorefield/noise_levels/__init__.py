"""Noise levels, their number, and the steps of annealed Langevin dynamics, chosen from the data, each with its reason."""

from .choose import choose_noise_levels, ncsnv2_smallest_level
from .distances import Diameter, diameter
from .ladder import PUBLISHED_OVERLAP, Ladder, gap, overlap
from .langevin import Annealing, after, best_ratio, fixed_point, one_level
from .levels import NoiseLevels

__all__ = ["Annealing", "Diameter", "Ladder", "NoiseLevels", "PUBLISHED_OVERLAP", "after", "best_ratio"]
__all__ += ["choose_noise_levels", "diameter", "fixed_point", "gap", "ncsnv2_smallest_level", "one_level"]
__all__ += ["overlap"]
