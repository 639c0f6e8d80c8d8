"""Settings take their old names for a version, with a warning."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scorefield.presets import ncsn
from scorefield.settings import RENAMED, Data, Training, with_new_names

VALUES = {"rate": 2e-3, "matrix_rate": 0.5, "reference": 7}


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_name_sets_and_reads_the_new_field(old):
    new, value = RENAMED[old], VALUES[old]
    with pytest.warns(DeprecationWarning, match=f"^Training: {old} is now {new}: write {new}$") as caught:
        made = Training(**{old: value})
    assert made == Training(**{new: value}) and caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new}"):
        assert getattr(made, old) == value
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new}"):
        assert replace(Training(**{new: 9}), **{old: value}) == made


def test_new_names_do_not_warn_and_others_are_refused(recwarn):
    made = replace(Training(learning_rate=1e-3), steps=3)
    assert made.learning_rate == 1e-3 and not recwarn
    with pytest.raises(AttributeError, match="'Training' object has no attribute 'colour'"):
        _ = made.colour
    with pytest.raises(TypeError, match="colour"):
        Training(colour=1)
    assert with_new_names({"rate": 1, "steps": 2}) == {"learning_rate": 1, "steps": 2}


def test_experiments_have_a_learning_rate_too():
    with pytest.warns(DeprecationWarning, match="^Experiment: rate is now learning_rate"):
        assert replace(ncsn.mnist, rate=1e-2).learning_rate == 1e-2


def test_what_a_user_says_of_columns():
    made = Data(columns={"a": "date"}, categorical="zone", log=["x", "y"], bounds={"x": (0, None)}, missing="complete")
    assert (made.categorical, made.log, made.bounds) == (("zone",), ("x", "y"), {"x": (0.0, None)})
    assert replace(made, keep=("id",)).bounds == made.bounds


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": {"a": "colour"}}, "column 'a' can be number, category, date, leave out; got 'colour'"),
        ({"bounds": {"a": 3}}, r"the bounds of column 'a' are a pair of numbers or None, \(0, 1\) say, got 3"),
        ({"bounds": {"a": (1, 0)}}, "the bounds of column 'a' are 1 and 0: the first must be the smaller"),
        ({"missing": "never"}, 'missing must be "draw" or "complete", got \'never\''),
        ({"held_out": 1}, "held_out is a part of the data"),
    ],
)
def test_settings_of_data_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        Data(**settings)


def test_mirrored_axes_are_numbers():
    assert Data(mirror=1).mirror == (1,) and Data(mirror=[0, 2]).mirror == (0, 2) and Data().mirror == ()
