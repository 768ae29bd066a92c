"""docs/metrics.md says what the catalogue says."""

import re
from pathlib import Path

from app.metrics.catalogue import BY_SLUG, DIMENSION_SLUGS, METRICS, PARTS, SCOPES

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
ROWS = [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in PAGE.splitlines()]


def test_every_metric_stands_in_the_reference_as_in_the_catalogue() -> None:
    expected = [(f"`{m.slug}`", m.label, m.unit, m.formula) for m in METRICS]
    assert [row for row in ROWS if len(row) == 4 and row[2] in ("count", "money", "ratio")] == expected


def test_every_dimension_stands_in_the_reference() -> None:
    section = PAGE.partition("## The dimensions")[2].partition("##")[0]
    assert re.findall(r"^\| `([^`]+)`", section, re.MULTILINE) == list(DIMENSION_SLUGS)


def test_every_reason_in_the_code_stands_in_the_reference() -> None:
    rooms = Path(__file__).parents[2] / "app" / "metrics"
    code = "".join((rooms / f"{name}.py").read_text() for name in ("cost", "gather", "run", "columns"))
    named = re.findall(
        r'"((?:no|not|spend|flat|rate|goods|mixed|nothing|platform|denominator)_[a-z_]+)"', code
    )
    shown = {slug for slug in named if slug not in BY_SLUG and slug not in PARTS and slug != "not_measured"}
    assert len(shown) > 8
    assert [reason for reason in sorted(shown) if f"`{reason}`" not in PAGE] == []


def test_every_need_of_a_metric_is_a_part_over_a_scope() -> None:
    for metric in METRICS:
        for need in filter(None, metric.needs):
            part, _, scope = need.partition("@")
            assert part in PARTS and (not scope or scope in SCOPES), metric.slug
