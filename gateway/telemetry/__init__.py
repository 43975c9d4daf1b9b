"""What the operator sees of the running daemon: logs, audit events, messages to systemd."""
