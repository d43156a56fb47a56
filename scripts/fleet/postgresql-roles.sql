-- Roles of least privilege for a catalogue in PostgreSQL. The owner of the database runs a first scan, or
-- `vmcheck catalogue merge`, which makes the tables, and then this file (psql -f); after an update of vmcheck that
-- brings the tables to a newer version, both again. Passwords go into each role's ~/.pgpass.
CREATE ROLE vmcheck_reader LOGIN;
CREATE ROLE vmcheck_worker LOGIN;
GRANT USAGE ON SCHEMA public TO vmcheck_reader, vmcheck_worker;
-- Who asks: list, show, groups, trend, regressions, export, compare.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO vmcheck_reader, vmcheck_worker;
-- Who scans, merges and prunes. It makes no tables.
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO vmcheck_worker;
