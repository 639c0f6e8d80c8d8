"""How much the page may ask for: it is for the eye, and shares the machine with other work."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """What one request of the page may take. The command line has no such limits.

    Arguments:
        samples: Samples of a request.
        numbers: Numbers in these samples together.
        steps: Steps of a sampler.
        evaluations: Evaluations of the network for a sample, by a sampler that makes several in a step.
        frames: Pictures of a trajectory or of an interpolation.
        frame_numbers: Numbers in these pictures together.
        rows: Rows of a file whose log-densities are computed.
        upload: Bytes of a file.
        held: Bytes of the data that a file may unpack to.
        body: Bytes of any other request.
        text: Characters of a text.
        seconds: How long a computation may take.
    """

    samples: int = 1000
    numbers: int = 1_000_000
    steps: int = 1000
    evaluations: int = 10_000
    frames: int = 41
    frame_numbers: int = 4_000_000
    rows: int = 1000
    upload: int = 64 << 20
    held: int = 512 << 20
    body: int = 8 << 20
    text: int = 300
    seconds: float = 600.0

    def check_count(self, count: int, size: int) -> None:
        """Raises if so many samples of so many numbers are more than the page shows.

        Raises:
            ValueError: With how many there may be.
        """
        most = max(1, min(self.samples, self.numbers // max(1, size)))
        if size > self.numbers:
            raise ValueError(
                f"a sample has {size:,} numbers, and this page shows {self.numbers:,}: use scorefield sample"
            )
        if not 1 <= count <= most:
            raise ValueError(
                f"this page draws 1 to {most:,} samples like these, got {count:,}: scorefield sample draws more"
            )

    def check_steps(self, steps: int) -> None:
        """Raises if there are more steps than the page takes.

        Raises:
            ValueError: With how many there may be.
        """
        if steps > self.steps:
            raise ValueError(f"this page takes up to {self.steps:,} steps, got {steps:,}: scorefield sample takes more")

    def check_evaluations(self, evaluations: int | None) -> None:
        """Raises if a sample takes more evaluations of the network than the page makes; None where they are not fixed.

        Raises:
            ValueError: With how many there may be.
        """
        if evaluations is not None and evaluations > self.evaluations:
            what = f"this page makes up to {self.evaluations:,} evaluations for a sample, got {evaluations:,}"
            raise ValueError(f"{what}: scorefield sample makes more")

    def frame_count(self, size: int) -> int:
        """How many pictures of so many numbers a trajectory shows."""
        return max(2, min(self.frames, self.frame_numbers // max(1, size)))
