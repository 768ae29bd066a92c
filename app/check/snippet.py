"""The snippets for one site, once its key and the address are known to be good."""

from app.check.schemas import Snippets
from app.errors import InvalidInput
from app.tag.script import Script, Tag, moving, pinned
from app.tag.snippets import checked, snippets, wishes
from app.workspaces import Snapshot, WorkspaceSettings, digest


def check_key(snapshot: Snapshot, workspace: int, key: str) -> None:
    """Errors: InvalidInput unless this is a public key of the workspace."""
    found = snapshot.keys.get(digest(key))
    if found is None or found[1] != workspace:
        raise InvalidInput("site_unknown", "site: give an active public key of this workspace", field="site")
    if found[2] != "public":
        told = f"site: this key's scope is {found[2]}; it must never stand in a page, use a public one"
        raise InvalidInput("site_not_public", told, field="site")


def made(tag: Tag, script: Script, base: str, key: str, settings: WorkspaceSettings) -> Snippets:
    """Errors: InvalidInput when `base` is no address that a page could name."""
    base = checked(base)
    return Snippets(
        base=base,
        script=f"{base}/{moving(tag.name, script)}",
        pinned_script=f"{base}/{pinned(tag.name, script)}",
        integrity=script.integrity,
        collect=base + tag.collect,
        **snippets(tag, script, base, key, wishes(settings)),
    )
