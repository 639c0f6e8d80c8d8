"""A census of tables that people have: each is read, fitted for a short time and sampled, and the form of samples checked.

    python benchmarks/census.py FOLDER [FOLDER …] [--minutes 0.5] [--part 0/2]

FOLDERS hold files .csv and .csv.gz, such as those of the wheels of scikit-learn, statsmodels, vega_datasets,
bokeh_sampledata, palmerpenguins and causaldata (pip download --no-deps, unzip). A table passes if samples have the same
columns and types (numbers that are text next to marks of missing values become numbers), no category that the data lack,
nothing negative where the data are nowhere negative, shares of missing values and of the most common value of each column
within 3 standard errors of the data's (5 if there are more than five columns: one share in 370 lies beyond 3 by chance), and
if the written samples are read with the same columns.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import scorefield
from scorefield.data import Schema, write

COUNT = 500


def faults(frame: pd.DataFrame, drawn: pd.DataFrame, schema: Schema) -> list[str]:
    """What is wrong with the form of samples."""
    kept = [column.name for column in schema.table] or list(schema.columns or ())
    if list(drawn.columns) != kept:
        return [f"columns {list(drawn.columns)[:5]} for {kept[:5]}"]
    real = frame[kept]
    texts = {c.name for c in schema.table if c.kind == "number" and real[c.name].dtype.kind not in "biuf"}  # "12", "-"
    typed = [c for c in kept if c not in texts and drawn[c].dtype != real[c].dtype]
    found = [f"{c}: type {drawn[c].dtype}, not {real[c].dtype}" for c in typed]
    limit = 3 if len(kept) <= 5 else 5
    for name, column in zip(kept, schema.table):
        if column.size:
            x, y = real[name], drawn[name]
            new = set(map(str, y.dropna().unique())) - set(map(str, x.dropna().unique()))
            found += [f"{name}: unseen {sorted(new)[:3]}"] if new else []
        x, y = (pd.Series(column.encode(part)) for part in (real[name], drawn[name]))
        if column.kind == "number" and x.notna().any() and float(x.min()) >= 0:
            low = int((y < 0).sum())
            found += [f"{name}: {low} negative"] if low else []
        found += [f"{name}: {fault}" for fault in shares(x, y, limit)]
    return found


def shares(x: pd.Series, y: pd.Series, limit: float) -> list[str]:
    """Shares of missing values and of the most common value that differ."""
    parts = [("missing", x.isna().mean(), y.isna().mean())]
    present = x.dropna()
    if len(present) and present.duplicated().mean() > 0.3:
        top = present.mode().iloc[0]
        parts.append((f"share of {top:g}", np.mean(np.isclose(x, top)), np.mean(np.isclose(y, top))))
    out = []
    for what, a, b in parts:
        pooled = (a * len(x) + b * len(y)) / (len(x) + len(y))
        error = np.sqrt(max(pooled * (1 - pooled), 1e-9) * (1 / len(x) + 1 / len(y)))
        if abs(a - b) > limit * error:
            out.append(f"{what} {b:.3f}, not {a:.3f} ({abs(a - b) / error:.1f} standard errors)")
    return out


def tried(path: Path, minutes: float) -> tuple[str, str]:
    """What came of a file: "right", "wrong" or "refused", and why."""
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x: Any = scorefield.read(path)
            if not isinstance(x, pd.DataFrame):
                return "refused", f"not a table but {type(x).__name__}"
            model = scorefield.fit(x, minutes=minutes)
            drawn = model.sample(COUNT)
            found = faults(x, drawn, model.schema)
            with tempfile.TemporaryDirectory() as folder:
                again = Path(folder) / "samples.csv"
                write(again, [drawn], len(drawn), model.schema)
                schema = Schema.of(scorefield.read(again))
        names = [(str(c.name), c.kind) for c in model.schema.table]
        kinds = {str(c.name): c.kind for c in schema.table}
        other = [
            f"{n}: {kinds.get(n)} when read again, not {k}" for n, k in names if kinds.get(n) not in (k, "constant")
        ]
        found += [] if len(drawn) < 100 else other
        return ("wrong", "; ".join(found[:4])) if found else ("right", "")
    except Exception as error:
        kind = "refused" if isinstance(error, ValueError | TypeError) else "failed"
        return kind, f"{type(error).__name__}: {error}"[:300]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--part", default="0/1", help="i/n: every n-th file from the i-th")
    options = parser.parse_args()
    torch.set_num_threads(1)
    files = sorted(f for folder in options.folders for f in folder.rglob("*.csv*") if f.is_file())
    i, n = map(int, options.part.split("/"))
    counts: dict[str, int] = {}
    for path in files[i::n]:
        start = time.perf_counter()
        result, why = tried(path, options.minutes)
        counts[result] = counts.get(result, 0) + 1
        print(f"{result:8} {path.parent.name}/{path.name} ({time.perf_counter() - start:.0f} s) {why}", flush=True)
    print(
        ", ".join(f"{count} {result}" for result, count in sorted(counts.items())), f"of {sum(counts.values())} files"
    )


if __name__ == "__main__":
    main()
