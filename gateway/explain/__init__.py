"""Why a login comes out as it does, and what a filter finds: asked of the directories as a login asks, with a trace.

Works beside a running daemon or without one. It connects by itself and never opens the store, so what only the daemon
knows (lockout, whitelist, what was written through its APIs) is named in the answer instead of being asked.
"""

from __future__ import annotations


class WrongArguments(ValueError):
    """What the operator asked for cannot be asked; the text says why and never holds a password."""
