"""Units: integer nanoseconds in storage, milliseconds in formulas and on pages."""

NS_PER_MS = 1_000_000
NS_PER_US = 1_000
NS_PER_S = 1_000_000_000


def ns_to_ms(nanoseconds: float) -> float:
    """Return milliseconds."""
    return nanoseconds / NS_PER_MS


def ms_to_ns(milliseconds: float) -> int:
    """Return whole nanoseconds, rounded to the nearest."""
    return round(milliseconds * NS_PER_MS)
