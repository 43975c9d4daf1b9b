"""Runs inside the environment of ``conjur-api``: a warm child, each call a client of its own. One JSON line in, one out.

In: ``url``, ``account``, ``service``, ``ca``, ``strategy``, ``username``, ``password``, ``api_key`` and ``calls``, the
names of the client's methods. Out: what each returned, or the class, status and text of what it raised.
"""

import asyncio
import json
import sys

from conjur_api import Client
from conjur_api.models import ConjurConnectionInfo, CredentialsData, SslVerificationMode
from conjur_api.providers import (
    AuthnAuthenticationStrategy,
    LdapAuthenticationStrategy,
    SimpleCredentialsProvider,
)

STRATEGIES = {"ldap": LdapAuthenticationStrategy, "authn": AuthnAuthenticationStrategy}


def made(call):
    """As the package's own description has it."""
    info = ConjurConnectionInfo(call["url"], call["account"], call.get("ca"), call.get("service"))
    store = SimpleCredentialsProvider()
    store.save(CredentialsData(call["url"], call["username"], call.get("password"), call.get("api_key")))
    mode = SslVerificationMode.CA_BUNDLE if call.get("ca") else SslVerificationMode.TRUST_STORE
    return Client(info, ssl_verification_mode=mode, authn_strategy=STRATEGIES[call.get("strategy", "ldap")](store))


async def answer(call):
    client = made(call)
    results = []
    for name, *arguments in call["calls"]:
        try:
            returned = await getattr(client, name)(*arguments)
            results.append(returned.decode() if isinstance(returned, bytes) else returned)
        except Exception as error:
            results.append([type(error).__name__, getattr(error, "status", None), str(error)])
    return results


print("ready", flush=True)
for line in sys.stdin:
    print("ANSWER " + json.dumps(asyncio.run(answer(json.loads(line)))), flush=True)
