"""Filters: a small tree of conditions on dimensions, read from untrusted JSON. Pure.

    ["is" | "is_not" | "contains" | "in", dimension, value or values]
    ["and" | "or", filter, filter, ...]        ["not", filter]

A condition becomes a set of labels by `matches`; how labels become ids, and ids SQL, is others' work.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from app.errors import InvalidInput
from app.metrics.catalogue import DIMENSION_SLUGS, TIME, Dimension, dimension
from app.metrics.nearest import nearest

DEEPEST = 8
MOST = 100  # conditions in one tree
VALUES = 1000  # labels in one condition
LONGEST = 500  # characters of a label

OPERATORS = ("is", "is_not", "contains", "in")
JOINERS = ("and", "or", "not")


@dataclass(frozen=True, slots=True)
class Condition:
    operator: str
    dimension: Dimension
    values: tuple[str, ...]

    def matches(self, label: str) -> bool:
        """Whether a label fulfils the condition (`is_not`: whether it must be left out).

        Case is not told apart, as everywhere with slugs.
        """
        folded = label.casefold()
        if self.operator == "contains":
            return any(value in folded for value in self.values)
        return folded in self.values


@dataclass(frozen=True, slots=True)
class Joined:
    operator: str  # and, or, not
    parts: tuple["Filter", ...]


Filter = Condition | Joined


def conditions(tree: Filter | None) -> Iterator[Condition]:
    """All conditions of a tree."""
    if isinstance(tree, Condition):
        yield tree
    elif tree is not None:
        for branch in tree.parts:
            yield from conditions(branch)


def parse(raw: object, *, field: str = "filters") -> Filter | None:
    """The tree that `raw` says; InvalidInput naming the place where it says nothing valid."""
    if raw is None or raw == []:
        return None
    tree = _parse(raw, field=field, depth=1)
    if sum(1 for _ in conditions(tree)) > MOST:
        raise InvalidInput("filter_too_large", f"at most {MOST} conditions", field=field)
    return tree


def _parse(raw: object, *, field: str, depth: int) -> Filter:
    if depth > DEEPEST:
        raise InvalidInput("filter_too_deep", f"at most {DEEPEST} levels", field=field)
    if not isinstance(raw, list) or not raw or not isinstance(raw[0], str):
        raise InvalidInput("filter_invalid", "is not [operator, ...]", field=field)
    operator, *rest = raw
    if operator in JOINERS:
        if not rest or len(rest) > MOST or (operator == "not" and len(rest) != 1):
            raise InvalidInput("filter_invalid", f"{operator} needs its filters", field=field)
        parts = tuple(
            _parse(part, field=f"{field}[{index}]", depth=depth + 1) for index, part in enumerate(rest, 1)
        )
        return Joined(operator, parts)
    if operator not in OPERATORS:
        raise InvalidInput(
            "filter_invalid", nearest("operator", operator, (*OPERATORS, *JOINERS)), field=field
        )
    return _condition(operator, rest, field=field)


def _condition(operator: str, rest: list[object], *, field: str) -> Condition:
    if len(rest) != 2:
        raise InvalidInput("filter_invalid", "is not [operator, dimension, values]", field=field)
    slug, raw = rest
    found = dimension(slug) if isinstance(slug, str) else None
    if found is None or found.slug in TIME:
        choices = [name for name in DIMENSION_SLUGS if name not in TIME]
        raise InvalidInput("dimension_unknown", nearest("dimension", slug, choices), field=f"{field}[1]")
    values = raw if isinstance(raw, list) else [raw]
    if not 0 < len(values) <= VALUES:
        raise InvalidInput("filter_invalid", f"needs 1 to {VALUES} values", field=f"{field}[2]")
    for value in values:
        if not isinstance(value, str) or len(value) > LONGEST:
            raise InvalidInput(
                "filter_invalid", f"values are strings of at most {LONGEST} characters", field=f"{field}[2]"
            )
    return Condition(operator, found, tuple(str(value).casefold() for value in values))


def written(tree: Filter | None) -> object:
    """The tree as JSON again, for the query's echo."""
    if tree is None:
        return None
    if isinstance(tree, Condition):
        return [tree.operator, tree.dimension.slug, list(tree.values)]
    return [tree.operator, *(written(part) for part in tree.parts)]
