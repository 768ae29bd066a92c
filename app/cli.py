"""The command line: `clicktrail serve`, `worker`, `demo`, `key`, `workspace`, `doctor`, ...

Every command says what it did in a line or two, and imports what it needs when it runs, so that
`--help` is quick. Nothing is decided here that a test would want to reach without a terminal.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.clock import now_us
from app.rights import person, retention
from app.terminal import Data, Of, read_settings
from app.terminal import database as _database
from app.terminal import said_plainly as _said_plainly
from app.terminal import workspace_id as _workspace_id

if TYPE_CHECKING:
    from app.serve import Plan
    from app.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Self-hosted conversion tracking.")
key = typer.Typer(no_args_is_help=True, help="Make, list and revoke keys.")
workspace = typer.Typer(no_args_is_help=True, help="Add and list workspaces.")
app.add_typer(key, name="key")
app.add_typer(workspace, name="workspace")
app.add_typer(person, name="person")
app.command("retention")(retention)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0: any.", show_default=False)] = None,
    data: Data = None,
    demo: Annotated[bool, typer.Option("--demo", help="Load the demo workspace on first start.")] = False,
) -> None:
    """Start the web and worker processes; SIGHUP replaces them without refusing a connection."""
    from app import telemetry
    from app.serve import Parent, Plan, address, listener

    settings = read_settings(host=host, port=port, data=data)
    telemetry.set_up(level=settings.log_level, pretty=settings.log_pretty)
    try:
        bound = listener(settings.host, settings.port)
    except OSError as error:
        said = os.strerror(error.errno) if error.errno else str(error)
        typer.echo(f"Cannot listen on {settings.host} port {settings.port}: {said}", err=True)
        raise typer.Exit(1) from None
    plan = Plan(
        environment=_environment(settings),
        web_processes=settings.web_processes,
        drain_seconds=settings.drain_seconds,
        workspace="demo" if demo else "",
    )
    url = address(bound)
    raise typer.Exit(Parent(plan, bound, lambda prepared: _announce(plan, url, prepared)).run())


def _environment(settings: "Settings") -> dict[str, str]:
    """What the children are to see: ours, with the command line's settings, without systemd's sockets."""
    given = {"HOST": settings.host, "PORT": settings.port, "DATA": settings.data.absolute()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LISTEN_")}
    return inherited | {f"CLICKTRAIL_{name}": str(value) for name, value in given.items()}


def _announce(plan: "Plan", url: str, prepared: bytes) -> list[subprocess.Popen[bytes]]:
    """Say where we serve; on a first start show the keys, and set the demo going when it was asked for."""
    from app.serve import command

    made = json.loads(prepared)
    keys = made.get("keys", {})
    if keys:
        print(f"The keys of workspace {made['workspace']}, shown this once:\n")
        _print_keys(keys)
        print()
    elif plan.workspace:
        print(f"Workspace {plan.workspace} is there; `clicktrail key create` makes further keys.", flush=True)
    print(f"Clicktrail is serving on {url}", flush=True)
    if not keys or made["workspace"] != plan.workspace:
        return []
    demo = command(plan.environment, "demo", "--url", url, stdin=subprocess.PIPE)
    assert demo.stdin is not None
    with demo.stdin:
        demo.stdin.write(json.dumps(keys).encode())
    return [demo]


def _print_keys(keys: dict[str, str]) -> None:
    for scope, value in keys.items():
        print(f"  {scope:<8}{value}", flush=True)


@app.command()
def worker(data: Data = None) -> None:
    """Run the background tasks alone, for a machine whose web processes are elsewhere."""
    import argparse

    from app import telemetry
    from app.child import worker as run
    from app.migrate import migrate as bring_up_to_date

    settings = read_settings(data=data)
    telemetry.set_up(level=settings.log_level, pretty=settings.log_pretty)
    with _said_plainly():  # it never works on a schema that is not its own
        bring_up_to_date(settings.database)
    run(settings, argparse.Namespace(parent=None))


@app.command()
def demo(
    url: Annotated[str, typer.Option(help="Where Clicktrail serves.")] = "http://127.0.0.1:8000",
    data: Data = None,
) -> None:
    """Add the demo workspace to a running Clicktrail, fill it through the doors and show it."""
    from app.demo.load import show
    from app.prepare import prepare

    with _said_plainly():
        made = prepare(read_settings(data=data), clock=now_us, workspace="demo")
    if not made.keys:
        typer.echo("There is a workspace named demo already.", err=True)
        raise typer.Exit(1)
    print("The keys of workspace demo, shown this once:\n")
    _print_keys(made.keys)
    show(url, made.keys)


@app.command()
def migrate(data: Data = None) -> None:
    """Bring the database to this version's schema. `serve` does it by itself."""
    from app.migrate import migrate as run

    settings = read_settings(data=data)
    with _said_plainly():
        before, after = run(settings.database)
    print(f"schema {after}" if before == after else f"schema {before or 'none'} -> {after}")


@app.command("migrate-database")
def migrate_database(
    to: Annotated[str, typer.Option(help="postgresql://user:password@host/database, migrated and empty.")],
    data: Data = None,
) -> None:
    """Move from SQLite to PostgreSQL: copy everything, and compare every table and metric."""
    from rich.console import Console
    from rich.progress import Progress

    from app.move import move

    settings, terminal = read_settings(data=data), Console(stderr=True)
    with _said_plainly(), Progress(console=terminal, disable=not os.isatty(2)) as progress:
        bar = progress.add_task("")

        def told(what: str, done: int, of: int) -> None:
            progress.update(bar, description=what, completed=done, total=of)

        counts = move(settings, to, now=now_us(), told=told)
    print(f"{sum(counts.values()):,} rows in {len(counts)} tables moved; every table and report is equal.")
    print("Set CLICKTRAIL_DATABASE_URL to the new database and start with the same data folder.")


@app.command()
def backup(to: Annotated[Path, typer.Argument(metavar="FOLDER")], data: Data = None) -> None:
    """Copy the inbox and the embedded database into a new folder, while Clicktrail runs."""
    from app.backup import back_up, database_file

    settings = read_settings(data=data)
    with _said_plainly():
        size = back_up(settings, to)
    print(f"{to}: {size:,} bytes, with checksums")
    if database_file(settings) is None:
        print("This is the inbox of this machine. Back up the PostgreSQL database now: after it, not before.")


@app.command()
def restore(of: Annotated[Path, typer.Argument(metavar="FOLDER")], data: Data = None) -> None:
    """Verify a backup and put it into an empty data folder."""
    from app.backup import restore as bring_back

    with _said_plainly():
        size = bring_back(read_settings(data=data), of)
    print(f"{of}: {size:,} bytes verified and restored")


@app.command()
def openapi() -> None:
    """Print the OpenAPI document, the hand-written doors included."""
    from app.main import create_app

    document = create_app(read_settings(database_url="sqlite://")).framework.openapi()
    print(json.dumps(document, ensure_ascii=False, indent=2))


@app.command()
def doctor(data: Data = None) -> None:
    """Look at everything that usually goes wrong; status 1 when something has."""
    from app.doctor import examine

    findings = examine(read_settings(data=data), now=now_us())
    for finding in findings:
        print(f"{finding.level:<5}{finding.subject:<12}{finding.message}")
    raise typer.Exit(1 if any(finding.level == "bad" for finding in findings) else 0)


@app.command()
def snippet(
    site: Annotated[str, typer.Argument(help="The site's public key, ct_pub_...")],
    base: Annotated[str, typer.Option(help="Where browsers reach Clicktrail.", show_default=False)] = "",
    full: Annotated[
        bool, typer.Option("--full", help="With consent managers, and links that lead to other sites.")
    ] = False,
    data: Data = None,
) -> None:
    """Print the lines that a website pastes, following the configured names and its workspace's settings."""
    from app.errors import InvalidInput
    from app.tag.script import tag
    from app.tag.snippets import told, wishes
    from app.workspaces import Snapshots, WorkspaceSettings, digest

    settings = read_settings(data=data)
    known = Snapshots(settings.snapshot, clock=now_us)
    known.poll()
    _, number, _ = known.current.keys.get(digest(site), (0, 0, ""))
    workspace = known.current.workspaces.get(number)
    attributes = wishes(workspace.settings if workspace is not None else WorkspaceSettings())
    try:
        served = tag(settings.tag_name, settings.collect_path, kept=settings.tags)
        script = served.full if full else served.script
        base = base or settings.public_url or f"http://{settings.host}:{settings.port}"
        print(told(served, script, base, site, attributes))
    except InvalidInput as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(2) from None


@app.command()
def check(
    url: Annotated[str, typer.Argument(help="The page, as visitors' browsers name it.")],
    watch: Annotated[float, typer.Option(help="Then wait for its events, so many seconds.")] = 0,
    internal: Annotated[bool, typer.Option("--internal", help="Internal addresses too, any port.")] = False,
    of: Of = "",
    data: Data = None,
) -> None:
    """Look at a page that is to be tracked and say what to change; status 1 when something must be."""
    from app.check.address import allowed
    from app.check.command import Given, run
    from app.tag.script import tag
    from app.workspaces import take

    settings = read_settings(data=data)
    with _database(data) as connection:
        snapshot, workspace = take(connection), _workspace_id(connection, of) if of else None
    given = Given(
        database=settings.database,
        public_url=settings.public_url,
        allowed=allowed(settings.check_hosts, settings.public_url, everything=internal),
        tag=tag(settings.tag_name, settings.collect_path, kept=settings.tags),
        snapshot=snapshot,
        workspace=workspace,
    )
    with _said_plainly():
        status = run(given, url, watch=watch, now=now_us, say=typer.echo)
    raise typer.Exit(status)


# --- Keys and workspaces ---------------------------------------------------------------------------


@key.command("create")
def key_create(
    scope: Annotated[str, typer.Argument(help="public, server, read or admin")],
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    of: Of = "",
    data: Data = None,
) -> None:
    """Make a key and show it, this once."""
    from app.workspaces import SCOPES, add_key, new_key

    known = next((one for one in SCOPES if one == scope), None)
    if known is None:
        typer.echo(f"{scope} is not a scope; one of {', '.join(SCOPES)}", err=True)
        raise typer.Exit(2)
    made = new_key(known)
    with _database(data) as connection:
        add_key(connection, _workspace_id(connection, of), known, name=name, now=now_us(), key=made)
    print(made)


@key.command("list")
def key_list(of: Of = "", data: Data = None) -> None:
    """List keys: id, scope, first characters, state, name."""
    from app.workspaces import keys_of

    with _database(data) as connection:
        rows = keys_of(connection, _workspace_id(connection, of))
    for row in rows:
        state = "revoked" if row.revoked_at else "active"
        print(f"{row.id:>5}  {row.scope:<7} {row.prefix}...  {state:<8} {row.name}")


@key.command("revoke")
def key_revoke(
    id_: Annotated[int, typer.Argument(metavar="ID")],
    of: Of = "",
    data: Data = None,
) -> None:
    """Revoke a key: within a second no door lets it in."""
    from app.workspaces import revoke_key

    with _database(data) as connection:
        found = revoke_key(connection, _workspace_id(connection, of), id_, now=now_us())
    if not found:
        typer.echo(f"There is no active key {id_}.", err=True)
        raise typer.Exit(1)
    print(f"key {id_} is revoked")


@workspace.command("add")
def workspace_add(
    slug: str,
    timezone: Annotated[str, typer.Option(help="IANA time zone of its days.")] = "UTC",
    currency: Annotated[str, typer.Option(help="Currency of its reports.")] = "EUR",
    data: Data = None,
) -> None:
    """Add a workspace and show its keys, this once."""
    from zoneinfo import available_timezones

    from sqlalchemy.exc import IntegrityError

    from app.money import CURRENCIES
    from app.prepare import workspace_with_keys

    for value, known in ((timezone, available_timezones()), (currency, CURRENCIES)):
        if value not in known:
            typer.echo(f"{value} is not known", err=True)
            raise typer.Exit(2)
    try:
        with _database(data) as connection:
            fields = {"timezone": timezone, "reporting_currency": currency}
            keys = workspace_with_keys(connection, slug, fields=fields, now=now_us())
    except IntegrityError:
        typer.echo(f"There is a workspace named {slug} already.", err=True)
        raise typer.Exit(1) from None
    _print_keys(keys)


@workspace.command("list")
def workspace_list(data: Data = None) -> None:
    """List workspaces: slug, time zone, currency, name."""
    from sqlalchemy import select

    from app import tables

    with _database(data) as connection:
        rows = connection.execute(select(tables.workspaces).order_by(tables.workspaces.c.id)).all()
    for row in rows:
        print(f"{row.slug:<20} {row.timezone:<20} {row.reporting_currency}  {row.name}")


def main() -> None:
    os.umask(0o077)  # what is written is the operator's alone
    app()


if __name__ == "__main__":
    main()
