CREATE TABLE wrapped (
    hash             BLOB PRIMARY KEY,
    accessor         TEXT NOT NULL UNIQUE,
    creation_path    TEXT NOT NULL,
    wrapped_accessor TEXT NOT NULL,      -- of the token in the answer; empty: none
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    response_sealed  BLOB NOT NULL
) STRICT;
CREATE INDEX wrapped_expires ON wrapped (expires_at);
CREATE INDEX tokens_path ON tokens (path) WHERE kind = 'vault';
