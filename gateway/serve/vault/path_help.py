"""What ``vault path-help`` prints (vault.md 9)."""

from __future__ import annotations

from gateway.serve.vault.reply import VaultError
from gateway.serve.vault.routes import MOUNT, Match, Route, Routes

_ROOTS = ("sys", "auth/token")


def help_text(path: str, match: Match | None, routes: Routes, *, mount: str | None) -> str:
    """Help on a path, or on all paths of a backend where ``path`` is its root. Raises VaultError 404."""
    if match is not None:
        return _of_route(path, match.route)
    prefix = MOUNT if path == f"auth/{mount}" else f"{path}/" if path in _ROOTS else ""
    if not prefix:
        raise VaultError(404, f'no handler for route "{path}". route entry not found.')
    return _of_backend(prefix, [route for route in routes.all if route.pattern.startswith(prefix)])


def _of_route(path: str, route: Route) -> str:
    lines = [f"Request:        {path}", f"Matching Route: {route.pattern}", "", route.help]
    if route.fields:
        lines += ["", "## PARAMETERS"]
    for field in sorted(route.fields, key=lambda each: each.name):
        lines += ["", f"    {field.name} ({field.type})", f"        {field.help}"]
    operations = ", ".join(sorted(operation.value for operation in route.handlers))
    return "\n".join([*lines, "", "## OPERATIONS", "", f"    {operations}", ""])


def _of_backend(prefix: str, routes: list[Route]) -> str:
    lines = ["## PATHS", "", "The following paths are supported by this backend:"]
    for route in sorted(routes, key=lambda each: each.pattern):
        lines += ["", f"    {route.pattern.removeprefix(prefix)}", f"        {route.help}"]
    return "\n".join([*lines, ""])
