CREATE TABLE vaults (
    number           INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of creation; none is given twice
    id               TEXT NOT NULL UNIQUE,
    company          TEXT NOT NULL,
    scope            TEXT NOT NULL,
    owner            TEXT NOT NULL,        -- identity or group
    type             TEXT NOT NULL,
    format           TEXT NOT NULL,
    enabled          INTEGER NOT NULL,
    description      TEXT NOT NULL,
    text_sealed      BLOB NOT NULL,
    delivered_sealed BLOB NOT NULL,
    version          INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    updated_by       TEXT NOT NULL
) STRICT;
CREATE INDEX vaults_owner ON vaults (scope, owner);

CREATE TABLE vault_versions (
    vault       TEXT NOT NULL,
    number      INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,          -- of the vault, as its number
    company     TEXT NOT NULL,
    version     INTEGER NOT NULL,
    scope       TEXT NOT NULL,
    owner       TEXT NOT NULL,
    type        TEXT NOT NULL,
    format      TEXT NOT NULL,
    enabled     INTEGER NOT NULL,
    description TEXT NOT NULL,
    text_sealed BLOB NOT NULL,
    at          INTEGER NOT NULL,
    "by"        TEXT NOT NULL,
    purge_at    INTEGER,                   -- NULL while the vault exists
    PRIMARY KEY (vault, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX vault_versions_purge ON vault_versions (purge_at) WHERE purge_at IS NOT NULL;
CREATE INDEX vault_versions_owner ON vault_versions (scope, owner) WHERE purge_at IS NOT NULL;

CREATE TABLE groups (
    number      INTEGER PRIMARY KEY,       -- order of creation
    id          TEXT NOT NULL UNIQUE,
    company     TEXT NOT NULL,
    name        TEXT NOT NULL,
    name_key    TEXT NOT NULL,             -- folded
    description TEXT NOT NULL,
    UNIQUE (company, name_key)
) STRICT;

CREATE TABLE group_members (
    group_id TEXT NOT NULL,
    identity TEXT NOT NULL,
    PRIMARY KEY (group_id, identity)
) STRICT, WITHOUT ROWID;

CREATE TABLE vaults_revision (
    number INTEGER NOT NULL                -- one row; moves with every write to the tables above
) STRICT;
INSERT INTO vaults_revision VALUES (0);
