"""What every command of the command line needs: settings, the database, a workspace, errors said plainly."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.clock import now_us

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from app.settings import Settings

Data = Annotated[Path | None, typer.Option(help="Folder of the database and the inbox.", show_default=False)]
Of = Annotated[str, typer.Option("--workspace", "-w", help="Slug of the workspace; default: the first.")]


def read_settings(**given: object) -> "Settings":
    """The settings of the environment, and over them what the command line says."""
    from pydantic import ValidationError

    from app.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        for one in error.errors():
            name = "CLICKTRAIL_" + "_".join(str(part) for part in one["loc"]).upper()
            typer.echo(f"{name}: {one['msg']}", err=True)
        raise typer.Exit(2) from None


@contextmanager
def database(data: Path | None) -> Iterator["Connection"]:
    """One write transaction on the migrated database; afterwards the doors' snapshot is refreshed."""
    from app import db
    from app.workspaces import Snapshots

    settings = read_settings(data=data)
    with opened(data) as engine:
        with db.begin(engine) as connection:
            yield connection
        Snapshots(settings.snapshot, clock=now_us).refresh(engine)


@contextmanager
def opened(data: Path | None) -> Iterator["Engine"]:
    """The database, migrated."""
    from app import db
    from app.migrate import migrate as bring_up_to_date

    settings = read_settings(data=data)
    with said_plainly():
        bring_up_to_date(settings.database)
    engine = db.connect(settings.database, pool=1)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def looking(data: Path | None) -> Iterator["Connection"]:
    """One consistent snapshot of the migrated database."""
    from app import db

    with opened(data) as engine, db.reading(engine) as connection:
        yield connection


@contextmanager
def said_plainly() -> Iterator[None]:
    """A schema that is too new, or a database that does not answer, is an operator's matter: no traceback."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except typer.Exit:  # which is a RuntimeError, and has been said
        raise
    except (RuntimeError, OSError, DBAPIError) as error:
        told = f"the database said: {error.orig}" if isinstance(error, DBAPIError) else str(error)
        typer.echo(told, err=True)
        raise typer.Exit(1) from None


def workspace_id(connection: "Connection", slug: str) -> int:
    from sqlalchemy import select

    from app import tables

    c = tables.workspaces.c
    wanted = select(c.id).order_by(c.id)
    found = connection.scalars(wanted.where(c.slug == slug) if slug else wanted).first()
    if found is None:
        typer.echo(f"There is no workspace {slug or 'yet: start clicktrail serve'}", err=True)
        raise typer.Exit(1)
    return int(found)
