"""All policies of one configuration, and the access lists that tokens get of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.grants.policies.acl import ROOT, Acl, compile_rules
from gateway.grants.policies.document import PolicyError
from gateway.grants.policies.policy import DENIED, Rule, parse

ROOT_POLICY: Final = "root"
"""The policy that may do everything; it has no text."""
DEFAULT_POLICY: Final = "default"
DEFAULT_TEXT: Final = """\
path "auth/token/lookup-self" {
    capabilities = ["read"]
}
path "auth/token/renew-self" {
    capabilities = ["update"]
}
path "auth/token/revoke-self" {
    capabilities = ["update"]
}
path "sys/capabilities-self" {
    capabilities = ["update"]
}
path "sys/leases/renew" {
    capabilities = ["update"]
}
path "sys/leases/lookup" {
    capabilities = ["update"]
}
path "sys/wrapping/wrap" {
    capabilities = ["update"]
}
path "sys/wrapping/lookup" {
    capabilities = ["update"]
}
path "sys/wrapping/unwrap" {
    capabilities = ["update"]
}
"""
"""Policy ``default`` until the configuration gives another text (vault.md 9.1)."""
_CACHED: Final = 1024
"""Access lists kept; of more, those made first are made anew."""

Key = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]


class PolicyBook:
    """Policies by name. Names are folded; a policy that does not exist grants nothing (vault.md 6)."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """``texts`` are documents by name. Raises ``PolicyError`` naming the policy."""
        self._texts = {DEFAULT_POLICY: DEFAULT_TEXT} | {fold(name): text for name, text in texts.items()}
        if ROOT_POLICY in self._texts:
            raise PolicyError("policy root cannot be written")
        self._rules: dict[str, tuple[Rule, ...]] = {}
        for name, text in self._texts.items():
            try:
                self._rules[name] = parse(text)
            except PolicyError as error:
                raise PolicyError(f"policy {name}: {error}") from None
        self._templated = frozenset(
            name for name, rules in self._rules.items() if any(rule.templated for rule in rules)
        )
        self._acls: dict[Key, Acl] = {}

    def names(self) -> list[str]:
        """Sorted, ``default`` and ``root`` among them."""
        return sorted({*self._texts, ROOT_POLICY})

    def text(self, name: str) -> str | None:
        """The document of a policy; empty for root, None where there is no such policy."""
        name = fold(name)
        return "" if name == ROOT_POLICY else self._texts.get(name)

    def acl(self, names: Sequence[str], values: Mapping[str, str] | None = None) -> Acl:
        """What a token with these policies may do.

        ``values`` fill templated paths, by what stands between the braces. A rule for which one is missing does not
        count, but where it denies, it denies all that it could be about. Policy root counts alone only, as no other
        token may have it.
        """
        policies = tuple(map(fold, names))
        if policies == (ROOT_POLICY,):
            return ROOT
        templated = values and not self._templated.isdisjoint(policies)
        key = policies, tuple(sorted(values.items())) if values and templated else ()
        found = self._acls.get(key)
        if found is None:
            found = self._acls[key] = self._compile(policies, values or {})
            if len(self._acls) > _CACHED:
                del self._acls[next(iter(self._acls))]
        return found

    def _compile(self, names: Sequence[str], values: Mapping[str, str]) -> Acl:
        rules, denied = [], []
        for rule in (rule for name in dict.fromkeys(names) for rule in self._rules.get(name, ())):
            pattern = rule.pattern.fill(values) if rule.templated else rule.pattern
            if pattern is not None:
                rules.append(Rule(pattern, rule.rights))
            elif rule.rights.capabilities == DENIED:
                denied.append(rule.pattern.widened)
        return compile_rules(rules, denied)


def fold(name: str) -> str:
    """The one form in which names of policies are kept and compared."""
    return name.strip().lower()
