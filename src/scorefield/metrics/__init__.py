"""Distances between samples and data with their noise floors, exact two-sample tests, and the detection of copies."""

from .base import Distance
from .battery import battery, rejected
from .boosted import boosted_test, detectability
from .classifier import c2st, classifier_test
from .conditional import ConditionalColumn, column_conditionals
from .copies import EqualRows, NearCopies, equal_rows, row_keys
from .coverage import Calibration, calibration
from .curves import asymmetry, correlation, histogram, spectrum, variogram
from .declared import DISTANCES, metric
from .distances import energy_distance, sliced_wasserstein, wasserstein, with_floor
from .exchange import completion_tests, exchange_test
from .features import Principal, frechet_distance, frechet_with_floor, inception
from .fields import Curve, compare_curves, field_tests
from .gap import GeneralizationGap, loss_gap
from .groups import means_of, one_per_group
from .kernels import energy_test, kernel_distance, kernel_test, mmd, mmd_test
from .manifold import Manifold, manifold_distances, precision_recall
from .missing import MissingPatterns, missing_patterns, missing_test
from .moments import TestFamily, family, marginal_test, moment_test, sliced_test
from .neighbours import Neighbours, memorization, nearest
from .pool import Pool, permutation_test
from .power import Sizes, SmallestDefects, smallest_defects
from .privacy import Privacy, mixed_nearest, table_privacy
from .ranges import field_range_test
from .shapes import ColumnShape, Share, TableShapes, range_test, table_shapes
from .tables import (
    all_rows_test,
    association_test,
    column_test,
    cycle_test,
    joint_test,
    table_pool,
    table_tests,
    typed_pool,
)
from .trends import TableTrends, table_trends
from .two_phase import chord_lengths, default_threshold, lineal_path, minkowski
from .typed import PlainColumn, TypedColumn, table_features, value_text
from .utility import Utility, table_utility

__all__ = [
    "DISTANCES", "Calibration", "Curve", "Distance", "TestFamily", "GeneralizationGap", "Manifold", "Neighbours", "Pool",
    "Principal", "association_test", "battery", "c2st", "calibration", "chord_lengths", "classifier_test",
    "column_test", "cycle_test", "compare_curves", "correlation", "energy_distance", "energy_test", "family", "field_tests",
    "frechet_distance", "frechet_with_floor", "histogram", "inception", "joint_test", "kernel_distance",
    "kernel_test", "lineal_path", "loss_gap", "manifold_distances", "marginal_test", "memorization", "metric",
    "default_threshold", "minkowski", "mmd", "mmd_test", "moment_test", "nearest", "precision_recall",
    "rejected", "sliced_test", "sliced_wasserstein", "spectrum", "table_pool", "table_tests",
    "asymmetry",
    "permutation_test", "variogram", "wasserstein", "with_floor", "ColumnShape", "MissingPatterns", "PlainColumn", "Privacy",
    "Share", "TableShapes", "TableTrends", "TypedColumn", "Utility", "boosted_test", "detectability", "missing_patterns",
    "missing_test", "mixed_nearest", "range_test", "table_features", "table_privacy", "table_shapes", "table_trends",
    "table_utility", "typed_pool", "value_text",
    "EqualRows", "NearCopies", "SmallestDefects", "Sizes", "equal_rows", "row_keys",
    "smallest_defects", "all_rows_test", "means_of", "one_per_group", "field_range_test", "ConditionalColumn",
    "column_conditionals", "completion_tests", "exchange_test",
]  # fmt: skip
