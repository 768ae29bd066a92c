"""Which refused records name a person."""

import json

import pytest

from app.model import node
from app.persons.rules import named, names_person

ANNA = named(1, frozenset({node(1, "visitor", "v1"), node(1, "user", "u\u00f8")}), frozenset({"o1"}))


def cut(**told: object) -> str:
    """A body as it is kept of a record that was too long."""
    return json.dumps(told | {"url": "https://shop.example/" + 3_000 * "x"})[:2_048]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"visitor-id": "v1"}),
        json.dumps([{"user-id": "u\u00f8"}]),
        cut(visitor_id="v1"),
        cut(events=[{"user_id": "u\u00f8"}]),
        cut(order_id="o1"),
    ],
)
def test_a_record_names_a_person_by_hyphenated_names_and_where_it_is_cut_short(body: str) -> None:
    assert names_person(body, "refused", ANNA)


@pytest.mark.parametrize("body", [cut(visitor_id="v2"), cut(title="v1"), json.dumps({"title-id": "v1"})])
def test_a_short_id_that_stands_elsewhere_names_nobody(body: str) -> None:
    assert not names_person(body, "refused", ANNA)
