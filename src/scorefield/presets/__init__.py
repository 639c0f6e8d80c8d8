"""Published experiments as a whole: `presets.ncsnv2.cifar10`, `presets.ncsn.mnist`, …"""

from . import ncsn as ncsn, ncsnv2 as ncsnv2
from .base import Experiment as Experiment

__all__ = ["Experiment", "ncsn", "ncsnv2"]
