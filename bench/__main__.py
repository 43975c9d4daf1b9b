"""Run the named benchmarks, or all."""

from __future__ import annotations

import importlib
import sys

ALL = ("ldap_login", "login_endpoint", "store")

if __name__ == "__main__":
    for name in sys.argv[1:] or ALL:
        print(f"== {name}", flush=True)
        importlib.import_module(f"bench.{name}").main()
