"""The commands of docs/management.md work, from top to bottom, on an empty workspace."""

import re
import shlex
from pathlib import Path

import httpx

PAGE = Path(__file__).parents[2] / "docs" / "management.md"


def commands() -> list[list[str]]:
    """Every curl of the page, as its shell would split it."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.S | re.M)
    found = [command for block in blocks for command in block.split("\n\n") if command.startswith("curl ")]
    return [shlex.split(command) for command in found]


async def run(client: httpx.AsyncClient, words: list[str]) -> httpx.Response:
    """What curl would send: -X method, -d body, and the address."""
    address = next(word for word in words if word.startswith("$URL"))
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    body = words[words.index("-d") + 1] if "-d" in words else None
    headers = {"Content-Type": "application/json"} if "Content-Type: application/json" in words else {}
    return await client.request(method, address.removeprefix("$URL"), content=body, headers=headers)


async def test_the_commands_of_the_page_run_from_top_to_bottom(
    admin: httpx.AsyncClient,
) -> None:
    assert len(commands()) >= 15
    for words in commands():
        assert "Authorization: Bearer $KEY" in words
        answer = await run(admin, words)
        assert answer.is_success, (words, answer.text)
        assert answer.json().get("rejected", []) == []
