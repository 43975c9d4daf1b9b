"""What Grafana's administrators ask of the gateway: the diagnostic API of its LDAP login (grafana.md 3)."""
