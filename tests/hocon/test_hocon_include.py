"""HOCON.md, Includes; only files, only below the directory of the configuration (issue 3)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.hocon import FileIncludes, HoconError, Limits, Value, parse, plain

Load = Callable[..., Value]


@pytest.fixture
def asked() -> list[Path]:
    """What was read, or asked for."""
    return []


@pytest.fixture
def load(tmp_path: Path, asked: list[Path]) -> Load:
    def read(path: Path) -> str:
        asked.append(path)
        return path.read_text("utf-8")

    def load(text: str, limits: Limits | None = None) -> Value:
        return parse(text, name="main", include=FileIncludes(tmp_path, read), limits=limits or Limits())

    return load


def write(directory: Path, **files: str) -> None:
    for name, text in files.items():
        path = directory / name.replace("__", "/").replace("_conf", ".conf")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


SYNTAX = [
    'include "x.conf"',
    'include file("x.conf")',
    'include required("x.conf")',
    'include required(file("x.conf"))',
    'include required(\n file( "x.conf" ) \n)',
    'include\n\n"x.conf"',
    'include # where\n "x.conf"',
    '{ include "x.conf" }',
    'include "x\\u002econf",',
]


@pytest.mark.parametrize("text", SYNTAX)
def test_syntax(text: str, load: Load, tmp_path: Path) -> None:
    write(tmp_path, x_conf="a = 1")
    assert plain(load(text)) == {"a": 1}


MERGING = [
    ('a = 1\ninclude "x.conf"', "a = 2", {"a": 2}),
    ('include "x.conf"\na = 1', "a = 2", {"a": 1}),
    ('a { b = 1 }\ninclude "x.conf"', "a { c = 2 }", {"a": {"b": 1, "c": 2}}),
    ('a { include "x.conf", d = 1 }', "c = 2", {"a": {"c": 2, "d": 1}}),
    ('a = [{ include "x.conf" }]', "c = 2", {"a": [{"c": 2}]}),
    ('a = [1]\ninclude "x.conf"', "a += 2", {"a": [1, 2]}),
    ('a { include "x.conf" }', "x = 10, y = ${x}", {"a": {"x": 10, "y": 10}}),
    ('a { include "x.conf" }\na { x = 42 }', "x = 10, y = ${x}", {"a": {"x": 42, "y": 42}}),
    ('a { include "x.conf" }\nz = 1', "y = ${z}", {"a": {"y": 1}, "z": 1}),
    ('a { include "x.conf" }\nz = 1', "y = ${z}, z = 2", {"a": {"y": 2, "z": 2}, "z": 1}),
    ('a.b { include "x.conf" }', "x = 1, y = ${x}", {"a": {"b": {"x": 1, "y": 1}}}),
    ('a = [{ include "x.conf" }]\nx = 5', "y = ${x}", {"a": [{"y": 5}], "x": 5}),
    ('y = ${x}\ninclude "x.conf"', "x = 1", {"x": 1, "y": 1}),
    ('p = a\ninclude "x.conf"', "p = ${p}b", {"p": "ab"}),
    ('c { include "x.conf" }', "# nothing\n", {"c": {}}),
    ('include "x.conf"', "\ufeffa = 1\r\n", {"a": 1}),
]


@pytest.mark.parametrize(("text", "included", "expected"), MERGING)
def test_merging_and_substitution(text: str, included: str, expected: object, load: Load, tmp_path: Path) -> None:
    write(tmp_path, x_conf=included)
    assert plain(load(text)) == expected


def test_names_are_relative_to_the_including_file(load: Load, tmp_path: Path, asked: list[Path]) -> None:
    write(tmp_path, sub__a_conf='include "b.conf"\ninclude "deep/c.conf"', sub__b_conf="b = 1", sub__deep__c_conf='include "../d.conf"')
    write(tmp_path, sub__d_conf="d = 1")
    assert plain(load('include "sub/a.conf"')) == {"b": 1, "d": 1}
    assert asked == [tmp_path / name for name in ("sub/a.conf", "sub/b.conf", "sub/deep/c.conf", "sub/d.conf")]


def test_substitutions_look_below_each_including_path(load: Load, tmp_path: Path) -> None:
    write(tmp_path, a_conf='inner { include "b.conf" }\nm = 1', b_conf="x = ${k}, y = ${m}, z = ${n}\nk = 0")
    assert plain(load('outer { include "a.conf" }\nk = 5, m = 5, n = 5')) == {
        "outer": {"inner": {"x": 0, "y": 1, "z": 5, "k": 0}, "m": 1}, "k": 5, "m": 5, "n": 5,
    }  # fmt: skip


def test_a_missing_file_is_nothing_but_the_caller_knows(load: Load, tmp_path: Path, asked: list[Path]) -> None:
    assert plain(load('a = 1\ninclude "none.conf"\nb = 2')) == {"a": 1, "b": 2}
    assert asked == [tmp_path / "none.conf"]


def test_positions_name_the_included_file(load: Load, tmp_path: Path) -> None:
    write(tmp_path, x_conf="\n  a = 1")
    a = load('a = 0\ninclude "x.conf"').value["a"]
    assert a.position == (str(tmp_path / "x.conf"), 2, 3)
    assert a.overridden.position == ("main", 1, 1)
    write(tmp_path, x_conf="\n  a = }")
    with pytest.raises(HoconError) as caught:
        load('include "x.conf"')
    assert caught.value.position == (str(tmp_path / "x.conf"), 2, 7)


REFUSED = [
    'include "/etc/passwd"',
    'include "../secret.conf"',
    'include "sub/../../secret.conf"',
    'include "link.conf"',
    'include "linked/secret.conf"',
    'include "http://localhost/x.conf"',
    'include "file:///etc/passwd"',
    'include file("/etc/passwd")',
    'include url("http://localhost/")',
    'include url(file("x"))',
    'include required(url("x"))',
    'include package("a:b")',
    'include file(required("x"))',
    'include ""',
    'include "."',
    'include "sub"',
    'include "a\\u0000b"',
    'include "latin.conf"',
    'include "unreadable.conf"',
    'include required("none.conf")',
    'include required(file("sub/none.conf"))',
    'include "*.conf"',
    'include "x?conf"',
    'include "[x].conf"',
    'include "list.conf"',
    'include "self.conf"',
    'include "one.conf"',
    'include "' + "x" * 5000 + '"',
    'include "x.conf',
    'include required("x.conf"',
    'include "x.conf" a = 1',
]


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str, load: Load, tmp_path: Path) -> None:
    root = tmp_path
    outside = tmp_path.parent / (tmp_path.name + "-outside")
    write(outside, secret_conf="planted = secret")
    write(root, x_conf="a = 1", sub__x_conf="a = 1", list_conf="[1]", self_conf='include "self.conf"')
    write(root, one_conf='include "two.conf"', two_conf='a { include "one.conf" }')
    (root / "link.conf").symlink_to(outside / "secret.conf")
    (root / "linked").symlink_to(outside)
    (root / "latin.conf").write_bytes(b"a = \xe9")
    (root / "unreadable.conf").symlink_to("unreadable.conf")
    with pytest.raises(HoconError) as caught:
        load(text)
    assert "secret" not in caught.value.message and caught.value.position.line >= 1


def test_links_that_stay_inside_are_followed(load: Load, tmp_path: Path, asked: list[Path]) -> None:
    """A ConfigMap: the caller is told the path with the links, so that it can watch them."""
    write(tmp_path, **{"..2026__x_conf": 'include "y.conf"', "..2026__y_conf": "a = 1"})
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "x.conf").symlink_to("..data/x.conf")
    (tmp_path / "y.conf").symlink_to("..data/y.conf")
    assert plain(load('include "x.conf"')) == {"a": 1}
    assert asked == [tmp_path / "x.conf", tmp_path / "y.conf"]


def test_the_same_file_twice_is_no_cycle(load: Load, tmp_path: Path) -> None:
    write(tmp_path, x_conf="a = ${?b}, c += 1")
    assert plain(load('p { include "x.conf" }\nq { include "x.conf", b = 2 }')) == {"p": {"c": [1]}, "q": {"a": 2, "b": 2, "c": [1]}}


def test_limits_count_all_texts_together(load: Load, tmp_path: Path) -> None:
    write(tmp_path, x_conf="a = " + "x" * 600)
    main = 'p { include "x.conf" }\nq { include "x.conf" }'
    assert load(main, Limits(size=1300))
    with pytest.raises(HoconError, match="more than 1200 bytes"):
        load(main, Limits(size=1200))
    write(tmp_path, x_conf="{" + "a {" * 60 + "}" * 61)
    with pytest.raises(HoconError, match="nested too deeply"):
        load("b {" * 60 + 'include "x.conf"' + "}" * 60)
    write(tmp_path, x_conf="a = 1, b = 2")
    with pytest.raises(HoconError, match="more than 5 values"):
        load('p { include "x.conf" }\nq { include "x.conf" }', Limits(values=5))


def test_a_long_chain_of_files_ends(load: Load, tmp_path: Path) -> None:
    for number in range(40):
        write(tmp_path, **{f"f{number}_conf": f'include "f{number + 1}.conf"\na{number} = 1'})
    with pytest.raises(HoconError, match="too many files"):
        load('include "f0.conf"')
    assert len(plain(load('include "f25.conf"'))) == 15


@pytest.mark.parametrize("text", ['include "none.conf"\n', 'a { include "empty.conf" }\n'])
def test_files_that_give_nothing_count(text: str, load: Load, tmp_path: Path, asked: list[Path]) -> None:
    write(tmp_path, empty_conf="")
    assert plain(load(text * 1000)) in ({}, {"a": {}})
    with pytest.raises(HoconError, match="more than 1000 include statements") as caught:
        load(text * 10_000)
    assert caught.value.position.line == 1001 and len(asked) == 2000
    with pytest.raises(HoconError, match="more than 2 include"):
        load(text * 3, Limits(includes=2))


def test_include_statements_of_included_files_count(load: Load, tmp_path: Path) -> None:
    write(tmp_path, x_conf='include "y.conf"\ninclude "y.conf"', y_conf="")
    assert load('include "x.conf"', Limits(includes=3))
    with pytest.raises(HoconError, match="more than 2 include"):
        load('include "x.conf"', Limits(includes=2))
