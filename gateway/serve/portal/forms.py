"""What forms and programs send: ``application/x-www-form-urlencoded`` or JSON, within the limits of logins."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from aiohttp import web

from gateway.printable import printable
from gateway.serve.body import BodyTooLarge, BodyTooSlow, UnusableJson, parse_object, read_body

if TYPE_CHECKING:
    from gateway.config.schema.process import Http

MOST_FIELDS: Final = 50
_LONGEST_NAME: Final = 64
"""Characters of a field's name that are told."""
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""Half a character, which JSON may hold and nothing else."""
JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"


class Refusal(Exception):
    """An answer that is an error; title, text and links (titles and URLs) are for the person who asked."""

    def __init__(
        self,
        status: int,
        text: str,
        *,
        title: str = "",
        links: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.title = title or "That did not work"
        self.text = text
        self.links = links
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class Fields:
    """Fields by name. What is missing is empty; what has another type than asked for is refused with 400."""

    values: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def text(self, name: str) -> str:
        """One text."""
        value = self.values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str) or _SURROGATE.search(value):
            raise Refusal(400, f"{name}: expected a text")
        return value

    def flag(self, name: str) -> bool:
        """Yes or no; a checkbox that is not checked is not sent."""
        value = self.values.get(name, False)
        if isinstance(value, str):
            return value.lower() in ("on", "true", "1", "yes")
        if not isinstance(value, bool):
            raise Refusal(400, f"{name}: expected true or false")
        return value

    def texts(self, name: str) -> list[str]:
        """Several texts: a list, or a text with blanks or commas between them."""
        value = self.values.get(name)
        if isinstance(value, list):
            return [Fields({name: item}).text(name) for item in value]
        return self.text(name).replace(",", " ").split()

    def number(self, name: str) -> float | None:
        """A finite number, None where there is none."""
        value = self.values.get(name)
        if value is None or value == "":
            return None
        try:
            number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise Refusal(400, f"{name}: expected a number")
        return number


def kind_of(request: web.BaseRequest) -> str:
    """Media type of the body, without parameters."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def speaks_json(request: web.BaseRequest) -> bool:
    """Whether whoever asks is a program: it sent JSON, or takes no HTML and has sent no form."""
    if kind_of(request) == JSON:
        return True
    accept = request.headers.get("Accept", "").lower()
    if "text/html" in accept:
        return False
    return JSON in accept or request.method != "POST"


async def read_fields(request: web.BaseRequest, http: Http, known: Collection[str]) -> Fields:
    """Read the fields of a POST. Raises Refusal, also where one is not known: ``host`` must not make a token for all
    hosts.
    """
    if any(value.strip().lower() != "identity" for value in request.headers.getall("Content-Encoding", [])):
        raise Refusal(415, "a body must not be compressed")
    kind = kind_of(request)
    if kind not in (JSON, FORM) and request.body_exists:
        raise Refusal(415, f"expected {FORM} or {JSON}", headers={"Accept-Post": f"{FORM}, {JSON}"})
    try:
        body = await read_body(request, http.max_login_body)
    except BodyTooLarge:
        raise Refusal(413, f"a body may have {http.max_login_body} bytes") from None
    except BodyTooSlow:
        raise Refusal(408, "the body did not come in time") from None
    values = _of_json(body, http) if kind == JSON else _of_form(body)
    unknown = next((name for name in values if name not in known), None)
    if unknown is not None:
        there = f"there are {', '.join(known)}" if known else "there are none"
        raise Refusal(400, f"unknown field {printable(unknown, _LONGEST_NAME)}; {there}")
    return Fields(values)


def _of_json(body: bytes, http: Http) -> Mapping[str, Any]:
    try:
        return parse_object(body, max_depth=http.max_json_depth, max_items=http.max_json_items)
    except UnusableJson as error:
        raise Refusal(400, str(error)) from None


def _of_form(body: bytes) -> Mapping[str, Any]:
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        raise Refusal(400, "the form cannot be read") from None
    values = dict(pairs)
    if len(values) != len(pairs):
        raise Refusal(400, "a field is there twice")
    return values
