"""Keys, workspaces and the doctor at the command line, on a folder of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """clicktrail with these arguments, on this test's data folder."""

    def command(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = (
            os.environ | {"CLICKTRAIL_DATA": str(tmp_path / "data"), "CLICKTRAIL_PORT": "1"} | settings
        )
        words = [sys.executable, "-m", "app.cli", *arguments]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)

    return command


def test_without_a_workspace_a_key_has_nowhere_to_belong(run: Run) -> None:
    done = run("key", "create", "read")
    assert (done.returncode, done.stderr) == (1, "There is no workspace yet: start clicktrail serve\n")


def test_a_key_is_shown_once_listed_by_its_beginning_and_revoked_once(run: Run) -> None:
    run("workspace", "add", "main")
    made = run("key", "create", "read", "--name", "BI tool").stdout.strip()
    assert made.startswith("ct_read_")
    listed = run("key", "list").stdout
    assert made not in listed and made[:12] in listed and "BI tool" in listed
    assert run("key", "revoke", "5").stdout == "key 5 is revoked\n"
    assert run("key", "revoke", "5").returncode == 1
    assert "revoked  BI tool" in run("key", "list").stdout


def test_keys_belong_to_the_workspace_that_was_named(run: Run) -> None:
    run("workspace", "add", "one")
    run("workspace", "add", "two", "--timezone", "Asia/Tehran", "--currency", "IRR")
    assert "Asia/Tehran          IRR" in run("workspace", "list").stdout
    run("key", "create", "read", "--workspace", "two", "--name", "of two")
    assert "of two" not in run("key", "list").stdout
    assert "of two" in run("key", "list", "-w", "two").stdout
    assert run("key", "revoke", "9").returncode == 1  # it is not the first workspace's


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("key", "create", "root"), "root is not a scope; one of public, server, read, admin"),
        (("workspace", "add", "x", "--timezone", "Oslo"), "Oslo is not known"),
        (("workspace", "add", "x", "--currency", "EURO"), "EURO is not known"),
    ],
)
def test_what_is_not_known_is_named(run: Run, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (2, said + "\n")


def test_a_workspace_is_added_once(run: Run) -> None:
    assert run("workspace", "add", "main").returncode == 0
    assert run("workspace", "add", "main").stderr == "There is a workspace named main already.\n"


def test_a_setting_that_cannot_be_is_refused_by_name(run: Run) -> None:
    done = run("migrate", CLICKTRAIL_ADMIN_KEY="short", CLICKTRAIL_BATCH="0")
    assert done.returncode == 2
    assert "CLICKTRAIL_ADMIN_KEY: " in done.stderr and "CLICKTRAIL_BATCH: " in done.stderr


def test_what_is_written_is_for_its_owner_only(run: Run, tmp_path: Path) -> None:
    run("workspace", "add", "main")
    assert not [path for path in (tmp_path / "data").rglob("*") if path.stat().st_mode & 0o077]


def test_the_openapi_document_has_the_hand_written_doors(run: Run, tmp_path: Path) -> None:
    document = json.loads(run("openapi").stdout)
    assert {"/p.gif", "/collect", "/v1/events", "/postback"} <= set(document["paths"])
    assert not (tmp_path / "data").exists()


def test_help_names_every_command(run: Run) -> None:
    said = run("--help").stdout
    assert all(name in said for name in ("serve", "worker", "demo", "doctor", "key", "workspace", "migrate"))
