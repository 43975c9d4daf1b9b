"""One login daemon between people's programs and the directory (LDAP, Active Directory) they already have.

A request names a dialect; every dialect calls the same login; every login gives the same identity; every token
carries that identity. A dialect translates. It never decides.

The words, used in code, configuration, logs and documentation alike:

server
    One configured directory (``servers[]``). Its name is also the word for it in logs.
realm
    The ordered list a login is tried against: the local users, then the servers.
account
    What the directory says: dn, username, name, email, groups, attributes, disabled.
grant
    What our configuration makes of an account: roles per organisation, policies, admin, company.
identity
    Account and grant together, frozen.
credential
    What a caller presents: password, access key, token, cookie.
token
    Proof of an identity, with an accessor, an expiry and a dialect form.
vault
    A ClearML configuration vault: a HOCON document with a scope.
snapshot
    One loaded, validated, frozen configuration with its generation number.
layer
    One source of the configuration tree: defaults, a file, what an API wrote, the environment. Later ones win.
origin
    Where a configuration value came from: a file with line and column, a variable, the store, the defaults.
group
    Has a name (its first ``cn``) and, from a directory, a DN.

Names ending ``_dn`` are strings, ``_filter`` are RFC 4515 text, ``_seconds`` are seconds, and a ``_hash`` never
holds the thing itself.

Rules cite their source: an RFC section, or a section of the protocol contracts and decisions this project is built from
(``clearml.md 2.2``, ``configuration.md 1.3``, ``DECISIONS 13``), which are kept outside this repository.

Three rings, imports pointing inward only: ``serve`` knows HTTP; ``login``, ``directory``, ``store``, ``tokens`` and
``config`` do I/O; ``access`` and ``grants`` decide and are pure. ``hocon`` is a library that knows nothing of the rest.
"""

__version__ = "0.1.0"
