"""Small real servers on loopback that tests of the check ask, and a resolver that says what a test wants.

`OUTSIDE` stands for the public internet (tests list it), `INSIDE` for what nobody may reach.
"""

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from app.check.address import Allowed
from app.check.fetch import Way, trusted

OUTSIDE, INSIDE = "127.0.0.2", "127.0.0.1"

Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Site:
    """A web server: what it answers by path, what it was asked, and each connection that it took."""

    host: str
    pages: dict[str, Reply] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)  # method, path, ...
    connections: list[Any] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def page(self, path: str, body: str | bytes, status: int = 200, **headers: str) -> str:
        """Put something at a path; its URL. `headers` with _ for -."""
        given = {"content_type": "text/html; charset=utf-8"} | headers
        raw = body.encode() if isinstance(body, str) else body
        self.pages[path] = (status, {name.replace("_", "-"): value for name, value in given.items()}, raw)
        return self.url + path

    def redirect(self, path: str, to: str, status: int = 302) -> str:
        return self.page(path, b"", status, location=to)


@contextmanager
def serving(host: str = OUTSIDE, *, tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    site = Site(host)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length)
            named = {name.lower(): value for name, value in self.headers.items()}
            site.asked.append((self.command, self.path, named, body))
            status, headers, content = site.pages.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer  # noqa: N815 (the names that http.server calls)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def get_request(self) -> tuple[socket.socket, Any]:
            taken = super().get_request()
            site.connections.append(taken[1])
            return taken

        def handle_error(self, *_: object) -> None:
            """A client that hangs up is what some tests are about."""

    server = Server((host, 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def speaking(say: Callable[[socket.socket], None], host: str = OUTSIDE) -> Iterator[tuple[str, list[Any]]]:
    """A listener that does what `say` does with each connection; (its URL, the connections it took)."""
    taken: list[Any] = []
    listener = socket.create_server((host, 0))

    def serve() -> None:
        while True:
            try:
                connection, peer = listener.accept()
            except OSError:
                return
            taken.append(peer)
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                say(connection)
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://{host}:{listener.getsockname()[1]}", taken
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@dataclass
class Names:
    """A resolver: the answers of each name, one after the other, the last for ever; and who was asked for."""

    answers: dict[str, list[list[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        found = self.answers.get(host)
        if found is None:
            raise socket.gaierror(f"{host} is not known")
        return found.pop(0) if len(found) > 1 else found[0]


def way(
    *ports: int,
    listed: tuple[str, ...] = (OUTSIDE,),
    names: Names | None = None,
    trust: Callable[[], ssl.SSLContext] = trusted,
) -> Way:
    """A way to ask at these ports beside the usual ones, where `listed` stands for the public internet."""
    allowed = Allowed(networks=tuple(map(ip_network, listed)), ports=frozenset((80, 443, *ports)))
    return Way(allowed, names or Names(), trust)


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Callable[[], ssl.SSLContext]]:
    """(a server's side with a certificate for `name`, a client's that trusts it)."""
    key, made = folder / f"{name}.key", folder / f"{name}.pem"
    words = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name}"
    options = [
        *words.split(),
        "-addext",
        f"subjectAltName=DNS:{name}",
        "-keyout",
        str(key),
        "-out",
        str(made),
    ]
    subprocess.run(["openssl", *options], check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made, key)
    client = ssl.create_default_context(cafile=str(made))
    return server, lambda: client
