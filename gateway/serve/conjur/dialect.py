"""One request of the Conjur dialect, from its raw target to its answer."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.access.client_address import MalformedAddress
from gateway.login import RETRY_SECONDS
from gateway.printable import printable
from gateway.serve.body import BodyTooLarge, BodyTooSlow, check_announced
from gateway.serve.client import client_of
from gateway.serve.conjur.call import Call, Refusal, later, refused
from gateway.serve.conjur.endpoints import ENDPOINTS
from gateway.serve.conjur.paths import route_of
from gateway.serve.seldom import Seldom
from gateway.store.interface import StoreError

if TYPE_CHECKING:
    from gateway.runtime import Live
    from gateway.serve.target import RawTarget

log = logging.getLogger(__name__)


class Conjur:
    """Answers Conjur's clients."""

    def __init__(self) -> None:
        self._passwords = Seldom()

    async def answer(self, live: Live, request: web.BaseRequest, target: RawTarget) -> web.Response:
        """Answer one request, whatever goes wrong."""
        try:
            return await self._perform(live, request, target)
        except Refusal as refusal:
            return refused(refusal)
        except BodyTooLarge:
            return refused(Refusal(413))
        except BodyTooSlow:
            return refused(Refusal(408))
        except MalformedAddress:
            return refused(Refusal(400, code="bad_request", message="malformed X-Forwarded-For header"))
        except StoreError as error:
            log.error("%s: %s", printable(target.path, 200), error)
            return refused(later(503, RETRY_SECONDS))
        except Exception:
            log.exception("%s failed", printable(target.path, 200))
            return refused(Refusal(500))

    async def _perform(self, live: Live, request: web.BaseRequest, target: RawTarget) -> web.Response:
        route = route_of(target.path)
        if live.conjur is None or route is None:
            raise Refusal(404)
        if request.method not in route.action.methods:
            raise Refusal(405, headers={"Allow": ", ".join(route.action.methods)})
        check_announced(request, live.configuration.http.max_login_body)
        client = client_of(request, live.configuration.trusted_proxies)
        path = printable(target.path)
        call = Call(live, live.conjur, request, route, path, target.query, client, int(time.time()), self._passwords)
        return await ENDPOINTS[route.action](call)
