"""Passes octets on to a server and keeps what was asked, so that tests can count requests as they came by the wire."""

from __future__ import annotations

import re
import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

HEAD = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.1\r\n(.*?)\r\n\r\n", re.DOTALL)
SCHEME = re.compile(rb"^authorization: (\w+)", re.IGNORECASE | re.MULTILINE)


@dataclass
class Recorder:
    port: int
    _connections: list[bytearray] = field(default_factory=list)

    @property
    def requests(self) -> list[str]:
        """``METHOD target scheme`` of each, in order within a connection; the scheme is Authorization's."""
        return [_shown(head) for sent in self._connections for head in HEAD.finditer(bytes(sent))]

    @property
    def heads(self) -> list[str]:
        """The headers of each, as they were written."""
        return [head[3].decode("latin-1") for sent in self._connections for head in HEAD.finditer(bytes(sent))]

    def forget(self) -> None:
        self._connections.clear()


def _shown(head: re.Match[bytes]) -> str:
    scheme = SCHEME.search(head[3])
    return b" ".join([head[1], head[2], scheme[1] if scheme else b"-"]).decode()


@contextmanager
def recording(target: int) -> Iterator[Recorder]:
    """A recorder in front of 127.0.0.1:``target``; clients must have closed their connections at the end."""
    connections: list[bytearray] = []

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            sent = bytearray()
            connections.append(sent)
            with socket.create_connection(("127.0.0.1", target)) as server:
                other = {self.request: server, server: self.request}
                while True:
                    for ready in select.select(list(other), [], [])[0]:
                        data = ready.recv(65536)
                        if not data:
                            return
                        if ready is self.request:
                            sent += data
                        other[ready].sendall(data)

    class Listener(socketserver.ThreadingTCPServer):
        block_on_close = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A side that resets its connection is no news."""

    with Listener(("127.0.0.1", 0), Relay) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield Recorder(listener.server_address[1], connections)
        finally:
            listener.shutdown()
            thread.join()
