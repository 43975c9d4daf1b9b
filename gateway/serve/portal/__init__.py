"""The login portal: pages and endpoints for people, and for programs that act for them (forward-auth.md 8, 9)."""
