"""Pages for a browser: a small web server that answers under any host name, with what a test puts there.

Below `/t/` it is a proxy to Clicktrail, as a site's own server would be: that is the first-party path.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tests.conftest import new_client

#: What a proxy does not pass on.
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server"}

#: What else browsers ask for, everywhere.
ICON = "/favicon.ico"


@dataclass
class Site:
    """`pages` by path; one in `hanging` is answered when the test says so; `asked` are the targets so far."""

    behind: str  # where Clicktrail is
    port: int = 0
    pages: dict[str, str] = field(default_factory=dict)
    hanging: dict[str, threading.Event] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    shut: bool = False  # whether nothing can be stored at present
    mute: bool = False  # whether answers are lost on the way
    client: httpx.Client = field(default_factory=lambda: new_client(timeout=30))

    def at(self, path: str, host: str = "shop.localhost") -> str:
        return f"http://{host}:{self.port}{path}"

    def hang(self, path: str) -> threading.Event:
        self.hanging[path] = threading.Event()
        return self.hanging[path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        self.site.asked.append(self.path)
        path = self.path.partition("?")[0]
        if path in self.site.hanging:
            self.site.hanging[path].wait(60)
        if path.startswith("/t/"):
            return self.pass_on()
        found = self.site.pages.get(path)
        kind = "application/javascript" if path.endswith(".js") else "text/html"
        self.reply(
            404 if found is None else 200,
            ("nothing is here" if found is None else found).encode(),
            [("Content-Type", f"{kind}; charset=utf-8")],
        )

    def do_POST(self) -> None:
        if self.path.startswith("/t/"):
            self.site.asked.append(self.path)
            return self.pass_on()
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.do_GET()

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.site.shut and self.command == "POST":
            return self.reply(503, b"", [])
        headers = [(name, value) for name, value in self.headers.items() if name.lower() not in HOP]
        answer = self.site.client.request(
            self.command,
            self.site.behind + self.path.removeprefix("/t"),
            headers=[*headers, ("Host", self.headers["host"])],
            content=body,
        )
        if self.site.mute and self.command == "POST":
            self.close_connection = True
            return None
        kept = [(n, v) for n, v in answer.headers.multi_items() if n not in (*HOP, "content-encoding")]
        self.reply(answer.status_code, answer.content, kept)

    def reply(self, status: int, body: bytes, headers: list[tuple[str, str]]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A browser that went away is no fault of the server's."""


@contextmanager
def serving(behind: str) -> Iterator[Site]:
    site = Site(behind)
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"site": site}))
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield site
    for event in site.hanging.values():
        event.set()
    server.shutdown()
    thread.join()
    server.server_close()
    site.client.close()
