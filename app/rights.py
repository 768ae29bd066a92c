"""The command line of the rights of persons: `clicktrail person find | export | erase`, and `retention`.

An identifier given as - is read from the terminal, so that it stands in no list of processes or commands.
"""

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from app.clock import now_us
from app.terminal import Data, Of, database, looking, opened, read_settings, said_plainly, workspace_id

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.persons.finding import Found
    from app.persons.rules import Wanted

person = typer.Typer(no_args_is_help=True, help="Find, export and erase a person.")

POLL = 0.5  # seconds between looks at an erasure

Visitor = Annotated[str, typer.Option("--visitor-id", help="The tag's, a sender's, or the ct_id cookie.")]
User = Annotated[str, typer.Option("--user-id", help="As it was sent.")]
Email = Annotated[str, typer.Option("--email", help="Hashed at once, never written.")]
Phone = Annotated[str, typer.Option("--phone", help="With country code; hashed at once, never written.")]
Click = Annotated[str, typer.Option("--click-id", help="One of ours.")]
Order = Annotated[str, typer.Option("--order-id", help="With --store, where several stores have it.")]
Store = Annotated[str, typer.Option("--store", help="Of --order-id.")]
Conversion = Annotated[str, typer.Option("--conversion-id", help="cv_ and 16 hexadecimal digits.")]


@person.command("find")
def person_find(
    visitor_id: Visitor = "",
    user_id: User = "",
    email: Email = "",
    phone: Phone = "",
    click_id: Click = "",
    order_id: Order = "",
    conversion_id: Conversion = "",
    store: Store = "",
    of: Of = "",
    data: Data = None,
) -> None:
    """Tell how much is held of a person."""
    from app.persons.export import counts

    named = _named(locals())
    with said_plainly(), looking(data) as connection:
        found, _ = _known(connection, workspace_id(connection, of), named, store)
        _print_counts(counts(connection, found))


@person.command("export")
def person_export(
    visitor_id: Visitor = "",
    user_id: User = "",
    email: Email = "",
    phone: Phone = "",
    click_id: Click = "",
    order_id: Order = "",
    conversion_id: Conversion = "",
    store: Store = "",
    of: Of = "",
    data: Data = None,
) -> None:
    """Print everything that is held of a person, as one JSON document."""
    from app.persons.export import document

    named = _named(locals())
    with said_plainly(), looking(data) as connection:
        found, _ = _known(connection, workspace_id(connection, of), named, store)
        told = document(connection, found, now=now_us())
    print(json.dumps(told, ensure_ascii=False, indent=2))


@person.command("erase")
def person_erase(
    visitor_id: Visitor = "",
    user_id: User = "",
    email: Email = "",
    phone: Phone = "",
    click_id: Click = "",
    order_id: Order = "",
    conversion_id: Conversion = "",
    store: Store = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be emptied.")] = False,
    of: Of = "",
    data: Data = None,
) -> None:
    """Empty what tells of a person, leave every number as it is, and wait until the worker has done it."""
    from app.persons.export import counts

    named = _named(locals())
    with said_plainly(), looking(data) as connection:
        workspace = workspace_id(connection, of)
        found, who = _found(connection, workspace, named, store)
        _print_counts(counts(connection, found))
    if dry_run:
        return
    if not yes:
        typer.confirm("Erase this person for good?", abort=True)
    _wait(data, workspace, _request(data, workspace, who))


def _named(given: dict[str, object]) -> tuple[str, str]:
    """The one identifier among the options."""
    from app.persons.rules import READERS

    told = [(name, str(given[name])) for name in READERS if given[name]]
    if len(told) != 1 or (given["store"] and told[0][0] != "order_id"):
        typer.echo("Name the person by exactly one identifier; --store goes with --order-id.", err=True)
        raise typer.Exit(2)
    name, value = told[0]
    return name, sys.stdin.readline().strip() if value == "-" else value


def _found(
    connection: "Connection", workspace: int, named: tuple[str, str], store: str
) -> tuple["Found", "Wanted"]:
    from app.errors import ClicktrailError
    from app.persons import finding

    try:
        who = finding.asked(connection, workspace, *named, store=store)
        return finding.find(connection, workspace, who), who
    except ClicktrailError as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(2) from None


def _known(
    connection: "Connection", workspace: int, named: tuple[str, str], store: str
) -> tuple["Found", "Wanted"]:
    from app.persons.export import counts

    found, who = _found(connection, workspace, named, store)
    if not any(counts(connection, found)[what] for what in ("events", "conversions", "rejected")):
        typer.echo("Nothing is held under this identifier.", err=True)
        raise typer.Exit(1)
    return found, who


def _print_counts(counts: dict[str, int]) -> None:
    for what, count in counts.items():
        print(f"{count:>10,} {what}")


def _request(data: Data, workspace: int, who: "Wanted") -> int:
    from app.campaigns import changes
    from app.persons import requests

    with said_plainly(), database(data) as connection:
        desk = changes.changing_desk(connection, workspace=workspace, key=0, now=now_us())
        id_ = requests.record(connection, workspace, who, now=now_us())
        changes.record(desk, "erase", "person", after={"erasure": id_})
    return id_


def _wait(data: Data, workspace: int, id_: int) -> None:
    """Until a worker has done it. It may be interrupted: the request stands."""
    from app import db
    from app.persons import requests
    from app.persons.schemas import ELSEWHERE

    print(f"erasure {id_} is requested; waiting for the worker (it is done without this command, too)")
    with said_plainly(), opened(data) as engine:
        while True:
            with db.reading(engine) as connection:
                row = requests.read(connection, workspace, id_)
            if row.stage in (requests.DONE, requests.REFUSED):
                break
            time.sleep(POLL)
    if row.stage == requests.REFUSED:
        typer.echo("Several people share this identifier by now: nobody was erased.", err=True)
        raise typer.Exit(1)
    print(f"erasure {id_} is done:")
    _print_counts(requests.shown(row)["counts"])
    print(ELSEWHERE)


def retention(of: Of = "", data: Data = None) -> None:
    """Show what is kept for how long, and that nothing is kept longer."""
    from app.campaigns.fields import moment_text
    from app.persons.keeping import Limits, report

    settings = read_settings(data=data)
    limits = Limits(settings.retention_months, settings.rejected_days, settings.audit_days)
    with said_plainly(), looking(data) as connection:
        found = report(connection, workspace_id(connection, of), now=now_us(), limits=limits)
    for one in found:
        oldest = moment_text(one["oldest"])[:10] if one["oldest"] else "-"
        looked = moment_text(one["looked_through_at"])[:16] if one["looked_through_at"] else "-"
        past = "" if one["before"] is None else f"{one['past']:,} past their time"
        print(f"{one['what']:<52} {one['kept']:<28} oldest {oldest:<10}  looked {looked:<16}  {past}")
