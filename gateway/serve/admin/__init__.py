"""``/admin/``: what administrators and the command line ask of a running daemon (DECISIONS 26)."""
