//! Schema of the SQLite file: its versions, and the steps from each to the next.

/// Steps from each version of a ledger to the next. A ledger of a later lmbatch has a version that is not
/// among them, and is not touched.
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
    // Of two who begin a run of one name, or change one run, one loses and learns it. Of several of one
    // name the newest keeps it. What was deleted at the provider is noted otherwise now.
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
    // A row that is damaged, or missing, is noticed: each has a seal, and rows are counted.
    "
ALTER TABLE run ADD COLUMN shards INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN seal TEXT NOT NULL DEFAULT '';
ALTER TABLE shard ADD COLUMN seal TEXT NOT NULL DEFAULT '';
UPDATE run SET shards = (SELECT count(*) FROM shard WHERE shard.run = run.id);
CREATE TABLE total (runs INTEGER NOT NULL) STRICT;
INSERT INTO total SELECT count(*) FROM run;
PRAGMA user_version = 3;
",
    // Lookups by digest, account, output, nonce, state and batch, each by an index. The columns are computed from the
    // sealed record, so that they cannot disagree with it: the check of the structure compares every index
    // with the records. Answers to creates that came too late have a table of their own.
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
    // Records of shards name the tables of the shard. An earlier version would lose what it does not know of a
    // record that it writes, and with it where the requests of the shard are.
    "
PRAGMA user_version = 5;
",
];
