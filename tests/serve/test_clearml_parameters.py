"""clearml.md 2: parameters are the JSON body, overlaid by the query string, overlaid by form fields."""

from __future__ import annotations

import time

import pytest

from gateway.serve.clearml.errors import ApiError
from gateway.serve.clearml.parameters import parameters

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=xx"

# query, body, content type, expected
PARAMETERS = [
    ("", b"", "", {}),
    ("", b"null", JSON, {}),
    ("", b"  ", JSON, {}),
    ("", b'{"a":1}', JSON, {"a": 1}),
    ("", b'{"a":1}', "text/plain", {"a": 1}),  # parsed whatever the content type
    ("", b'{"a":1}', FORM, {"a": 1}),  # [C] curl -d without a content type
    ("a=2", b'{"a":1,"b":1}', JSON, {"a": 2, "b": 1}),
    ("a=2", b"a=3&b=x", FORM, {"a": 3, "b": "x"}),
    ("expiration_sec=60", b"", "", {"expiration_sec": 60}),
    ("a=1.5", b"", "", {"a": 1.5}),
    ("a=1.5.0", b"", "", {"a": "1.5.0"}),
    ("a=-1", b"", "", {"a": "-1"}),
    ("a=true&b=True&c=TRUE&d=tRUE", b"", "", {"a": True, "b": True, "c": True, "d": "tRUE"}),
    ("a=false&b=False&c=FALSE", b"", "", {"a": False, "b": False, "c": False}),
    ("types=config", b"", "", {"types": "config"}),  # one value is no list; endpoints take it as a list of one
    ("types=config&types=config", b"", "", {"types": ["config", "config"]}),
    ("types[]=config", b"", "", {"types": ["config"]}),
    ("types%5B%5D=a&types%5B%5D=b", b"", "", {"types": ["a", "b"]}),
    ("a.b=1&a.c=2", b"", "", {"a": {"b": 1, "c": 2}}),
    ("a=1&a.b=2", b"", "", {"a": 1}),  # a value is not replaced by a table
    ("a=", b"", "", {"a": ""}),
    ("a=%C3%BC+x", b"", "", {"a": "ü x"}),
    ("a=%FF", b"", "", {"a": "\N{REPLACEMENT CHARACTER}"}),
    ("", b'--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\n5\r\n--xx--\r\n', MULTIPART, {"a": 5}),
]


@pytest.mark.parametrize(("query", "body", "content_type", "expected"), PARAMETERS)
def test_parameters(query: str, body: bytes, content_type: str, expected: dict[str, object]) -> None:
    assert parameters(query, body, content_type, max_depth=64, max_items=1000) == expected


# body, content type, subcode
REFUSED = [
    (b"{", JSON, 0),  # clearml.md 2.2: malformed JSON
    (b"a=1", JSON, 0),
    (b"a=1", "", 0),
    (b"[1]", JSON, 12),  # [C]: JSON that is no object
    (b'"x"', JSON, 12),
    (b"5", JSON, 12),
    (b"[" * 100_000, JSON, 0),
    (b"[" * 65 + b"]" * 65, JSON, 0),
    (b'{"a":' * 65 + b"1" + b"}" * 65, JSON, 0),
    (b'{"a":[' + b"1," * 1010 + b"1]}", JSON, 0),
    (b'{"a":NaN}', JSON, 0),
    (b'{"a":1e999}', JSON, 0),
    (b'{"a":' + b"1" * 5000 + b"}", JSON, 0),
    (b"\xff\xfe{", JSON, 0),
    (b'--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\n5\r\n' * 1001, MULTIPART, 0),
    (b"x", "multipart/form-data", 0),
    (b"&".join(b"a=1" for _ in range(1001)), FORM, 0),
]


PART = b'--xx\r\nContent-Disposition: form-data; name="a"'
# Bodies that took the standard library's mail reader seconds or a recursion error.
FORMS = [
    b'--xx\r\nContent-Disposition: form-data; name="' + b'"' * 60_000 + b"\r\n\r\nx\r\n--xx--",
    PART + b"; a=b" * 20_000 + b"\r\n\r\nx\r\n--xx--",
    b"--xx\r\nContent-Disposition: " + b"(" * 5000 + b"\r\n\r\nx\r\n--xx--",
    b"--xx\r\nContent-Type: multipart/mixed; boundary=xx\r\n\r\n" * 900,
    b"--xx\r\n\r\nx\r\n" * 900,
]


@pytest.mark.parametrize("body", FORMS)
def test_forms_are_read_in_no_time(body: bytes) -> None:
    started = time.process_time()
    parameters("", body, MULTIPART, max_depth=64, max_items=1000)
    assert time.process_time() - started < 5, "a deadline, not a measurement: one of them took eight seconds"


@pytest.mark.parametrize(("body", "content_type", "subcode"), REFUSED)
def test_refused(body: bytes, content_type: str, subcode: int) -> None:
    with pytest.raises(ApiError) as refused:
        parameters("", body, content_type, max_depth=64, max_items=1000)
    assert (refused.value.code, refused.value.subcode) == (400, subcode)
