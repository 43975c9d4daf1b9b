"""The Vault dialect: ``auth/ldap`` and all around it, as the ``vault`` command line and hvac speak it (vault.md)."""
