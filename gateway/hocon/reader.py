"""The one way in: text to values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from .client import ClientParser
from .include import Include
from .parser import Allowance, Parser
from .resolve import Resolver
from .tabs import TabbedSource
from .values import Limits, Source, Value

Dialect = Literal["hocon", "pyhocon"]
LIMITS: Final = Limits()


def parse(
    text: str,
    *,
    name: str = "",
    dialect: Dialect = "hocon",
    limits: Limits = LIMITS,
    environment: Mapping[str, str] | None = None,
    optional: Mapping[str, str] | None = None,
    include: Include | None = None,
    resolve: bool = True,
) -> Value:
    """The object that a text stands for.

    :param name: how positions name the text: its path.
    :param dialect: ``hocon`` reads by the specification; ``pyhocon`` as the ClearML client's own parser reads.
    :param environment: where substitutions look after the text itself; None: nowhere.
    :param optional: where those of the form ``${?x}`` look instead; None: in ``environment``, too.
    :param include: what answers include statements; None, and in the dialect ``pyhocon``: they are errors.
    :param resolve: whether substitutions are computed; else they stay, as ``Unresolved``.
    :raises HoconError: for anything that cannot be read, within time linear in the limits.
    """
    source = Source(text, name)
    try:
        allowance = Allowance(limits)
        allowance.take_text(source)
        client = dialect == "pyhocon"
        parser = ClientParser(TabbedSource(text, name), allowance) if client else Parser(source, allowance, include)
        root = Value(parser.parse(), source, 0)
        if resolve and parser.delayed:
            Resolver(root, limits, environment, optional, client=client).run()
    except RecursionError:
        raise source.error("nested too deeply", 0) from None
    return root
