-- What known tokens, sessions and answers rest on. Logins, failed ones and uses of tokens change nothing of it, or
-- every one of them would have everybody looked up again.

CREATE TABLE changes (
    number INTEGER NOT NULL              -- one row
) STRICT;
INSERT INTO changes VALUES (0);

CREATE TRIGGER identities_updated AFTER UPDATE ON identities WHEN
    (OLD.id, OLD.server, OLD.external_id, OLD.username, OLD.dn, OLD.name, OLD.email, OLD.groups, OLD.attributes,
     OLD.granted, OLD.company, OLD.role, OLD.backend_id, OLD.valid_after, OLD.created_at, OLD.gone_at)
    IS NOT
    (NEW.id, NEW.server, NEW.external_id, NEW.username, NEW.dn, NEW.name, NEW.email, NEW.groups, NEW.attributes,
     NEW.granted, NEW.company, NEW.role, NEW.backend_id, NEW.valid_after, NEW.created_at, NEW.gone_at)
BEGIN UPDATE changes SET number = number + 1; END;
CREATE TRIGGER identities_deleted AFTER DELETE ON identities
BEGIN UPDATE changes SET number = number + 1; END;

CREATE TRIGGER tokens_updated AFTER UPDATE OF
    hash, accessor, kind, identity, parent, server, path, policies, meta, limits, label, created_at, expires_at,
    max_expires_at, period, uses_left, renewable, orphan, domain, remember, revoked_at ON tokens
BEGIN UPDATE changes SET number = number + 1; END;
CREATE TRIGGER tokens_deleted AFTER DELETE ON tokens
BEGIN UPDATE changes SET number = number + 1; END;

CREATE TRIGGER revoked_inserted AFTER INSERT ON revoked
BEGIN UPDATE changes SET number = number + 1; END;
CREATE TRIGGER revoked_updated AFTER UPDATE ON revoked
BEGIN UPDATE changes SET number = number + 1; END;
CREATE TRIGGER revoked_deleted AFTER DELETE ON revoked
BEGIN UPDATE changes SET number = number + 1; END;

CREATE TRIGGER whitelist_inserted AFTER INSERT ON whitelist
BEGIN UPDATE changes SET number = number + 1; END;
CREATE TRIGGER whitelist_updated AFTER UPDATE ON whitelist WHEN
    (OLD.email, OLD.role, OLD.identity) IS NOT (NEW.email, NEW.role, NEW.identity)
BEGIN UPDATE changes SET number = number + 1; END;
CREATE TRIGGER whitelist_deleted AFTER DELETE ON whitelist
BEGIN UPDATE changes SET number = number + 1; END;

CREATE TRIGGER domains_inserted AFTER INSERT ON domains
BEGIN UPDATE changes SET number = number + 1; END;
CREATE TRIGGER domains_updated AFTER UPDATE ON domains
BEGIN UPDATE changes SET number = number + 1; END;
CREATE TRIGGER domains_deleted AFTER DELETE ON domains
BEGIN UPDATE changes SET number = number + 1; END;

-- moves with every write to vaults, vault_versions, groups and group_members
CREATE TRIGGER vaults_revision_updated AFTER UPDATE ON vaults_revision
BEGIN UPDATE changes SET number = number + 1; END;
