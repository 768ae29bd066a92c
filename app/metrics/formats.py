"""A report as bytes: records, arrays or CSV.

Money and counts are exact integers of 10^-6 until here. Below 10^15 of them (15 digits) the nearest
double's shortest text is exactly their decimal, so they are written as doubles, fast; larger ones are
written from the integer itself.
"""

import csv
import io
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from app.metrics.catalogue import Metric
from app.metrics.columns import Column
from app.metrics.run import Answer
from app.money import MICROS
from app.pricing.exact import peak

SAFE = 10**15
INJECTING = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet would run as a formula

_encode = msgspec.json.Encoder(decimal_format="number").encode


def exact_text(micros: int) -> str:
    """The decimal of micro-units, without an exponent and without needless zeros."""
    whole, rest = divmod(abs(micros), MICROS)
    sign = "-" if micros < 0 else ""
    return f"{sign}{whole}" + (f".{rest:06d}".rstrip("0") if rest else "")


def numbers(metric: Metric, column: Column, *, as_text: bool) -> list[Any]:
    """A column's JSON values: None where not known; a column of whole counts is integers."""
    known = column.known
    if metric.unit == "ratio":
        listed = np.where(known, column.values, 0.0).tolist()
        found: list[Any] = [repr(value) for value in listed] if as_text else listed
    else:
        values = np.where(known, column.values, 0)
        if as_text:
            found = [exact_text(value) for value in values.tolist()]
        elif metric.unit == "count" and not (values % MICROS).any():
            found = (values // MICROS).tolist()
        elif peak(values) < SAFE:
            found = (values / MICROS).astype(np.float64).tolist()
        else:
            found = [msgspec.Raw(exact_text(value).encode()) for value in values.tolist()]
    if not known.all():
        for place in np.flatnonzero(~known).tolist():
            found[place] = None
    return found


def _all_numbers(answer: Answer, columns: Sequence[Column], *, as_text: bool) -> list[list[Any]]:
    return [
        numbers(metric, column, as_text=as_text)
        for metric, column in zip(answer.metrics, columns, strict=True)
    ]


def _names(answer: Answer) -> list[str]:
    return [*(d.slug for d in answer.query.dimensions), *(metric.slug for metric in answer.metrics)]


def _tail(answer: Answer) -> dict[str, object]:
    as_text = answer.query.numbers == "string"
    totals = _all_numbers(answer, answer.totals, as_text=as_text)
    slugs = [metric.slug for metric in answer.metrics]
    return {
        "totals": {slug: values[0] for slug, values in zip(slugs, totals, strict=True)},
        "meta": answer.meta,
        "query": answer.query.written(),
    }


@lru_cache(maxsize=256)
def _record(names: tuple[str, ...]) -> type[msgspec.Struct]:
    """A struct for rows of these names: written several times faster than dictionaries.

    `known` is left out where it is true: only slugs that nobody registered carry `known: false`.
    """
    fields = [(f"f{index}", Any) for index in range(len(names))]
    rename = {f"f{index}": name for index, name in enumerate(names)}
    return msgspec.defstruct(
        "Record", [*fields, ("known", bool, True)], rename=rename, omit_defaults=True, gc=False
    )


def records(answer: Answer) -> bytes:
    """`{"rows": [{...}], "totals", "meta", "query"}`."""
    columns = _all_numbers(answer, answer.columns, as_text=answer.query.numbers == "string")
    make = _record(tuple(_names(answer)))
    fields: list[Sequence[Any]] = [*answer.labels, *columns]
    if answer.unregistered.any():
        fields.append((~answer.unregistered).tolist())
    return _encode({"rows": list(map(make, *fields)), **_tail(answer)})


def arrays(answer: Answer) -> bytes:
    """`{"columns": [names], "rows": [[...]], ...}`."""
    columns = _all_numbers(answer, answer.columns, as_text=answer.query.numbers == "string")
    rows = list(zip(*answer.labels, *columns, strict=True))
    return _encode({"columns": _names(answer), "rows": rows, **_tail(answer)})


def text(answer: Answer) -> bytes:
    """CSV (RFC 4180): a header, then rows; unknown numbers are empty. Numbers are plain decimals.

    A label that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    columns = _all_numbers(answer, answer.columns, as_text=True)
    labels = [[_harmless(label) for label in column] for column in answer.labels]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([_harmless(name) for name in _names(answer)])
    writer.writerows(zip(*labels, *columns, strict=True))
    return out.getvalue().encode()


def _harmless(label: str) -> str:
    return f"'{label}" if label.startswith(INJECTING) else label


FORMATS: dict[str, tuple[str, Callable[[Answer], bytes]]] = {
    "records": ("application/json", records),
    "arrays": ("application/json", arrays),
    "csv": ("text/csv; charset=utf-8; header=present", text),
}
