"""Server-sent events as values."""

from hypothesis import given
from hypothesis import strategies as st

from service.client.events import Event, parse_events

EVENTS = st.lists(
    st.builds(
        Event,
        number=st.integers(min_value=1, max_value=10**6),
        kind=st.sampled_from(["state", "note", "progress"]),
        payload=st.dictionaries(st.text(max_size=8), st.integers(), max_size=3),
    ),
    max_size=5,
)


def _lines(events: list[Event]) -> list[str]:
    import json

    lines: list[str] = []
    for event in events:
        lines += [f"id: {event.number}", f"event: {event.kind}"]
        lines += [f"data: {json.dumps(event.payload)}", "", ": still here", ""]
    return lines


@given(EVENTS)
def test_what_is_written_is_read(events: list[Event]) -> None:
    assert list(parse_events(_lines(events))) == events


@given(EVENTS.filter(bool), st.data())
def test_a_stream_that_is_cut_off_gives_a_prefix(events: list[Event], data: st.DataObject) -> None:
    lines = _lines(events)
    cut = data.draw(st.integers(min_value=0, max_value=len(lines)))
    found = list(parse_events(lines[:cut]))
    assert found == events[: len(found)]
