"""Published experiments as a whole: `presets.ncsnv2.cifar10`, `presets.ncsn.mnist`, …"""

from . import ncsn, ncsnv2
from .base import Experiment

__all__ = ["Experiment", "ncsn", "ncsnv2"]
