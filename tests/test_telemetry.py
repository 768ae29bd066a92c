"""Logs are facts with keys; what a crash had in its variables is nobody's business."""

import json

import pytest
import structlog

from app import telemetry

SECRET = "-".join(("ct", "adm", "secret"))  # as no line of source has it


@pytest.fixture(autouse=True)
def restored() -> object:
    yield
    structlog.reset_defaults()


def crash(secret: str) -> None:
    held = {"key": secret}
    raise ValueError(f"no {len(held)}")


@pytest.mark.parametrize("pretty", [False, True])
def test_a_crash_is_logged_without_its_variables(
    capsys: pytest.CaptureFixture[str],
    pretty: bool,
) -> None:
    telemetry.set_up(pretty=pretty)
    log = structlog.get_logger(room="test")
    try:
        crash("ct_adm_very_secret")
    except ValueError:
        log.exception("crashed")
    said = capsys.readouterr().err
    assert "ValueError" in said and "crash" in said
    assert SECRET not in said


def test_an_event_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.set_up()
    structlog.get_logger(room="test").info("told", agent="a\r\nb\x1b[31m\u2028c")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["agent"] == "a\r\nb\x1b[31m\u2028c"
    assert "\x1b" not in line
