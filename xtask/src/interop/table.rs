//! The checks that the scripts print, as a table.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// One check of one suite.
pub(crate) struct Check {
    suite: String,
    name: String,
    detail: String,
    seconds: f64,
    pub(crate) ok: bool,
}

/// All of them, in the order in which they ran.
#[derive(Default)]
pub(crate) struct Table(Vec<Check>);

/// One JSON object a line.
pub(crate) fn read(said: &str) -> Result<Vec<Check>, String> {
    let lines = said.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let check: Value = serde_json::from_str(line).map_err(|_| format!("said {line:?}"))?;
            let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
            Ok(Check {
                suite: text("suite"),
                name: text("name"),
                detail: text("detail"),
                seconds: check["seconds"].as_f64().unwrap_or_default(),
                ok: check["ok"] == true,
            })
        })
        .collect()
}

impl Table {
    pub(crate) fn extend(&mut self, checks: Vec<Check>) {
        self.0.extend(checks);
    }

    /// An error that counts what failed.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        let failed = self.0.iter().filter(|check| !check.ok).count();
        if failed == 0 && !self.0.is_empty() {
            return Ok(());
        }
        Err(format!("{failed} of {} checks failed", self.0.len()))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut suites: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for check in &self.0 {
            let word = if check.ok { "ok  " } else { "FAIL" };
            write!(
                f,
                "{word} {:6.2} s  {}: {}",
                check.seconds, check.suite, check.name
            )?;
            if !check.detail.is_empty() {
                write!(f, " ({})", check.detail)?;
            }
            writeln!(f)?;
            let counts = suites.entry(&check.suite).or_default();
            counts.0 += 1;
            counts.1 += usize::from(check.ok);
        }
        writeln!(f, "\nsuite | checks | passed\n---|---|---")?;
        for (suite, (all, passed)) in suites {
            writeln!(f, "{suite} | {all} | {passed}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_read_counted_and_shown() {
        let said = "{\"suite\":\"s\",\"name\":\"a\",\"ok\":true,\"seconds\":0.5,\"detail\":\"\"}\n\n{\"suite\":\"s\",\"name\":\"b\",\"ok\":false,\"detail\":\"why\"}\n";
        let mut table = Table::default();
        assert!(table.verdict().is_err());
        table.extend(read(said).unwrap());
        assert_eq!(table.verdict(), Err("1 of 2 checks failed".to_owned()));
        let shown = table.to_string();
        assert!(shown.contains("ok     0.50 s  s: a\n") && shown.contains("s: b (why)\n"));
        assert!(shown.contains("s | 2 | 1"), "{shown}");
        assert!(read("Traceback").is_err());
    }
}
