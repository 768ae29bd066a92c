"""HTTP of the rights of persons: what is held, all of it as one document, and its erasure."""

from typing import Annotated, Any

from fastapi import Depends, Path, Request

from app import money
from app.campaigns import changes
from app.campaigns.changes import Desk
from app.campaigns.routes import ChangingDesk, ReadingDesk, management
from app.errors import NotFound
from app.persons import export, finding, keeping, requests
from app.persons.finding import Found
from app.persons.schemas import Erasure, Holdings, Kept, PersonName, Retention

router = management("/v1", "persons")

Id = Annotated[int, Path(ge=1, le=money.LARGEST)]


def limits(request: Request) -> keeping.Limits:
    """What the settings say; put on `app.state.limits` by main."""
    found: keeping.Limits = request.app.state.limits
    return found


LimitsDep = Annotated[keeping.Limits, Depends(limits)]


def known(desk: Desk, named: PersonName) -> Found:
    """Errors: NotFound, when nothing is held of such a person."""
    name, value = named.told
    who = finding.asked(desk.connection, desk.workspace, name, value, store=named.store)
    found = finding.find(desk.connection, desk.workspace, who)
    if not any(export.counts(desk.connection, found)[what] for what in ("events", "conversions", "rejected")):
        raise NotFound("person_not_found", "nothing is held under this identifier", field=name)
    return found


@router.post("/person/find")
def find_person(desk: ReadingDesk, body: PersonName) -> Holdings:
    """How much is held of a person, and nothing of what it is."""
    return Holdings(counts=export.counts(desk.connection, known(desk, body)))


@router.post("/person/export")
def export_person(desk: ReadingDesk, body: PersonName) -> dict[str, Any]:
    """Everything that is held of a person."""
    return export.document(desk.connection, known(desk, body), now=desk.now)


@router.post("/person/erase", status_code=202)
def erase_person(desk: ChangingDesk, body: PersonName) -> Erasure:
    """Ask for an erasure, whether anything is held yet or not: what was accepted may not be stored yet."""
    name, value = body.told
    who = finding.asked(desk.connection, desk.workspace, name, value, store=body.store)
    finding.find(desk.connection, desk.workspace, who)  # refuses what names several people
    id_ = requests.record(desk.connection, desk.workspace, who, now=desk.now)
    changes.record(desk, "erase", "person", after={"erasure": id_})
    return Erasure(**requests.shown(requests.read(desk.connection, desk.workspace, id_)))


@router.get("/person/erasures/{id}")
def read_erasure(desk: ReadingDesk, id: Id) -> Erasure:
    """How far an erasure is."""
    return Erasure(**requests.shown(requests.read(desk.connection, desk.workspace, id)))


@router.get("/retention")
def read_retention(desk: ReadingDesk, limits: LimitsDep) -> Retention:
    """What is kept for how long, and that nothing is kept longer."""
    found = keeping.report(desk.connection, desk.workspace, now=desk.now, limits=limits)
    return Retention(classes=[Kept(**one) for one in found])
