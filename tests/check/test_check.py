"""The check of a page against a running Clicktrail: by the API and at the terminal, to the stored event."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.deps import CHECKS as AT_ONCE
from tests import engines
from tests.check.sites import INSIDE, OUTSIDE, Site, serving, speaking
from tests.conftest import Clicktrail, wait_until

#: What is added up, in every way that could show an event.
METRICS = "impressions,clicks,visits,pageviews,opens,leads,sales,impressions_gross,clicks_gross"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clicktrail]:
    """One that may check what is on the two addresses, as an operator lists them."""
    running = Clicktrail(tmp_path_factory.mktemp("check") / "data")
    running.start(CLICKTRAIL_CHECK_HOSTS=f"{OUTSIDE},127.0.0.1/32", CLICKTRAIL_PUBLIC_URL="")
    yield running
    running.stop()
    engines.drop(running.data.parent)


@pytest.fixture
def shop() -> Iterator[Site]:
    with serving() as site:
        yield site


def check(service: Clicktrail, url: str, scope: str = "admin", **query: Any) -> httpx.Response:
    with service.client(scope) as client:
        return client.get("/v1/check", params={"url": url, **query})


def found(answer: httpx.Response) -> dict[str, str]:
    """Message by code."""
    assert answer.status_code == 200, answer.text
    return {one["code"]: one["message"] for one in answer.json()["findings"]}


def snippet(service: Clicktrail, name: str = "plain") -> str:
    with service.client("admin") as client:
        told: dict[str, str] = client.get("/v1/snippet", params={"site": service.keys["public"]}).json()
    return told[name]


def counted(service: Clicktrail) -> Any:
    with service.client("read") as client:
        asked = {"metrics": METRICS, "dimensions": "time:day", "date_range": "today"}
        return client.get("/v1/metrics", params=asked).json()["totals"]


def event(service: Clicktrail, url: str, id_: str) -> None:
    with service.client() as client:
        told = {"kind": "pageview", "id": id_, "url": url, "visitor_id": "ann"}
        body = {"k": service.keys["public"], "events": [told]}
        answer = client.post("/collect", json=body, headers={"user-agent": "Mozilla/5.0 Firefox/140.0"})
        assert answer.status_code == 202


def test_a_page_with_the_snippet_works_from_its_name_to_the_stored_event(
    service: Clicktrail, shop: Site
) -> None:
    answer = check(service, shop.page("/", snippet(service)))
    assert answer.json()["level"] == "ok"
    order = "page_read snippet_found key_good script_ours policy_none origin_listed trip_stored"
    assert list(found(answer)) == order.split()
    whats = [leg["what"] for leg in answer.json()["legs"]]
    assert whats == [
        f"GET {shop.url}/", f"GET {service.url}/c.js", f"POST {service.url}/collect", "stored",
    ]  # fmt: skip
    assert all(leg["seconds"] >= 0 for leg in answer.json()["legs"])


def test_the_pinned_snippet_holds_what_it_says(service: Clicktrail, shop: Site) -> None:
    codes = found(check(service, shop.page("/", snippet(service, "pinned"))))
    assert {"integrity_good", "trip_stored"} <= set(codes)


def test_a_test_event_counts_nowhere(service: Clicktrail, shop: Site) -> None:
    before = counted(service)
    assert "trip_stored" in found(check(service, shop.page("/", snippet(service))))
    assert counted(service) == before
    event(service, shop.url, "the-control")
    with service.client("server") as client:  # what is stored after the real event was stored
        told = {"kind": "open", "id": "the-end", "test": True}
        assert client.post("/v1/events?wait=stored", json=told).json()["outcomes"] == ["stored"]
    assert counted(service)["pageviews"] == (before["pageviews"] or 0) + 1


def test_a_path_of_the_sites_own_is_followed(service: Clicktrail, shop: Site) -> None:
    """A proxy that passes on the script and not the collect path: what is missing is told."""
    with service.client() as client:
        script = client.get("/c.js").content
    shop.page("/t/c.js", script, content_type="text/javascript")
    shop.page("/t/collect", b"{}", status=405)
    key = service.keys["public"]
    url = shop.page("/", f'<script defer src="/t/c.js" data-site="{key}"></script>')
    codes = found(check(service, url))
    assert codes["trip_refused"] == f"{shop.url}/t/collect answered 405: not an answer of Clicktrail."
    assert {"script_ours", "key_good"} <= set(codes)
    (sent,) = [body for method, _, _, body in shop.asked if method == "POST"]
    told = json.loads(sent)
    assert told["k"] == key and told["events"][0]["test"] is True
    assert set(told["events"][0]) == {"kind", "id", "url", "test", "consent"}


def test_the_origins_list_refuses_in_words_and_in_deed(service: Clicktrail, shop: Site) -> None:
    url = shop.page("/", snippet(service))
    with service.client("admin") as client:
        client.patch("/v1/workspace", json={"origins": ["https://shop.example"]}).raise_for_status()
        try:
            codes = found(check(service, url))
        finally:
            client.patch("/v1/workspace", json={"origins": []}).raise_for_status()
    assert shop.url in codes["origin_refused"]
    assert codes["trip_refused"].endswith("answered 403: origin_not_allowed.")


def test_a_key_of_another_workspace_is_unknown_here(service: Clicktrail, shop: Site) -> None:
    added = command(service, "workspace", "add", "other")
    theirs = added.stdout.split()[1]
    codes = found(check(service, shop.page("/", snippet(service).replace(service.keys["public"], theirs))))
    assert "key_unknown" in codes and "trip_stored" not in codes


def test_a_real_event_of_the_page_is_waited_for(service: Clicktrail, shop: Site) -> None:
    url = shop.page("/watched", "<p>a tag manager's page")
    stop = threading.Event()

    def visit() -> None:
        number = 0
        while not stop.wait(0.2):
            number += 1
            event(service, f"{url}?utm_source=x#top", f"watched-{number}")

    visitor = threading.Thread(target=visit)
    visitor.start()
    codes = found(check(service, url, wait=30))
    stop.set()
    visitor.join()
    assert codes["watch_seen"].startswith("The page sent a pageview, ")


def test_events_of_other_pages_and_test_events_are_not_taken_for_it(service: Clicktrail, shop: Site) -> None:
    url = shop.page("/unseen", snippet(service))
    event(service, f"{shop.url}/other", "other-page")
    codes = found(check(service, url, wait=1))
    assert {"trip_stored", "watch_nothing"} <= set(codes)


def test_what_is_internal_is_not_asked_unless_listed(clicktrail: Clicktrail) -> None:
    seen: list[Any] = []
    with serving(INSIDE) as inside, serving(OUTSIDE) as outside:
        for url in (
            f"{inside.url}/",
            f"{outside.url}/",
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://localhost/",
        ):
            answer = check(clicktrail, url)
            seen.append(answer.json().get("error", {}).get("code") or [*found(answer)])
        assert seen == ["url_port", "url_port", *[["page_unreachable"]] * 3]
        assert inside.connections == outside.connections == []


@pytest.mark.parametrize(
    "url, code",
    [
        ("shop.example", "url_invalid"),
        ("ftp://shop.example/", "url_invalid"),
        ("http://a:b@shop.example/", "url_invalid"),
        ("http://2130706433/", "url_invalid"),
        ("https://shop.example:22/", "url_port"),
    ],
)
def test_an_address_that_cannot_be_is_refused_by_name(clicktrail: Clicktrail, url: str, code: str) -> None:
    answer = check(clicktrail, url)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert answer.json()["error"]["field"] == "url"


def test_only_an_admin_may_ask(clicktrail: Clicktrail) -> None:
    for scope in ("public", "server", "read"):
        assert check(clicktrail, "http://127.0.0.1/", scope).status_code == 403


def test_checks_that_hang_cost_the_others_nothing_and_the_next_one_is_told(service: Clicktrail) -> None:
    """Pages that never answer take all turns; doors, reports and management go on."""
    with speaking(slowly) as (url, taken):
        answers: list[httpx.Response] = []

        def ask() -> None:
            answers.append(check(service, url, wait=8))

        asking = [threading.Thread(target=ask) for _ in range(AT_ONCE)]
        for one in asking:
            one.start()
        wait_until(lambda: len(taken) == AT_ONCE)
        with service.client("admin") as client:
            assert client.get("/v1/workspace").status_code == 200
            assert client.get("/v1/metrics", params={"metrics": "clicks"}).status_code == 200
            assert client.get("/p.gif", params={"k": service.keys["public"], "e": "open"}).status_code == 200
            answer = client.get("/v1/check", params={"url": url})
        for one in asking:
            one.join()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "checks_busy")
    assert int(answer.headers["retry-after"]) > 0
    assert [one.status_code for one in answers] == [200] * AT_ONCE


def slowly(connection: Any) -> None:
    """A page, in parts that each come in time, that never ends."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n")
    gone = threading.Event()
    while not gone.wait(0.5):
        connection.sendall(b"<p>")


def command(service: Clicktrail, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *words, "--data", str(service.data)],
        env={"PATH": "", **engines.environment(service.data)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_at_the_terminal_a_good_page_is_told_in_lines_and_ends_with_status_0(
    service: Clicktrail, shop: Site
) -> None:
    done = command(service, "check", shop.page("/", snippet(service)), "--internal")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].startswith("ok    page        ")
    assert done.stdout.endswith("\nIt works.\n")
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_at_the_terminal_what_is_bad_ends_with_status_1_and_says_what_to_do(
    service: Clicktrail, shop: Site
) -> None:
    done = command(service, "check", shop.page("/", "<p>"), "--internal", "--watch", "1")
    assert done.returncode == 1
    assert "-> Paste the line that `clicktrail snippet KEY` shows" in done.stdout
    assert f"Open {shop.url}/ in a browser now; waiting up to 1 s" in done.stdout
    assert "\nbad   events      No event of " in done.stdout


def test_at_the_terminal_internal_addresses_need_to_be_asked_for(service: Clicktrail, shop: Site) -> None:
    assert command(service, "check", "http://127.0.0.1/").returncode == 1
    done = command(service, "check", shop.page("/", "<p>"))
    assert (done.returncode, shop.connections) == (2, [])
    assert "must be at port 80, 443" in done.stdout


def test_nothing_of_the_environment_reaches_the_terminal_unprinted(service: Clicktrail, shop: Site) -> None:
    html = '<script defer src="https://t.invalid/c.js" data-site="ct_pub_\x1b[31mred\u202e"></script>'
    done = command(service, "check", shop.page("/", html), "--internal")
    assert "\x1b" not in done.stdout and "\u202e" not in done.stdout
    assert "\N{REPLACEMENT CHARACTER}[31m" in done.stdout
