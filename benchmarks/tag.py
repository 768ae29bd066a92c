"""How large the tag is and how long a page waits for it, beside other tags: one browser run, the same page.

    python -m benchmarks.tag [--loads 30] [--peer NAME=FILE ...]

Plausible's package is fetched by `npm pack` in the version named here and made one script, as sites do it.
Umami publishes no package of its browser script: hand in the `script.js` of an installation as
`--peer umami=script.js`. Peers are served from here and send to here; nothing leaves the machine.

evaluate  from before the script to after it, compilation included
first     from before the script to the first request of its own
Medians of the loads, which take turns; a new visitor's browser for each.
"""

import argparse
import gzip
import shutil
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.browser.conftest import AGENT, FLAGS
from tests.browser.site import Site, serving

ROOT = Path(__file__).resolve().parent.parent
PLAUSIBLE = "@plausible-analytics/tracker@0.4.6"

#: How a page names each tag; `data-` attributes of tags that it is not meant for change nothing.
LINE = 'data-site="ct_pub_x" data-website-id="x" data-host-url="/to" data-debug'

PAGE = """<!doctype html><title>A page</title><p>Some text
<script>window.before = performance.now()</script>
<script %s>%s</script>
<script>window.after = performance.now()</script>"""

MEASURE = """async () => {
    const sent = () => performance.getEntriesByType("resource").find((one) => one.name.includes("/to"));
    while (!sent()) await new Promise((then) => setTimeout(then, 5));
    return [after - before, sent().startTime - before];
}"""


@dataclass
class Measured:
    raw: int
    packed: int
    evaluate: float  # ms
    first: float  # ms


def plausible(folder: Path) -> str:
    """Plausible's package as one script that begins by itself."""
    words = ["npm", "pack", "--silent", "--pack-destination", str(folder), PLAUSIBLE]
    subprocess.run(words, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    (packed,) = folder.glob("*.tgz")
    shutil.unpack_archive(packed, folder, filter="data")
    entry = folder / "entry.js"
    entry.write_text(
        'import { init } from "./package/plausible.js";'
        'init({ domain: "shop.example", endpoint: "/to/api/event", captureOnLocalhost: true });'
    )
    esbuild = ROOT / "pixel/node_modules/.bin/esbuild"
    if not esbuild.exists():
        subprocess.run(["npm", "ci", "--silent"], check=True, cwd=ROOT / "pixel")
    words = [str(esbuild), str(entry), "--bundle", "--minify", "--format=iife", f"--outfile={folder}/one.js"]
    subprocess.run([*words, "--log-level=error"], check=True)
    return (folder / "one.js").read_text()


def load(browser: Browser, site: Site, path: str) -> tuple[float, float]:
    context = browser.new_context(user_agent=AGENT)
    # What other tags refuse to measure in browsers that are driven.
    context.add_init_script("Object.defineProperty(Navigator.prototype, 'webdriver', {get: () => false})")
    page = context.new_page()
    page.goto(site.at(path))
    evaluate, first = page.evaluate(MEASURE)
    context.close()
    return evaluate, first


def measured(scripts: dict[str, str], loads: int) -> dict[str, Measured]:
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in scripts}
    with serving("") as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for name, text in scripts.items():
            site.pages[f"/with/{name}/"] = PAGE % (LINE, text)
        for path in ("/to/collect", "/to/api/event", "/to/api/send"):
            site.pages[path] = "ok"
        for _ in range(loads + 1):
            for name in scripts:
                taken[name].append(load(browser, site, f"/with/{name}/"))
        browser.close()
    return {
        name: Measured(
            raw=len(text.encode()),
            packed=len(gzip.compress(text.encode(), 9, mtime=0)),
            evaluate=statistics.median(evaluate for evaluate, _ in taken[name][1:]),
            first=statistics.median(first for _, first in taken[name][1:]),
        )
        for name, text in scripts.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--loads", type=int, default=30)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=FILE")
    asked = parser.parse_args()
    scripts = {name: (ROOT / "app/tag" / name).read_text() for name in ("c.js", "c.full.js")}
    with tempfile.TemporaryDirectory() as folder:
        scripts["plausible"] = plausible(Path(folder))
    for peer in asked.peer:
        name, _, path = peer.partition("=")
        scripts[name] = Path(path).read_text()
    print("| tag | bytes | gzip -9 | evaluate, ms | first request, ms |\n|---|---|---|---|---|")
    for name, one in measured(scripts, asked.loads).items():
        print(f"| {name} | {one.raw:,} | {one.packed:,} | {one.evaluate:.1f} | {one.first:.1f} |")


if __name__ == "__main__":
    main()
