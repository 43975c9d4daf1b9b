"""The Conjur dialect over HTTP: what ``authn-ldap`` of Conjur 4 and 5 answers (conjur.md)."""
