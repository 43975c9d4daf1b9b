"""Run the named benchmarks, or all."""

from __future__ import annotations

import argparse
import importlib

ALL = ("authz", "get_vaults", "hocon", "ldap_login", "login_endpoint", "reload", "store", "vault")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(ALL)}; default: all")
    names = parser.parse_args().names or ALL
    if unknown := set(names) - set(ALL):
        parser.error(f"no benchmark of the name {', '.join(sorted(unknown))}")
    for name in names:
        print(f"== {name}", flush=True)
        importlib.import_module(f"bench.{name}").main()
