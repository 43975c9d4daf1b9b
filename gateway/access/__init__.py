"""Decisions about requests: pure, without I/O, tested by tables alone."""
