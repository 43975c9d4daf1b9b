"""Forward auth: what reverse proxies ask before they let a request pass (forward-auth.md)."""
