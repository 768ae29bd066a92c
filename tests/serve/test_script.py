"""The tag's script: its names, its caching, its integrity, and what a browser is told about it."""

import base64
import gzip
import hashlib
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.collect.script import takes_gzip
from app.settings import Settings
from app.tag import script
from tests.security.tenants import Answer, Town, open_town

BUILT = {"": b'(function(){var to="/collect";})()', ".full": b'(function(){var full="/collect";})()'}
NEXT = {part: body + b"//2" for part, body in BUILT.items()}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> object:
    with open_town(tmp_path_factory.mktemp("town"), tag_name="stats.js", collect_path="/in/box") as town:
        yield town


def pinned_of(town: Town, name: str = "c") -> str:
    """The pinned path of what /c.js is now."""
    body = town.ask("GET", "/c.js").body
    return f"/{name}.{hashlib.sha256(body).hexdigest()[:16]}.js"


def names(answer: Answer) -> dict[str, str]:
    return dict(answer.headers)


def test_a_moving_script_is_asked_for_again_and_a_pinned_one_never(town: Town) -> None:
    moving, pinned = town.ask("GET", "/c.js"), town.ask("GET", pinned_of(town))
    assert (moving.status, pinned.status) == (200, 200)
    assert moving.body == pinned.body
    assert moving.header("cache-control") == "public, max-age=3600"
    assert pinned.header("cache-control") == "public, max-age=31536000, immutable"
    for answer in (moving, pinned):
        assert answer.header("content-type") == "text/javascript; charset=utf-8"
        assert answer.header("content-length") == str(len(answer.body))
        assert answer.header("access-control-allow-origin") == "*"
        assert answer.header("access-control-allow-credentials") == ""
        assert answer.header("timing-allow-origin") == "*"
        assert answer.header("cross-origin-resource-policy") == "cross-origin"
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("vary") == "Accept-Encoding"
        assert answer.header("set-cookie") == ""


def test_the_hash_of_anything_else_is_nobodys(town: Town) -> None:
    for path in ("/c.0123456789abcdef.js", "/c..js", "/c.js/", "/C.js", f"{pinned_of(town)}x", "/c.0.js"):
        assert town.ask("GET", path).status == 404, path


def test_a_configured_name_is_answered_beside_the_usual_one_and_pinned_too(town: Town) -> None:
    same = {
        town.ask("GET", path).body
        for path in ("/stats.js", "/c.js", pinned_of(town), pinned_of(town, "stats"))
    }
    assert len(same) == 1


def test_the_full_script_has_the_same_names_with_full_in_them(town: Town) -> None:
    core, full = town.ask("GET", "/c.js").body, town.ask("GET", "/c.full.js").body
    assert core != full
    digest = hashlib.sha256(full).hexdigest()[:16]
    for path in ("/stats.full.js", f"/c.full.{digest}.js", f"/stats.full.{digest}.js"):
        assert town.ask("GET", path).body == full, path
    for path in (f"/c.{digest}.js", f"/c.full.{hashlib.sha256(core).hexdigest()[:16]}.js"):
        assert town.ask("GET", path).status == 404, path
    assert full.count(b'"/in/box"') == 1


def test_the_script_sends_to_the_configured_path_which_takes_events_like_the_usual_one(town: Town) -> None:
    body = town.ask("GET", "/stats.js").body
    assert body.count(b'"/in/box"') == 1
    assert script.IN_IT not in body
    said = {"k": town.tenants[0].keys["public"], "events": [{"kind": "visit"}]}
    for path in ("/in/box", "/collect"):
        assert town.ask("POST", path, json_=said).status == 202


def test_what_the_browser_has_is_not_sent_again(town: Town) -> None:
    for encoding in ("", "gzip"):
        first = town.ask("GET", "/c.js", accept_encoding=encoding)
        tag = first.header("etag")
        for said in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = town.ask("GET", "/c.js", accept_encoding=encoding, if_none_match=said)
            assert (again.status, again.body) == (304, b""), said
            left_out = {"content-type", "content-length"}
            assert names(again) == {n: v for n, v in names(first).items() if n not in left_out}
        assert town.ask("GET", "/c.js", if_none_match='"other"').status == 200
        assert town.ask("GET", "/c.js", if_none_match="").status == 200


def test_gzip_is_sent_to_those_who_take_it_under_a_tag_of_its_own(town: Town) -> None:
    plain, packed = town.ask("GET", "/c.js"), town.ask("GET", "/c.js", accept_encoding="br, gzip")
    assert (plain.header("content-encoding"), packed.header("content-encoding")) == ("", "gzip")
    assert gzip.decompress(packed.body) == plain.body
    assert packed.header("content-length") == str(len(packed.body))
    assert packed.header("etag") != plain.header("etag")


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        (b"", False),
        (b"gzip", True),
        (b"deflate, GZIP;q=0.5", True),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000, *", False),
        (b"*", True),
        (b"*;q=0", False),
        (b"identity, br", False),
        (b"gzipped", False),
        (b"gzip;q=0.01", True),
    ],
)
def test_accept_encoding_is_read_as_it_is_meant(header: bytes, taken: bool) -> None:
    assert takes_gzip(header) is taken


def test_only_get_and_head(town: Town) -> None:
    assert town.ask("HEAD", "/c.js").header("etag") == town.ask("GET", "/c.js").header("etag")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = town.ask(method, "/c.js")
        assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")


def test_the_integrity_is_that_of_the_bytes(town: Town) -> None:
    body = town.ask("GET", pinned_of(town)).body
    digest = base64.b64encode(hashlib.sha384(body).digest()).decode()
    told = town.ask(
        "GET", f"/v1/snippet?site={town.tenants[0].keys['public']}", key=town.tenants[0].keys["admin"]
    )
    assert told.json["integrity"] == f"sha384-{digest}"


def test_a_version_that_was_served_is_served_after_an_upgrade(tmp_path: Path) -> None:
    old = script.tag("c.js", "/collect", kept=tmp_path / "tags", built=BUILT)
    script.keep(old, tmp_path / "tags")
    script.keep(old, tmp_path / "tags")
    new = script.tag("c.js", "/collect", kept=tmp_path / "tags", built=NEXT)
    script.keep(new, tmp_path / "tags")
    files = dict(new.files())
    assert files["/c.js"] is new.script
    assert files[f"/{old.pinned}"].body == old.script.body
    assert files[f"/{new.pinned}"].body == new.script.body
    assert files["/c.full.js"] is new.full
    assert files[f"/{script.pinned('c.js', old.full)}"].body == old.full.body
    assert len(list((tmp_path / "tags").iterdir())) == 4
    same = script.tag("c.js", "/collect", kept=tmp_path / "tags", built=NEXT)
    assert {one.digest for one in same.earlier} == {old.script.digest, old.full.digest}


def test_what_somebody_put_into_the_folder_is_not_served_under_a_name_that_pages_pin(tmp_path: Path) -> None:
    old = script.tag("c.js", "/collect", kept=tmp_path, built=BUILT)
    script.keep(old, tmp_path)
    (tmp_path / f"{old.script.digest}.js").write_bytes(b"evil()")
    files = dict(script.tag("c.js", "/collect", kept=tmp_path, built=NEXT).files())
    assert f"/{old.pinned}" not in files


def test_a_full_disk_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    (tmp_path / "tags").write_text("a file where the folder should be")
    with open_town(tmp_path) as town:
        assert town.ask("GET", "/c.js").status == 200


def test_a_build_that_names_no_path_is_no_tag(tmp_path: Path) -> None:
    for part, body in BUILT.items():
        for wrong in (b"", body * 2):
            with pytest.raises(ValueError, match=f"c{part}.js must name /collect once"):
                script.tag("c.js", "/in", kept=tmp_path, built=BUILT | {part: wrong})


@pytest.mark.parametrize(
    "name", ["c", "a/b.js", "../c.js", "c.min.js", ".js", "ü.js", "c.js?x", "c.js\n", ""]
)
def test_names_that_cannot_be_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="must be a file name"):
        Settings(tag_name=name)


@pytest.mark.parametrize(
    "path", ["in", "/", "/in/", "/a//b", "/a b", "/v1/in", "/c/in", "/metrics", "/a.js", "/in\n", ""]
)
def test_paths_that_cannot_be_are_refused(path: str) -> None:
    with pytest.raises(ValidationError, match=r"must be a path|is a path of ours"):
        Settings(collect_path=path)
    assert Settings(collect_path="/api/in").collect_path == "/api/in"


def test_every_door_and_route_of_ours_is_a_path_that_is_taken(town: Town) -> None:
    """A collect path that shadowed one of them would be lost, or would take it."""
    paths = {path.split("/")[1] for path in town.app.framework.openapi()["paths"]}
    for first in paths - {"collect"}:
        if "." not in first:
            with pytest.raises(ValidationError, match="is a path of ours"):
                Settings(collect_path=f"/{first}/x")
