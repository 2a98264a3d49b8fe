//! Lookups of the SQLite ledger, each answered from an index.

use lmbatch_core::RunFilter;
use sqlx::{QueryBuilder, Sqlite};

use crate::rows::of_runs;

/// Query for the shards with one of the batches of a JSON list, each with the account of its run.
pub(crate) const SHARDS_OF_BATCHES: &str =
    "SELECT shard.run, shard.number, shard.epoch, shard.seal, shard.record, run.account
     FROM shard JOIN run ON run.id = shard.run
     WHERE shard.batch IN (SELECT value FROM json_each(?))";

/// Query for the shards that have a batch, without one shard, each with the account of its run.
pub(crate) const OTHERS_OF_BATCH: &str = "SELECT shard.run, shard.number, run.account
     FROM shard JOIN run ON run.id = shard.run
     WHERE shard.batch = ? AND NOT (shard.run = ? AND shard.number = ?)";

/// Query for the shards of unfinished runs whose create is under way or in doubt, with a number of requests,
/// each with the account of its run.
pub(crate) const DOUBTFUL: &str =
    "SELECT shard.run, shard.number, shard.epoch, shard.seal, shard.record, run.account
     FROM run JOIN shard ON shard.run = run.id
     WHERE run.finished = 0 AND json_extract(shard.record, '$.count') = ?
     AND (json_type(shard.record, '$.state.posting') IS NOT NULL
          OR json_type(shard.record, '$.state.doubt') IS NOT NULL)";

/// Query for the late acknowledgements of one of the batches of a JSON list, each with the account of its
/// run.
pub(crate) const LATE_OF_BATCHES: &str =
    "SELECT late.run, late.shard, late.batch, late.seal, late.record, run.account
     FROM late_acknowledgement AS late JOIN run ON run.id = late.run
     WHERE late.batch IN (SELECT value FROM json_each(?))";

/// Query for the first nonce of a JSON list for which no run is recorded.
pub(crate) const UNKNOWN_NONCE: &str = "SELECT value FROM json_each(?)
     WHERE NOT EXISTS (SELECT 1 FROM run WHERE run.nonce = value) LIMIT 1";

/// Query for the ids of the unfinished runs, oldest first.
pub(crate) const UNFINISHED: &str = "SELECT id FROM run WHERE finished = 0 ORDER BY number";

/// Builds the query for a page of runs and one run more, which shows that another page follows.
pub(crate) fn page_of_runs(filter: &RunFilter, before: Option<u64>) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(of_runs!("WHERE true"));
    let texts = [
        ("name", filter.name.as_deref()),
        ("digest", filter.digest.as_deref()),
        ("account", filter.account.as_ref().map(|id| id.as_str())),
        ("output", filter.output.as_deref()),
        ("nonce", filter.nonce.as_ref().map(|nonce| nonce.as_str())),
    ];
    for (column, text) in texts {
        if let Some(text) = text {
            query.push(format_args!(" AND {column} = "));
            query.push_bind(text.to_owned());
        }
    }
    if filter.unfinished {
        query.push(" AND finished = 0");
    }
    if let Some(batch) = &filter.batch {
        query.push(" AND id IN (SELECT run FROM shard WHERE batch = ");
        query.push_bind(batch.to_string());
        query.push(" UNION SELECT run FROM late_acknowledgement WHERE batch = ");
        query.push_bind(batch.to_string());
        query.push(")");
    }
    if let Some(prefix) = &filter.id_prefix {
        query.push(" AND id >= ");
        query.push_bind(prefix.to_string());
        query.push(" AND id < ");
        query.push_bind(format!("{prefix}{}", char::MAX));
    }
    if let Some(before) = before {
        query.push(" AND number < ");
        query.push_bind(i64::try_from(before).unwrap_or(i64::MAX));
    }
    // Filters by id or batch select few runs, which are sorted: the index over all runs would be slower.
    let few = filter.batch.is_some() || filter.id_prefix.is_some();
    query.push(match few {
        true => " ORDER BY +number DESC LIMIT ",
        false => " ORDER BY number DESC LIMIT ",
    });
    query.push_bind(filter.page_size() as i64 + 1);
    query
}

#[cfg(test)]
mod tests {
    use lmbatch_core::{Cursor, Nonce};
    use sqlx::Row as _;

    use super::*;
    use crate::SqliteLedger;

    /// Returns the query plan of a query of the ledger.
    async fn plan(ledger: &SqliteLedger, query: &str) -> Vec<String> {
        let explained = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"));
        let rows = sqlx::query(explained)
            .fetch_all(ledger.pool().unwrap())
            .await;
        let rows = rows.unwrap();
        rows.iter().map(|row| row.get("detail")).collect()
    }

    /// Returns the steps of a plan that read every row of a table, and, unless `sorts` allows it, those that
    /// sort.
    fn slow(plan: &[String], sorts: bool) -> Vec<&String> {
        let is_slow = |step: &&String| {
            let scans = step.starts_with("SCAN") && !step.contains("json_each");
            let in_order = *step == "SCAN run USING INDEX run_number";
            scans && !in_order || !sorts && step.contains("USE TEMP B-TREE")
        };
        plan.iter().filter(is_slow).collect()
    }

    #[tokio::test]
    async fn every_lookup_uses_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).await;
        let ledger = ledger.unwrap();
        let none = RunFilter::default;
        let text = || Some("x".into());
        for (filter, index, sorts) in [
            (none(), "run_number", false),
            (
                RunFilter {
                    unfinished: true,
                    ..none()
                },
                "run_finished (finished=?",
                false,
            ),
            (
                RunFilter {
                    name: text(),
                    ..none()
                },
                "run_name (name=?)",
                true,
            ),
            (
                RunFilter {
                    digest: text(),
                    ..none()
                },
                "run_digest (digest=?",
                false,
            ),
            (
                RunFilter {
                    account: Some("a".into()),
                    ..none()
                },
                "run_account (account=?",
                false,
            ),
            (
                RunFilter {
                    output: text(),
                    ..none()
                },
                "run_output (output=?",
                false,
            ),
            (
                RunFilter {
                    nonce: Nonce::parse("abcdefghijkl"),
                    ..none()
                },
                "run_nonce (nonce=?",
                false,
            ),
            (
                RunFilter {
                    batch: Some("b".into()),
                    ..none()
                },
                "shard_batch (batch=?)",
                true,
            ),
            (
                RunFilter {
                    id_prefix: text(),
                    ..none()
                },
                "(id>? AND id<?)",
                true,
            ),
        ] {
            for after in [None, Some(Cursor::new("7"))] {
                let filter = RunFilter {
                    after,
                    ..filter.clone()
                };
                let query = page_of_runs(&filter, filter.before().unwrap());
                let plan = plan(&ledger, query.sql().as_str()).await;
                assert!(
                    plan.iter().any(|step| step.contains(index)),
                    "{filter:?}: {plan:?}"
                );
                assert_eq!(slow(&plan, sorts), [""; 0], "{filter:?}: {plan:?}");
            }
        }
        for (query, index) in [
            (SHARDS_OF_BATCHES, "shard_batch (batch=?)"),
            (OTHERS_OF_BATCH, "shard_batch (batch=?)"),
            (DOUBTFUL, "run_finished (finished=?"),
            (LATE_OF_BATCHES, "late_acknowledgement_batch (batch=?)"),
            (UNKNOWN_NONCE, "run_nonce (nonce=?)"),
            (UNFINISHED, "run_finished (finished=?"),
        ] {
            let plan = plan(&ledger, query).await;
            assert!(plan.iter().any(|step| step.contains(index)), "{plan:?}");
            assert_eq!(slow(&plan, false), [""; 0], "{plan:?}");
        }
    }
}
