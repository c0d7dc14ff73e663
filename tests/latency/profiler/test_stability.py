from latency.profiler.stability import QuietRule


def test_the_fastest_reference_is_the_measure() -> None:
    rule = QuietRule(tolerance=1.1)
    assert rule.fastest_ns is None
    assert rule.is_quiet([500])  # nothing is known yet
    rule.observe([100, 102, 300])
    rule.observe([200, 200, 200])
    assert rule.fastest_ns == 102
    assert rule.is_quiet([110, 112, 900])
    assert not rule.is_quiet([113, 113, 100])


def test_nothing_observed_is_nothing_learnt() -> None:
    rule = QuietRule()
    rule.observe([])
    assert rule.fastest_ns is None
    assert rule.is_quiet([])


def test_the_quietest_are_kept_in_order_of_time() -> None:
    assert QuietRule().quietest([[9], [3], [5], [4]], 3) == [1, 2, 3]
    assert QuietRule().quietest([[9]], 3) == [0]
