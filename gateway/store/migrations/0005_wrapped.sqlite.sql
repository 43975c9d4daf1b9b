CREATE TABLE wrapped (
    hash             BLOB PRIMARY KEY,
    accessor         TEXT NOT NULL UNIQUE,
    creation_path    TEXT NOT NULL,
    wrapped_accessor TEXT NOT NULL,      -- of the token in the answer; empty: none
    holder           TEXT NOT NULL,      -- who had it wrapped
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    response_sealed  BLOB NOT NULL
) STRICT;
CREATE INDEX wrapped_expires ON wrapped (expires_at);
CREATE INDEX wrapped_holder ON wrapped (holder);

CREATE TABLE path_ends (
    path   TEXT PRIMARY KEY,
    number INTEGER NOT NULL              -- of the last revocation of all that was made there or below
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_path ON tokens (path) WHERE kind = 'vault';

-- A replaced row counts as inserted.
CREATE TRIGGER path_ends_inserted AFTER INSERT ON path_ends
BEGIN UPDATE changes SET number = number + 1; END;
CREATE TRIGGER path_ends_updated AFTER UPDATE ON path_ends
BEGIN UPDATE changes SET number = number + 1; END;
