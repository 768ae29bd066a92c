"""Logs are facts with keys; what a crash had in its variables is nobody's business."""

import json
import logging

import pytest
import structlog

from app import telemetry

SECRET = "_".join(("ct", "adm", "secret"))  # as no line of source has it


@pytest.fixture(autouse=True)
def restored() -> object:
    before = logging.getLogger().handlers[:]
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = before


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


def test_what_libraries_log_is_one_line_of_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.set_up()
    logging.getLogger("uvicorn.error").warning("Invalid\r\nrequest\x1b[31m\u2028")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["logger"] == "uvicorn.error"
    assert "\x1b" not in line


def test_what_an_error_says_is_logged_without_what_is_personal(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.set_up()
    said = f"no row of jane@mail.example from 198.51.100.23 or 2001:db8::2 with {SECRET}\nDETAIL: (id)=(4711)"
    try:
        raise ValueError(said)
    except ValueError:
        structlog.get_logger().error("crashed", exc_info=True)
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["exception"][0]["exc_value"] == (
        "no row of (personal) from (personal) or (personal) with (personal)"
    )
