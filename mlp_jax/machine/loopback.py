"""Serve one read-only page at an address of this machine alone, to those who know its token, and to no other page.

Invariant: the last page that was shown is served, complete; any other path, host or method is refused, and so is a
client that takes too long, and one connection too many.
"""

import contextlib
import hashlib
import os
import secrets
import socket
import socketserver
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "127.0.0.1"
POLL = 2.0  # seconds between two requests of a page for a newer one
PATIENCE = 10.0  # seconds that a browser has to send its request and to read the answer
MOST = 32  # connections at a time: each takes a thread and an open file of the study's process
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the token is in the address
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


class Loopback:
    """A server of one page, from now until it is closed.

    Raises:
        OSError: another program has the port.
    """

    def __init__(self, page: str, port: int = 0) -> None:
        self._path, self._asked = f"/{secrets.token_urlsafe(16)}/", -float("inf")
        self.show(page)
        handler = type("Handler", (_Handler,), {"of": self})
        try:
            self._server = _Server((HOST, port), handler)
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else "no port has this number"
            raise OSError(f"can't serve at port {port}: {why}; give another --port, or none") from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="loopback", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """The address of the page, with its token."""
        return f"http://{HOST}:{self._server.server_port}{self._path}"

    def show(self, page: str) -> None:
        """Serve this page from now on."""
        body = page.encode()
        self._page = (body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    def linger(self) -> None:
        """Wait long enough for browsers that have asked recently to get the last page."""
        if time.monotonic() - self._asked < 2 * POLL:
            time.sleep(1.5 * POLL)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, host: str) -> tuple[HTTPStatus, bytes, str]:
        """Return the answer to a request for `path`: status, content, and the tag of the page."""
        port = self._server.server_port
        if host not in (f"{HOST}:{port}", f"localhost:{port}"):  # another name that was made to point here
            return HTTPStatus.FORBIDDEN, b"another host\n", ""
        if not secrets.compare_digest(path.encode(), self._path.encode()):
            return HTTPStatus.NOT_FOUND, b"nothing here\n", ""
        self._asked = time.monotonic()
        return HTTPStatus.OK, *self._page


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere it would share the port with another program

    def __init__(self, *arguments: Any) -> None:
        self._since: dict[socket.socket, float] = {}
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, unless there are too many."""
        if len(self._since) < MOST:
            self._since[request] = time.monotonic()
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        self._since.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End, a few times a second, the connections of those who take too long."""
        for request, since in list(self._since.items()):
            if time.monotonic() - since > PATIENCE:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def server_bind(self) -> None:
        """Take the port without asking the network for this machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_port = self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors: a browser that closes a connection is none."""


class _Handler(BaseHTTPRequestHandler):
    of: Loopback
    timeout = PATIENCE
    server_version, sys_version = "mlp-jax", ""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return lambda: self._send(HTTPStatus.METHOD_NOT_ALLOWED, b"read only\n", {"Allow": "GET, HEAD"})
        raise AttributeError(name)

    def do_GET(self) -> None:
        """Send the page, or say that the browser has the newest one."""
        status, body, tag = self.of.answer(self.path, self.headers.get("Host", ""))
        if tag and self.headers.get("If-None-Match") == tag:
            status, body = HTTPStatus.NOT_MODIFIED, b""
        self._send(status, body, {"ETag": tag} if tag else {})

    do_HEAD = do_GET

    def _send(self, status: HTTPStatus, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *_: Any) -> None:
        """Log nothing: the terminal shows the study."""
