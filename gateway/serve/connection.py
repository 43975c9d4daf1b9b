"""The HTTP/1.1 connection: aiohttp's, but for what it says when a request cannot be read or answered."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

log = logging.getLogger(__name__)


class Connection(RequestHandler):
    """One client's connection.

    aiohttp repeats the offending bytes, in its answer and in the log, and an Authorization header may be among them.
    """

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer in one line, close the connection, and keep what was sent to ourselves."""
        if isinstance(exc, HttpProcessingError):
            log.info("unreadable request from %s: %s", request.remote, type(exc).__name__)
        else:
            log.error("a request failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun when it failed")
        text = "Bad Request\n" if status < 500 else "Internal Server Error\n"
        response = web.Response(status=status, text=text, headers={"Server": "ldap-gateway"})
        response.force_close()
        return response


class Server(web.Server):
    """Makes our connections."""

    def set_keepalive(self, seconds: float) -> None:
        """How long connections that are accepted from now on may idle."""
        self._kwargs["keepalive_timeout"] = seconds

    def __call__(self) -> Connection:
        """The protocol of one accepted connection."""
        return Connection(self, loop=self._loop, **self._kwargs)
