"""A page on the loopback address: whole for who knows the token, refused in every other way, gone once it is closed."""

import contextlib
import http.client
import socket
import threading
import time
import urllib.parse

import pytest

from mlp_jax.machine import loopback
from mlp_jax.machine.loopback import Loopback


@pytest.fixture
def server():
    made = Loopback("<p>one</p>")
    yield made
    made.close()


def ask(
    server: Loopback, method: str = "GET", path: str = "", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    parts = urllib.parse.urlsplit(server.address)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    connection.request(method, path or parts.path, headers=headers)
    answer = connection.getresponse()
    return answer, answer.read()


def test_the_page_is_served_until_another_is_shown(server):
    answer, body = ask(server)
    assert (answer.status, body) == (200, b"<p>one</p>")
    tag = answer.headers["ETag"]
    again, nothing = ask(server, **{"If-None-Match": tag})
    assert (again.status, nothing) == (304, b"")
    server.show("<p>zwei: ä</p>")
    other, body = ask(server, **{"If-None-Match": tag})
    assert (other.status, body.decode()) == (200, "<p>zwei: ä</p>")
    head, body = ask(server, "HEAD")
    assert (head.status, head.headers["Content-Length"], body) == (200, "15", b"")


def test_only_this_machine_is_listened_to_and_tokens_differ(server):
    parts = urllib.parse.urlsplit(server.address)
    assert parts.hostname == "127.0.0.1"
    assert server._server.server_address[0] == "127.0.0.1"
    other = Loopback("")
    other.close()
    tokens = [urllib.parse.urlsplit(each.address).path.strip("/") for each in (server, other)]
    assert tokens[0] != tokens[1]
    assert all(len(token) >= 22 for token in tokens), "128 bits"


@pytest.mark.parametrize("path", ["/", "/x/", "/favicon.ico", "TOKEN?", "TOKEN..", "TOKEN/", "tOKEN", "//", "/%2e%2e/"])
def test_another_path_is_not_found(server, path):
    own = urllib.parse.urlsplit(server.address).path
    asked = path.replace("TOKEN", own).replace("tOKEN", own.swapcase())
    answer, body = ask(server, path=asked)
    assert answer.status == 404
    assert b"one" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "ANYTHING"])
def test_another_method_is_refused(server, method):
    answer, body = ask(server, method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert b"one" not in body


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:PORT", "127.0.0.1", "127.0.0.1:1", "127.0.0.2:PORT", ""]
)
def test_a_name_that_someone_made_point_here_is_refused(server, host):
    port = str(urllib.parse.urlsplit(server.address).port)
    answer, body = ask(server, Host=host.replace("PORT", port))
    assert answer.status == 403
    assert b"one" not in body
    assert ask(server, Host=f"localhost:{port}")[0].status == 200


def test_other_pages_may_neither_read_nor_frame_it_nor_learn_its_address(server):
    headers = ask(server, Origin="https://evil.example")[0].headers
    assert "Access-Control-Allow-Origin" not in headers
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_a_port_in_use_and_one_that_there_is_not_are_refused(server):
    port = urllib.parse.urlsplit(server.address).port
    with pytest.raises(OSError, match=f"can't serve at port {port}: .*; give another --port, or none"):
        Loopback("", port)
    for none in (-1, 65536):
        with pytest.raises(OSError, match=f"can't serve at port {none}"):
            Loopback("", none)


def test_one_who_says_nothing_keeps_no_one_waiting_and_the_port_is_free_once_it_is_closed():
    server = Loopback("<p>one</p>")
    port = urllib.parse.urlsplit(server.address).port
    with socket.create_connection(("127.0.0.1", port)):
        assert ask(server)[0].status == 200
        server.close()
    with pytest.raises(OSError, match="refused"):
        ask(server)
    Loopback("", port or 0).close()


def test_one_who_says_little_at_a_time_is_not_listened_to_for_ever(server, monkeypatch):
    monkeypatch.setattr(loopback, "PATIENCE", 0.3)
    with socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(server.address).port), 5) as slow:
        slow.settimeout(0.05)
        answer, end = None, time.monotonic() + 3
        while answer is None and time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                slow.sendall(b"G")
                answer = slow.recv(1)
    assert answer == b"", "the connection has ended"


def test_many_who_say_nothing_take_few_threads_and_are_sent_away(server, monkeypatch):
    monkeypatch.setattr(loopback, "MOST", 2)
    port, before = urllib.parse.urlsplit(server.address).port, threading.active_count()
    quiet = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(6)]
    assert [each.recv(1) for each in quiet[2:]] == [b""] * 4
    assert threading.active_count() <= before + 2
    monkeypatch.setattr(loopback, "PATIENCE", 0.0)
    assert [each.recv(1) for each in quiet[:2]] == [b""] * 2
    monkeypatch.undo()
    assert ask(server)[0].status == 200
    for each in quiet:
        each.close()


def test_it_lingers_only_for_those_who_have_asked(server, monkeypatch):
    waited = []
    monkeypatch.setattr(loopback.time, "sleep", waited.append)
    server.linger()
    assert waited == []
    ask(server)
    server.linger()
    assert waited == [1.5 * loopback.POLL]
