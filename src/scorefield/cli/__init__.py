"""The command line: `fit`, `sample`, `evaluate`, `report`, `compare`, `diagnose`, `calibrate`, `info`, `import`, `logprob`."""

from .entry import main

__all__ = ["main"]
