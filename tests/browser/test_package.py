"""What is shipped of the tag is what the source builds, and small; as a package it can be imported."""

import gzip
import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from app.collect.parse import CLICK_IDS
from tests.browser.conftest import Visitor, World
from tests.conftest import impossible

ROOT = Path(__file__).parents[2]
PIXEL = ROOT / "pixel"

#: Bytes of c.js as `gzip -9` makes it: every visitor of every page pays them.
MOST = 3_000


def run(*words: str, folder: Path) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source with what builds it, from the lock file."""
    if shutil.which("npm") is None:
        impossible("npm is not installed")
    copy = tmp_path_factory.mktemp("source") / "pixel"
    shutil.copytree(PIXEL, copy, ignore=shutil.ignore_patterns("node_modules", "dist"))
    run("npm", "ci", "--no-audit", "--no-fund", folder=copy)
    run("node", "build.js", str(copy / "scripts"), folder=copy)
    return copy


def test_the_scripts_that_are_shipped_are_what_the_source_builds(source: Path) -> None:
    shipped = {path.name: path.read_bytes() for path in (ROOT / "app/tag").glob("*.js")}
    assert shipped == {path.name: path.read_bytes() for path in (source / "scripts").iterdir()}
    assert sorted(shipped) == ["c.full.js", "c.js"]


def test_the_core_is_small() -> None:
    assert len(gzip.compress((ROOT / "app/tag/c.js").read_bytes(), 9, mtime=0)) <= MOST


def test_the_types_hold_in_the_source_and_for_those_who_use_it(source: Path) -> None:
    run("npm", "run", "types", folder=source)


def test_the_lock_file_names_contents_and_no_addresses() -> None:
    lock = json.loads((PIXEL / "package-lock.json").read_text())
    packages = [package for name, package in lock["packages"].items() if name]
    assert packages
    assert all("integrity" in package and "resolved" not in package for package in packages)
    assert "://" not in (PIXEL / "package.json").read_text()


def test_the_package_is_imported_by_a_server_that_has_no_window(source: Path, tmp_path: Path) -> None:
    (packed,) = json.loads(run("npm", "pack", "--json", "--pack-destination", str(tmp_path), folder=source))
    assert sorted(file["path"] for file in packed["files"]) == [
        "README.md", "dist/index.js", "index.d.ts", "package.json",
    ]  # fmt: skip
    home = tmp_path / "node_modules/clicktrail"
    with tarfile.open(tmp_path / packed["filename"]) as tar:
        tar.extractall(tmp_path, filter="data")
    home.parent.mkdir()
    (tmp_path / "package").rename(home)
    (tmp_path / "server.mjs").write_text("""
        const before = Object.keys(globalThis).join();
        import { consent, init, track, user } from "clicktrail";
        track("lead", {plan: "Pro"}); consent("default", {ad_storage: "denied"}); user("u-1");
        const reason = init({site: "ct_pub_x", hostUrl: "https://t.example"});
        console.log(reason, before == Object.keys(globalThis).join());
    """)
    assert run("node", "server.mjs", folder=tmp_path) == "undefined true\n"


def test_the_module_measures_a_page_as_the_script_does(world: World, visitor: Visitor, source: Path) -> None:
    world.site.pages["/clicktrail.js"] = (source / "dist/index.js").read_text()
    path = world.page(
        """<script type=module>
        import { consent, init, track, user } from "/clicktrail.js";
        window.before = JSON.stringify([document.cookie, {...localStorage}, typeof ct]);
        track("signup", {plan: "Pro"});
        history.replaceState({}, "", location.pathname + "/moved");
        window.reason = init({site: "SITE", hostUrl: "/t/", debug: true, autoTrack: true});
        init({site: "SITE", hostUrl: "/t/", debug: true});
        user("u-9");
        track("sale", {order_id: location.pathname, value: 3, currency: "EUR"});
    </script>""".replace("SITE", world.service.keys["public"])
    )
    page = visitor.open(path)
    assert page.evaluate("[window.before, window.reason]") == ['["",{},"undefined"]', None]
    signup, sale = world.kinds(path, "visit", "lead", "pageview", "sale")[1::2]
    assert (signup["goal"], signup["properties"]) == ("signup", {"plan": "Pro"})
    assert signup["url"] == world.site.at(path)
    assert sale["value"] == 3_000_000


def test_the_module_says_what_it_needs(world: World, visitor: Visitor, source: Path) -> None:
    world.site.pages["/clicktrail.js"] = (source / "dist/index.js").read_text()
    path = world.page(
        '<script type=module>import { init } from "/clicktrail.js"; init({site: "x"});</script>'
    )
    visitor.open(path)
    visitor.hears("init() needs site (ct_pub_...) and hostUrl")


def test_the_tag_knows_every_click_id_that_the_door_reads() -> None:
    source = (PIXEL / "src/core.js").read_text()
    (pattern,) = re.findall(r"const CAMPAIGN =\s+/(.*)/;", source)
    for name in (*CLICK_IDS, "utm_source", "utm_anything", "ct_click"):
        assert re.match(pattern, name), name
    for name in ("id", "cid", "productcid", "pcid", "q", "utmx", "colour", "clid", "_ct"):
        assert not re.match(pattern, name), name
