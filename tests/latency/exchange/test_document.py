"""Documents come back as they were, or are refused with what is wrong and where."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.exchange.document import from_document, read_file, to_document, write_document
from latency.messages import ProfileWork
from latency.table import LatencyTable
from tests.latency.samples import library_operators, one_of_each, row, stock_forms, table

FORM = "edgewright-test"
WORK = ProfileWork(operators=(*one_of_each(), *library_operators(), *stock_forms()))
DOCUMENT = to_document(WORK, FORM)
COST = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(COST, min_size=1, max_size=len(one_of_each())))
def test_every_number_comes_back_bit_for_bit(costs: list[float]) -> None:
    found = table(*(row(spec, ns, abs(ns)) for spec, ns in zip(one_of_each(), costs, strict=False)))
    assert from_document(to_document(found, FORM), FORM, LatencyTable) == found


def test_operators_of_every_form_come_back() -> None:
    assert from_document(DOCUMENT, FORM, ProfileWork) == WORK


def test_the_checksum_is_of_the_content_and_not_of_its_layout() -> None:
    indented = json.dumps(json.loads(DOCUMENT), indent=2, sort_keys=True).encode()
    assert from_document(indented, FORM, ProfileWork) == WORK


@given(st.integers(0, len(DOCUMENT) - 3))
def test_a_truncated_document_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="not JSON"):
        from_document(DOCUMENT[:length], FORM, ProfileWork)


@given(st.integers(0, len(DOCUMENT) - 1), st.binary(min_size=1, max_size=3))
def test_damage_is_refused_or_harmless(at: int, damage: bytes) -> None:
    damaged = DOCUMENT[:at] + damage + DOCUMENT[at + len(damage) :]
    with suppress(ValueError):  # and nothing else
        assert from_document(damaged, FORM, ProfileWork) == WORK


def altered(**changes: Any) -> bytes:
    return json.dumps(json.loads(DOCUMENT) | changes).encode()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"", "truncated"),
        (b"[]", "not a document"),
        (b"[" * 100_000, "not"),
        (b"\xff\xfe", "not JSON"),
        (altered(format="edgewright-other"), "format 'edgewright-other'; expected"),
        (altered(version=2), "version 2 of edgewright-test; this program reads version 1"),
        (altered(content={}), "changed or damaged"),
        (altered(sha256="0"), "changed or damaged"),
        (altered(extra=1), "unknown field `extra`"),
        (to_document({"operators": [{"kind": "conv"}]}, FORM), r"\$\.operators\[0\]"),
        (
            to_document({"operators": [one_of_each()[0].to_dict() | {"kernel": 0}]}, FORM),
            r"kernel must be from 1.*\$\.operators\[0\]",
        ),
        (DOCUMENT.replace(b'"kernel":3', b'"kernel":NaN', 1), "line 1, near .*NaN"),
    ],
)
def test_refusals_say_what_and_where(document: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_document(document, FORM, ProfileWork)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_never_written(tmp_path: Path, value: float) -> None:
    bad = replace(table(row(one_of_each()[0], 1.0)), rows=(row(one_of_each()[0], value),))
    path = tmp_path / "table.json"
    with pytest.raises(ValueError, match=r"\$\.rows\[0\]\.median_ns"):
        write_document(path, bad, FORM)
    assert list(tmp_path.iterdir()) == []


def test_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "work.json"
    with pytest.raises(ValueError, match=r"work\.json: No such file"):
        read_file(path, lambda data: from_document(data, FORM, ProfileWork))
    path.write_bytes(DOCUMENT[:-40])
    with pytest.raises(ValueError, match=r"work\.json: not JSON"):
        read_file(path, lambda data: from_document(data, FORM, ProfileWork))
    with pytest.raises(ValueError, match="folder does not exist"):
        write_document(tmp_path / "none" / "work.json", WORK, FORM)
