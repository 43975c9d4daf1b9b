"""A slow, obvious evaluator of access rules, after the text of forward-auth.md 3.5 and 10; shares no code with ours.

Rules are the plain tables of a configuration. A person is None or ``{"user": name, "groups": [names]}``. The verdict is
``pass``, ``login`` or ``no``.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
import urllib.parse
from typing import Any

STRICTNESS = {"bypass": 0, "authenticated": 1, "two_factor": 2, "deny": 3}


def readings(raw: str) -> list[str]:
    """What the contract asks for at least."""
    found = [clean(urllib.parse.unquote(raw))]
    low = raw.lower()
    if "%2f" in low or "%2e" in low or ";" in raw:
        found.append(raw)
    if ";" in raw:
        found.append(clean(urllib.parse.unquote("/".join(part.split(";")[0] for part in raw.split("/")))))
    return found


def clean(path: str) -> str:
    """By the standard library, but for the slash at the end."""
    normal = "/" + posixpath.normpath(path).lstrip("/")
    last = path.split("/")[-1]
    return normal + "/" if last in ("", ".", "..") and normal != "/" else normal


def verdict(rules: list[dict[str, Any]], default: str, request: dict[str, Any], person: dict[str, Any] | None) -> str:
    """The strictest verdict over all readings."""
    each = [one(rules, default, {**request, "path": path}, person) for path in readings(request["raw_path"])]
    return max(each, key=["pass", "login", "no"].index)


def one(rules: list[dict[str, Any]], default: str, request: dict[str, Any], person: dict[str, Any] | None) -> str:
    """The verdict of one reading."""
    if person is not None:
        policy = next((rule["policy"] for rule in rules if meets(rule, request, person) == "yes"), default)
        return "pass" if STRICTNESS[policy] < 2 else "no"
    waiting = []
    policy = default
    for rule in rules:
        met = meets(rule, request, None)
        if met == "perhaps":
            waiting.append(rule["policy"])
        if met == "yes":
            policy = rule["policy"]
            break
    possible = [*waiting, policy]
    if waiting or policy == "authenticated":
        return "login" if any(STRICTNESS[name] < 2 for name in possible) else "no"
    return "pass" if policy == "bypass" else "no"


def meets(rule: dict[str, Any], request: dict[str, Any], person: dict[str, Any] | None) -> str:
    """``yes``, ``no``, or ``perhaps`` where only a login can tell."""
    wanted: list[list[list[str]]] = [rule.get("subject", [])]
    if rule.get("domain") or rule.get("domain_regex"):
        named = host_matches(rule, request["host"])
        if named is None:
            return "no"
        wanted.append(named)
    if rule.get("resources"):
        named = regex_matches(rule["resources"], request["path"], 0)
        if named is None:
            return "no"
        wanted.append(named)
    if rule.get("methods") and request["method"] not in rule["methods"]:
        return "no"
    if rule.get("networks") and not near(rule, request["ip"]):
        return "no"
    if rule.get("query") and not any(all(asked(rule, c, request["query"]) for c in group) for group in rule["query"]):
        return "no"
    wanted = [alternatives for alternatives in wanted if alternatives]
    if not wanted:
        return "yes"
    if person is None:
        return "perhaps"
    holds = {f"user:{person['user'].lower()}"} | {f"group:{name.lower()}" for name in person["groups"]}
    good = all(any(all(text.lower() in holds for text in group) for group in alternatives) for alternatives in wanted)
    return "yes" if good else "no"


def host_matches(rule: dict[str, Any], host: str) -> list[list[str]] | None:
    """None: no. Else what is asked of the person, empty: nothing."""
    for domain in rule.get("domain", []):
        if domain.startswith("*."):
            if host.endswith(domain[1:].lower()):
                return []
        elif host == domain.lower():
            return []
    return regex_matches(rule.get("domain_regex", []), host, re.IGNORECASE)


def regex_matches(patterns: list[str], text: str, flags: int) -> list[list[str]] | None:
    """None: no. Else what is asked of the person, empty: nothing."""
    asked = []
    for pattern in patterns:
        found = re.search(pattern, text, flags)
        if found:
            named = [f"{key.lower()}:{value}" for key, value in found.groupdict().items()]
            if not named:
                return []
            asked.append(named)
    return asked or None


def near(rule: dict[str, Any], address: str | None) -> bool:
    """Whether the client is in a network; nobody knows where an unknown one is, so it is wherever that forbids."""
    if address is None:
        return bool(rule["policy"] == "deny")
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in rule["networks"])


def asked(rule: dict[str, Any], condition: dict[str, str], query: str) -> bool:
    """Whether the query meets a condition."""
    values = [value for key, value in urllib.parse.parse_qsl(query, keep_blank_values=True) if key == condition["key"]]
    operator, wanted = condition.get("operator", "equal"), condition.get("value", "")
    if operator in ("present", "absent"):
        return (operator == "present") == bool(values)
    if not values:
        return operator.startswith("not")
    results = []
    for value in values:
        same = value == wanted if operator.endswith("equal") else bool(re.search(wanted, value))
        results.append(same != operator.startswith("not"))
    return any(results) if rule["policy"] == "deny" else all(results)
