"""The command line: `fit`, `sample`, `evaluate`, `report`, `compare`, `diagnose`, `calibrate`, `info`, `import`, `logprob`."""

from .entry import main as main

__all__ = ["main"]
