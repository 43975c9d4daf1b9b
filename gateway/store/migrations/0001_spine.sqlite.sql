CREATE TABLE identities (
    id           TEXT PRIMARY KEY,
    server       TEXT NOT NULL,
    external_id  TEXT NOT NULL,
    username     TEXT NOT NULL,
    username_key TEXT NOT NULL,          -- folded
    dn           TEXT NOT NULL,
    name         TEXT NOT NULL,
    email        TEXT NOT NULL,
    groups       TEXT NOT NULL,          -- JSON [[name, dn, value], ...]
    attributes   TEXT NOT NULL,          -- JSON {name: [value, ...]}
    granted      TEXT NOT NULL,          -- JSON
    company      TEXT NOT NULL,
    role         TEXT NOT NULL,
    backend_id   TEXT NOT NULL,
    valid_after  INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    checked_at   INTEGER NOT NULL,
    gone_at      INTEGER,
    UNIQUE (server, external_id)
) STRICT;
CREATE INDEX identities_username ON identities (username_key, id);
CREATE INDEX identities_backend ON identities (backend_id, id);

CREATE TABLE tokens (
    hash           BLOB PRIMARY KEY,
    accessor       TEXT NOT NULL UNIQUE,
    kind           TEXT NOT NULL,
    identity       TEXT,
    parent         TEXT,                 -- accessor
    server         TEXT NOT NULL,
    path           TEXT NOT NULL,
    policies       TEXT NOT NULL,        -- JSON list
    meta           TEXT NOT NULL,        -- JSON
    limits         TEXT NOT NULL,        -- JSON
    label          TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER,
    max_expires_at INTEGER,
    period         INTEGER,
    uses_left      INTEGER CHECK (uses_left >= 0),
    renewable      INTEGER NOT NULL,
    orphan         INTEGER NOT NULL,
    last_used_at   INTEGER,
    last_used_from TEXT NOT NULL,
    domain         TEXT NOT NULL,
    remember       INTEGER NOT NULL,
    revoked_at     INTEGER
) STRICT;
CREATE INDEX tokens_identity ON tokens (identity) WHERE identity IS NOT NULL;
CREATE INDEX tokens_parent ON tokens (parent) WHERE parent IS NOT NULL;
CREATE INDEX tokens_server ON tokens (server);
CREATE INDEX tokens_expires ON tokens (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX tokens_revoked ON tokens (revoked_at) WHERE revoked_at IS NOT NULL;

CREATE TABLE revoked (
    session_id TEXT PRIMARY KEY,
    identity   TEXT NOT NULL,
    until      INTEGER                   -- NULL: for ever
) STRICT, WITHOUT ROWID;
CREATE INDEX revoked_until ON revoked (until) WHERE until IS NOT NULL;

CREATE TABLE failures (
    key_hash     BLOB PRIMARY KEY,
    shown        TEXT NOT NULL,
    kind         TEXT NOT NULL,
    known        INTEGER NOT NULL,       -- an entry was found
    count        INTEGER NOT NULL,
    first_at     INTEGER NOT NULL,
    last_at      INTEGER NOT NULL,
    locked_until INTEGER NOT NULL,       -- 0: no lock
    expires_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX failures_expires ON failures (expires_at);

CREATE TABLE whitelist (
    email       TEXT PRIMARY KEY,        -- folded
    role        TEXT NOT NULL,
    added_at    INTEGER NOT NULL,
    added_by    TEXT NOT NULL,
    accepted_at INTEGER,
    identity    TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE domains (
    domain TEXT PRIMARY KEY              -- folded
) STRICT, WITHOUT ROWID;

CREATE TABLE preferences (
    identity TEXT NOT NULL,
    path     TEXT NOT NULL,
    value    TEXT NOT NULL,              -- JSON
    PRIMARY KEY (identity, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_keys (
    id             TEXT PRIMARY KEY,
    purpose        TEXT NOT NULL,
    algorithm      TEXT NOT NULL,
    private_sealed BLOB NOT NULL,
    public         BLOB NOT NULL,
    not_before     INTEGER NOT NULL,
    not_after      INTEGER,
    retired_at     INTEGER
) STRICT, WITHOUT ROWID;
