"""The error tree: everything a caller can be told, and whether to try again.

    ClicktrailError                 code, message, field; becomes {"error": {...}}
    |-- InvalidInput          400   a named field holds what it must not
    |-- Unauthorized          401   no key, or one nobody knows
    |-- Forbidden             403   a known key of the wrong scope
    |-- NotFound              404
    |-- Conflict              409   the slug, or the period of a deal, is taken
    |-- TooLarge              413   more bytes or items than a request may carry
    |-- Unsupported           415   a body in an encoding that is not understood
    |-- Unprocessable         422   well-formed, but every item of it was refused
    `-- Unavailable           503   not now: come back after `retry_after` seconds

This file knows no framework: `main` turns an error into a response, once, at the edge.
"""


class ClicktrailError(Exception):
    """An expected failure with a status. `code` is stable; `message` is for people."""

    status = 500
    retry_after: int | None = None

    def __init__(self, code: str, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field

    def body(self) -> dict[str, object]:
        """The JSON of API.md's "Errors"."""
        error: dict[str, object] = {"code": self.code, "message": self.message}
        if self.field is not None:
            error["field"] = self.field
        error["docs"] = f"docs/errors.md#{self.code}"
        return {"error": error}


class InvalidInput(ClicktrailError):
    status = 400


class Unauthorized(ClicktrailError):
    status = 401


class Forbidden(ClicktrailError):
    status = 403


class NotFound(ClicktrailError):
    status = 404


class Conflict(ClicktrailError):
    status = 409


class TooLarge(ClicktrailError):
    status = 413


class Unsupported(ClicktrailError):
    status = 415


class Unprocessable(ClicktrailError):
    status = 422


class Unavailable(ClicktrailError):
    status = 503

    def __init__(self, code: str, message: str, *, field: str | None = None, retry_after: int = 5) -> None:
        super().__init__(code, message, field=field)
        self.retry_after = retry_after
