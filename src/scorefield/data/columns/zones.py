"""The clocks of time zones: what they show at an instant, and when they are put forward or back."""

from __future__ import annotations

import numpy as np

__all__ = ["clock_line", "instants", "jumps", "offsets", "shown_times"]

_DAY = 86400
_EARLIEST, _LATEST = -2208988800, 4102444800  # 1900 and 2100, in seconds since 1970: until then changes are known
_MARGIN = 366 * _DAY  # around the data, where dates are drawn as well


def shown_times(times: np.ndarray, zone: str) -> np.ndarray:
    """What the clock of a zone shows at instants, both `(n,)` as numpy's times.

    Example:
        >>> shown_times(np.array(["2024-01-31T23:00"], "M8[s]"), "Europe/Berlin")
        array(['2024-02-01T00:00:00'], dtype='datetime64[s]')
    """
    import pandas

    found: np.ndarray = pandas.DatetimeIndex(times).tz_localize("UTC").tz_convert(zone).tz_localize(None).to_numpy()
    return found


def instants(times: np.ndarray, zone: str) -> np.ndarray:
    """When the clock of a zone shows times, in UTC, both `(n,)` as numpy's times.

    Of an hour that a clock shows twice it is the first one; what a clock leaves out is the end of that.

    Example:
        >>> instants(np.array(["2024-03-31T02:30"], "M8[s]"), "Europe/Berlin")
        array(['2024-03-31T01:00:00'], dtype='datetime64[s]')
    """
    import pandas

    first = np.ones(len(times), bool)
    found = pandas.DatetimeIndex(times).tz_localize(zone, ambiguous=first, nonexistent="shift_forward")
    utc: np.ndarray = found.tz_convert("UTC").tz_localize(None).to_numpy()
    return utc


def offsets(seconds: np.ndarray, zone: str) -> np.ndarray:
    """How many seconds a clock is ahead of UTC at times in seconds since 1970, `(n,)`; as in 1900 and 2100 beyond these.

    Example:
        >>> offsets(np.array([0, 15_000_000]), "America/New_York")
        array([-18000, -14400])
    """
    within = np.clip(np.asarray(seconds, np.int64), _EARLIEST, _LATEST).astype("M8[s]")
    found: np.ndarray = (shown_times(within, zone).astype("M8[s]") - within).astype(np.int64)
    return found


def clock_line(zone: str, ends: tuple[int, int], origin: int, period: int, second: int) -> np.ndarray | None:
    """Where a clock is put forward or back, as a line that increases: `(2, K)`, what is encoded and what is shown there.

    Encoded are periods since the origin. What is shown is in periods as well, and agrees with what is encoded at the last date.
    An hour that a clock shows twice lasts one hour there instead of two, and the one before an hour that it leaves out two
    instead of one: any instant has its place, and values in these hours alone are shown at another time.

    Arguments:
        zone: The name of the zone.
        ends: The first and the last date, in seconds since 1970.
        origin: The first date in units since 1970.
        period: The spacing of the dates, in units.
        second: How many units are a second.

    Returns:
        The line, which goes on with slope 1; None if the clock is never changed, or not by whole periods.

    Example:
        >>> day = 86400
        >>> clock_line("Europe/Berlin", (19700 * day, 19880 * day), 19700 * 24, 1, 1) is None
        False
    """
    at = _changes(zone, ends)
    found = jumps(zone, ends)
    whole = found * second % period == 0
    at, steps = at[whole], found[whole] * second // period
    if not len(at):
        return None
    shift = np.concatenate(([0], steps.cumsum()))
    shift = shift - shift[np.searchsorted(at, ends[1], "right")]
    border = -((origin - at * second) // period) - 0.5  # of the cell of the first value after a change
    size = np.abs(steps)
    known = np.stack((border - size, border + np.where(steps < 0, size, 0)), 1).reshape(-1)
    shown = known + np.stack((shift[:-1], shift[1:]), 1).reshape(-1)
    line = np.stack((known, shown))
    return line if (np.diff(line) > 0).all() else None


def jumps(zone: str, ends: tuple[int, int]) -> np.ndarray:
    """By how many seconds the clock is put forward between two times in seconds, and a year around them, `(n,)`.

    Example:
        >>> jumps("Europe/Berlin", (1_700_000_000, 1_700_000_000)).tolist()
        [3600, -3600, 3600, -3600]
    """
    at = _changes(zone, ends)
    found: np.ndarray = offsets(at, zone) - offsets(at - 1, zone)
    return found


def _changes(zone: str, ends: tuple[int, int]) -> np.ndarray:
    """The seconds from which on the clock is ahead of UTC by another time, `(n,)`, between two times and a year around them."""
    first, last = (int(np.clip(end + side, _EARLIEST, _LATEST)) for end, side in zip(ends, (-_MARGIN, _MARGIN)))
    days = np.arange(first, last + _DAY, _DAY)
    shown = offsets(days, zone)
    before_change = np.flatnonzero(np.diff(shown))
    low, high = days[before_change], days[before_change + 1]
    while len(low) and int((high - low).max()) > 1:
        middle = (low + high) // 2
        same = offsets(middle, zone) == shown[before_change]
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    found: np.ndarray = high
    return found
