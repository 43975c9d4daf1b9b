CREATE TABLE settings (
    path          TEXT PRIMARY KEY,      -- JSON list of keys
    value         TEXT,                  -- JSON; NULL: sealed, or removes what a file gives
    secret_sealed BLOB,                  -- JSON, sealed
    generation    INTEGER NOT NULL,      -- of the write that made it
    at            INTEGER NOT NULL,
    "by"          TEXT NOT NULL,
    CHECK (value IS NULL OR secret_sealed IS NULL)
) STRICT, WITHOUT ROWID;

CREATE TABLE settings_generation (
    number INTEGER NOT NULL              -- one row; moves with every write, deletions included
) STRICT;
INSERT INTO settings_generation VALUES (0);
