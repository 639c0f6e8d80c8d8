"""Table 4 of NCSNv2 (Song & Ermon, 2020), recomputed next to the printed values.

    python benchmarks/table4.py

For each row: the number of levels by the overlap equation with C = 0.5, as stated in the paper, and with C = 0.5667, which all
printed ladders of NCSNv2 have; the step ε by the criterion of the paper, which considers one level; and, exactly over all
levels, the final variance of annealed Langevin dynamics (in units of σ_L²) for the printed step and for the best one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from scorefield import presets
from scorefield.noise_levels import PUBLISHED_OVERLAP, Annealing, Ladder, after, best_ratio, fixed_point, one_level
from scorefield.presets import Experiment


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Arguments:
        name: The networks and the data.
        experiment: The settings.
        step: ε.
    """

    name: str
    experiment: Experiment
    step: float

    @property
    def ladder(self) -> Ladder:
        return self.experiment.ladder

    @property
    def annealing(self) -> Annealing:
        return replace(self.experiment.annealing, ratio=self.step / self.ladder.last**2)

    def count(self, overlap: float) -> int:
        """The number of levels with this overlap."""
        return Ladder.overlapping(self.ladder.first, self.ladder.last, self.ladder.numbers, overlap).count

    @property
    def one_level(self) -> float:
        """The variance after one level."""
        return one_level(self.annealing.ratio, self.experiment.moves, self.ladder.gap)

    def best(self, criterion=fixed_point) -> tuple[float, float]:
        """The best ε by a criterion, and its variance."""
        ratio = best_ratio(self.experiment.moves, self.ladder.gap, criterion)
        return ratio * self.ladder.last**2, criterion(ratio, self.experiment.moves, self.ladder.gap)

    @property
    def end(self) -> float:
        """The variance after all levels, starting from a point."""
        return after(self.ladder.count, self.annealing.ratio, self.experiment.moves, self.ladder.gap, start=0.0)


def rows() -> list[Row]:
    """The rows as printed, and FFHQ with the step of the authors' configuration."""
    found = [Row(f"NCSN {e.data}", e, e.step) for e in _all(presets.ncsn, "cifar10", "celeba", "church", "bedroom")]
    new = _all(presets.ncsnv2, "cifar10", "celeba", "church", "bedroom", "tower", "ffhq")
    found += [Row(f"NCSNv2 {e.data}", e, e.printed_step or e.step) for e in new]
    return [*found, *(Row(f"NCSNv2 {e.data}, as configured", e, e.step) for e in new if e.printed_step)]


def _all(module, *names: str) -> list[Experiment]:
    return [getattr(module, name) for name in names]


def line(row: Row) -> tuple[str, ...]:
    paper, best = row.best(one_level), row.best()
    agrees = math.isclose(paper[0], row.step, rel_tol=0.03)
    end = row.annealing.variance
    return (
        row.name,
        str(row.ladder.numbers),
        f"{row.ladder.first:g}",
        str(row.ladder.count),
        f"{row.ladder.gap:.6f}",
        f"{row.ladder.overlap:.4f}",
        str(row.count(0.5)),
        str(row.count(PUBLISHED_OVERLAP)),
        str(row.experiment.moves),
        f"{row.step:.1e}",
        f"{paper[0]:.2e}" + ("" if agrees else " !"),
        f"{row.one_level:.5f}",
        f"{paper[1]:.5f}",
        f"{end:.4f}" if math.isfinite(end) else f"∞ ({row.end:.1e})",
        f"{best[0]:.3e}",
        f"{best[1]:.4f}",
    )


HEAD = (
    "",
    "D",
    "σ_1",
    "L",
    "γ",
    "C",
    "L(.5)",
    "L(.5667)",
    "T",
    "ε",
    "ε(one level)",
    "ρ_1(ε)",
    "best",
    "ρ*(ε)",
    "ε(ρ*)",
    "best",
)


def main() -> None:
    lines = [HEAD, *map(line, rows())]
    widths = [max(len(cells[i]) for cells in lines) for i in range(len(HEAD))]
    print("printed: σ_1, L, T, ε, with σ_L = 0.01 and steps x + ε s + √(2ε) z; everything else is computed.")
    print(
        "ρ_1: variance after one level; ρ*: after all levels (where it grows: after L levels, from a point); best: its least.\n"
    )
    for cells in lines:
        print("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths))))
    print("\n!  differs from the printed ε:")
    for experiment in _all(presets.ncsnv2, "church", "ffhq"):
        print(f"   {experiment.data}: {experiment.note}.")
    print("   NCSN: older than the criterion, and its levels do not overlap.")


if __name__ == "__main__":
    main()
