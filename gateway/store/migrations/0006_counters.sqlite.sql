CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER counters_inserted AFTER INSERT ON counters
BEGIN UPDATE changes SET number = number + 1; END;
CREATE TRIGGER counters_updated AFTER UPDATE ON counters
BEGIN UPDATE changes SET number = number + 1; END;
