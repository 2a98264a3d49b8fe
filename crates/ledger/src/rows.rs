//! Rows of the SQLite tables: a JSON record, the columns that are searched, and a seal over them.

use lmbatch_core::{Error, ErrorKind, LateAcknowledgement, Result, RunRecord, ShardRecord};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _};

use crate::seal::seal;

/// Row of the table of runs.
#[derive(Debug)]
pub(crate) struct RunRow {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) number: i64,
    pub(crate) epoch: i64,
    pub(crate) shards: i64,
    pub(crate) seal: String,
    pub(crate) record: String,
}

/// Query for rows of the table of runs.
macro_rules! of_runs {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, number, epoch, shards, seal, record FROM run ",
            $rest
        )
    };
}

impl<'r> FromRow<'r, SqliteRow> for RunRow {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get(0)?,
            name: row.try_get(1)?,
            number: row.try_get(2)?,
            epoch: row.try_get(3)?,
            shards: row.try_get(4)?,
            seal: row.try_get(5)?,
            record: row.try_get(6)?,
        })
    }
}

impl RunRow {
    pub(crate) fn new(run: &RunRecord, number: i64, shards: i64) -> Result<Self> {
        let mut row = Self {
            id: run.id.to_string(),
            name: run.name.as_deref().map(str::to_owned),
            number,
            epoch: run.epoch as i64,
            shards,
            seal: String::new(),
            record: to_json(run)?,
        };
        row.seal = row.sealed();
        Ok(row)
    }

    pub(crate) fn sealed(&self) -> String {
        seal(&[
            self.id.as_bytes(),
            &[u8::from(self.name.is_some())],
            self.name.as_deref().unwrap_or_default().as_bytes(),
            &self.number.to_le_bytes(),
            &self.epoch.to_le_bytes(),
            &self.shards.to_le_bytes(),
            self.record.as_bytes(),
        ])
    }
}

/// Row of the table of shards.
#[derive(Debug)]
pub(crate) struct ShardRow {
    pub(crate) run: String,
    pub(crate) number: i64,
    pub(crate) epoch: i64,
    pub(crate) seal: String,
    pub(crate) record: String,
}

/// Query for rows of the table of shards.
macro_rules! of_shards {
    ($rest:literal) => {
        concat!("SELECT run, number, epoch, seal, record FROM shard ", $rest)
    };
}

impl<'r> FromRow<'r, SqliteRow> for ShardRow {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            run: row.try_get(0)?,
            number: row.try_get(1)?,
            epoch: row.try_get(2)?,
            seal: row.try_get(3)?,
            record: row.try_get(4)?,
        })
    }
}

impl ShardRow {
    pub(crate) fn new(shard: &ShardRecord) -> Result<Self> {
        let mut row = Self {
            run: shard.key.run.to_string(),
            number: i64::from(shard.key.shard),
            epoch: shard.epoch as i64,
            seal: String::new(),
            record: to_json(shard)?,
        };
        row.seal = row.sealed();
        Ok(row)
    }

    pub(crate) fn sealed(&self) -> String {
        seal(&[
            self.run.as_bytes(),
            &self.number.to_le_bytes(),
            &self.epoch.to_le_bytes(),
            self.record.as_bytes(),
        ])
    }
}

/// Row of the table of late acknowledgements.
#[derive(Debug)]
pub(crate) struct LateRow {
    pub(crate) run: String,
    pub(crate) shard: i64,
    pub(crate) batch: String,
    pub(crate) seal: String,
    pub(crate) record: String,
}

/// Query for rows of the table of late acknowledgements.
macro_rules! of_late {
    ($rest:literal) => {
        concat!(
            "SELECT run, shard, batch, seal, record FROM late_acknowledgement ",
            $rest
        )
    };
}

impl<'r> FromRow<'r, SqliteRow> for LateRow {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            run: row.try_get(0)?,
            shard: row.try_get(1)?,
            batch: row.try_get(2)?,
            seal: row.try_get(3)?,
            record: row.try_get(4)?,
        })
    }
}

impl LateRow {
    pub(crate) fn new(late: &LateAcknowledgement) -> Result<Self> {
        let mut row = Self {
            run: late.key.run.to_string(),
            shard: i64::from(late.key.shard),
            batch: late.batch.to_string(),
            seal: String::new(),
            record: to_json(late)?,
        };
        row.seal = row.sealed();
        Ok(row)
    }

    pub(crate) fn sealed(&self) -> String {
        seal(&[
            self.run.as_bytes(),
            &self.shard.to_le_bytes(),
            self.batch.as_bytes(),
            self.record.as_bytes(),
        ])
    }
}

fn to_json(record: &impl Serialize) -> Result<String> {
    serde_json::to_string(record)
        .map_err(|error| Error::new(ErrorKind::Internal).with_source(error))
}

pub(crate) use {of_late, of_runs, of_shards};
