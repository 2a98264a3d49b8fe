//! Schema of the SQLite file: one migration from each version to the next.

/// Migrations from each version of a ledger to the next. A ledger of a newer lmbatch has a higher version,
/// and is not changed.
pub(crate) const MIGRATIONS: [&str; 5] = [
    "
CREATE TABLE run (
    id TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE TABLE shard (
    run TEXT NOT NULL REFERENCES run(id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (run, number)
) STRICT;
PRAGMA user_version = 1;
",
    // Version 2 adds unique names and epochs of runs, so that of two writers one gets a conflict. Of several
    // runs with one name, the newest keeps it. The field `cleaned` has another format from here on.
    "
UPDATE run SET record = json_remove(record, '$.cleaned');
UPDATE run SET record = json_set(record, '$.name', NULL)
    WHERE number NOT IN (SELECT max(number) FROM run GROUP BY coalesce(json_extract(record, '$.name'), id));
ALTER TABLE run ADD COLUMN name TEXT;
ALTER TABLE run ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
UPDATE run SET name = json_extract(record, '$.name');
CREATE UNIQUE INDEX run_name ON run (name);
PRAGMA user_version = 2;
",
    // Version 3 adds a seal to each row and counts rows, so that damaged and missing rows are noticed.
    "
ALTER TABLE run ADD COLUMN shards INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN seal TEXT NOT NULL DEFAULT '';
ALTER TABLE shard ADD COLUMN seal TEXT NOT NULL DEFAULT '';
UPDATE run SET shards = (SELECT count(*) FROM shard WHERE shard.run = run.id);
CREATE TABLE total (runs INTEGER NOT NULL) STRICT;
INSERT INTO total SELECT count(*) FROM run;
PRAGMA user_version = 3;
",
    // Version 4 adds indexes for lookups by digest, account, output, nonce, state and batch. The columns are
    // computed from the sealed record, so that they cannot disagree with it; the integrity check compares
    // every index with the records. Late acknowledgements get a table of their own.
    "
ALTER TABLE run ADD COLUMN digest TEXT GENERATED ALWAYS AS (json_extract(record, '$.digest')) VIRTUAL;
ALTER TABLE run ADD COLUMN account TEXT GENERATED ALWAYS AS (json_extract(record, '$.account')) VIRTUAL;
ALTER TABLE run ADD COLUMN output TEXT GENERATED ALWAYS AS (json_extract(record, '$.notes.output')) VIRTUAL;
ALTER TABLE run ADD COLUMN nonce TEXT GENERATED ALWAYS AS (json_extract(record, '$.nonce')) VIRTUAL;
ALTER TABLE run ADD COLUMN finished INTEGER GENERATED ALWAYS AS (json_extract(record, '$.finished')) VIRTUAL;
CREATE INDEX run_number ON run (number);
CREATE INDEX run_digest ON run (digest, number);
CREATE INDEX run_account ON run (account, number);
CREATE INDEX run_output ON run (output, number);
CREATE INDEX run_nonce ON run (nonce, number);
CREATE INDEX run_finished ON run (finished, number);
ALTER TABLE shard ADD COLUMN batch TEXT GENERATED ALWAYS AS (coalesce(
    json_extract(record, '$.state.created.batch'),
    json_extract(record, '$.state.ended.id'),
    json_extract(record, '$.state.sealed.snapshot.id'))) VIRTUAL;
CREATE INDEX shard_batch ON shard (batch);
CREATE TABLE late_acknowledgement (
    sequence INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    shard INTEGER NOT NULL,
    batch TEXT NOT NULL,
    seal TEXT NOT NULL,
    record TEXT NOT NULL,
    UNIQUE (run, shard, batch),
    FOREIGN KEY (run, shard) REFERENCES shard(run, number)
) STRICT;
CREATE INDEX late_acknowledgement_batch ON late_acknowledgement (batch);
ALTER TABLE total ADD COLUMN late_acknowledgements INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 4;
",
    // Version 5 marks records of shards that name the shard's tables. An earlier version would drop that
    // member when it writes a record, and the requests of the shard could not be located any more.
    "
PRAGMA user_version = 5;
",
];
