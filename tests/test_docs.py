"""What the documents say is so: settings, links, and every ```sh run block, against a real service."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.collect.parse import CLICK_IDS
from app.pipeline.rules import CHANNELS, CLICK_CHANNELS
from app.settings import Settings
from tests import engines
from tests.conftest import Clicktrail

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```sh run\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")
URL = "http://127.0.0.1:8000"

#: What a refusal is made with: app/errors.py, model.Rejected, and the doors' and shapes' own.
REFUSALS = {
    "InvalidInput", "Unauthorized", "Forbidden", "NotFound", "Conflict", "TooLarge", "Unprocessable",
    "Unavailable", "Rejected", "Bad", "_Missing", "refused",
}  # fmt: skip

#: curl that fails when the answer is an error, and says so.
SHELL = 'set -euo pipefail\ncurl() { command curl --fail-with-body --silent --show-error "$@"; }\n'


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text())


def test_the_settings_page_is_the_settings_class() -> None:
    rows = re.findall(
        r"^\| `CLICKTRAIL_(\w+)` \| (.*?) \| (.*) \|$", (ROOT / "docs/settings.md").read_text(), re.M
    )
    shown = {field: (default.strip("` "), meaning) for field, default, meaning in rows}
    real = {
        field.upper(): (str("" if info.default is None else info.default), info.description)
        for field, info in Settings.model_fields.items()
    }
    assert {key: (value.lower(), text) for key, (value, text) in real.items()} == {
        key: (value.lower(), text) for key, (value, text) in shown.items()
    }


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [link.partition("#")[0] for link in LINK.findall(page.read_text()) if "://" not in link]
    missing = [target for target in targets if target and not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=name)
def test_the_lines_of_a_page_run_as_they_stand(
    page: Path, fresh_clicktrail: Clicktrail, tmp_path: Path
) -> None:
    keys = {f"{scope.upper()}_KEY": key for scope, key in fresh_clicktrail.keys.items()}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | keys | {"PATH": path, "CLICKTRAIL_DATA": str(fresh_clicktrail.data)}
    environment |= engines.environment(fresh_clicktrail.data)
    for block in blocks(page):
        done = subprocess.run(
            ["bash", "-c", SHELL + block.replace(URL, fresh_clicktrail.url)],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\nanswered\n{done.stdout}{done.stderr}"


def test_the_tables_of_channels_are_those_of_the_rules() -> None:
    page = (ROOT / "docs/channels.md").read_text()
    rows = [
        tuple(cell.strip().strip("`").replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        for line in page.splitlines()
        if line.startswith("| `")
    ]
    by_medium = [(channel, medium.pattern, source.pattern) for channel, medium, source in CHANNELS]
    assert rows == [*by_medium, *CLICK_CHANNELS.items()]
    assert [one for one in CLICK_IDS if f"`{one}`" not in page] == []


def test_decision_records_are_short_and_listed() -> None:
    records = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    listed = LINK.findall((ROOT / "docs/decisions/README.md").read_text())
    assert [record.name for record in records] == listed
    assert [record.name for record in records if len(record.read_text().splitlines()) > 40] == []


def test_every_make_target_says_what_it_does_and_the_readme_names_real_ones() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: (\w+)$", makefile, re.M))
    assert targets == set(re.findall(r"^(\w+):.*## \S", makefile, re.M))
    pages = "".join((ROOT / page).read_text() for page in ("README.md", "CONTRIBUTING.md"))
    assert set(re.findall(r"\bmake ([a-z]+)\b(?= |`|$)", pages, re.M)) - {"makes"} <= targets


def codes() -> set[str]:
    """The codes that the source states literally when it refuses something."""
    calls = (
        node
        for path in (ROOT / "app").rglob("*.py")
        if "attribution" not in path.parts  # its reasons are why a touch earned nothing: docs/attribution.md
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)
    )
    return {call.args[0].value for call in calls if getattr(call.func, "id", "") in REFUSALS}


def test_every_refusal_is_explained() -> None:
    explained = set(re.findall(r'^\| <a id="(\w+)"></a>`\1` \|', (ROOT / "docs/errors.md").read_text(), re.M))
    assert len(codes()) > 50
    assert codes() - explained == set()
