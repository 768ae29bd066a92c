"""docs/tag.md has every attribute that the source of the tag reads, and no other; so have the types."""

import re
from pathlib import Path

from app.check.look import OF_THE_FULL_SCRIPT

ROOT = Path(__file__).parents[2]


def read_by(*names: str) -> set[str]:
    text = "".join((ROOT / "pixel/src" / f"{name}.js").read_text() for name in names)
    named = set(re.findall(r"\boptions\.(\w+)", text))
    for group in re.findall(r"const \{ ([\w, ]+) \} = options;", text):
        named |= set(group.split(", "))
    return named


def attribute(name: str) -> str:
    return "data-" + re.sub("[A-Z]", lambda capital: "-" + capital[0].lower(), name)


CORE = read_by("browser", "store", "send", "core", "script")
FULL = read_by("full", "links", "managers")


def test_the_table_of_attributes_is_what_the_source_reads() -> None:
    rows = re.findall(r"^\| `(data-[a-z-]+)` \| (.*) \|$", (ROOT / "docs/tag.md").read_text(), re.M)
    assert {name for name, _ in rows} == {attribute(name) for name in CORE | FULL}
    of_the_full = {name for name, meaning in rows if meaning.startswith("*full*")}
    assert of_the_full == {attribute(name) for name in FULL - CORE} == OF_THE_FULL_SCRIPT


def test_the_types_of_the_module_have_the_same_options() -> None:
    (options,) = re.findall(
        r"interface Options \{\n(.*?)\n\}", (ROOT / "pixel/index.d.ts").read_text(), re.DOTALL
    )
    assert set(re.findall(r"^  (\w+)\??:", options, re.M)) == CORE | FULL | {"collectPath"}
