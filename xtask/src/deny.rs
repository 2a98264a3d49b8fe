//! Licences, banned crates, sources and advisories of everything that is built, by cargo-deny.

use crate::sh::{has, run};

/// Set where a missing cargo-deny is an error; `CI` is as good.
const REQUIRED: [&str; 2] = ["LMBATCH_REQUIRE_DENY", "CI"];

/// Set where the advisory database (github.com/RustSec/advisory-db) cannot be reached.
const SKIP_ADVISORIES: &str = "LMBATCH_SKIP_ADVISORIES";

/// Extent of the check of dependencies.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// Nothing is checked, and that is an error.
    Refuse,
    /// Nothing is checked, on a machine of a developer.
    Skip,
    /// All but advisories.
    WithoutAdvisories,
    /// Everything is checked.
    Whole,
}

fn plan(is_installed: bool, is_set: impl Fn(&str) -> bool) -> Plan {
    match is_installed {
        false if REQUIRED.iter().any(|name| is_set(name)) => Plan::Refuse,
        false => Plan::Skip,
        true if is_set(SKIP_ADVISORIES) => Plan::WithoutAdvisories,
        true => Plan::Whole,
    }
}

/// Reports whether a variable says yes.
fn says_yes(value: Option<&str>) -> bool {
    !matches!(value.map(str::trim), None | Some("" | "0" | "false" | "no"))
}

/// Checks the dependencies.
pub(crate) fn deny() -> Result<(), String> {
    let is_set = |name: &str| says_yes(std::env::var(name).ok().as_deref());
    let plan = plan(has("cargo-deny"), is_set);
    match plan {
        Plan::Refuse => {
            return Err(
                "cargo-deny is not installed, and nothing says that the dependencies may be used; `.ci/run` installs it, and so does `cargo install cargo-deny --locked`"
                    .to_owned(),
            );
        }
        Plan::Skip => {
            println!(
                "WARNING: cargo-deny is not installed: licences, bans, sources and advisories were NOT checked"
            );
            return Ok(());
        }
        Plan::WithoutAdvisories | Plan::Whole => {}
    }
    let check = |what: &[&str]| {
        let line = ["deny", "--locked", "--all-features", "check"];
        run("cargo", &[&line[..], what].concat())
    };
    check(&["licenses", "bans", "sources"])?;
    if plan == Plan::WithoutAdvisories {
        println!(
            "WARNING: {SKIP_ADVISORIES} is set: known vulnerabilities and yanked crates were NOT checked"
        );
        return Ok(());
    }
    check(&["advisories"]).map_err(|error| {
        format!("{error}; where only the advisory database cannot be reached, {SKIP_ADVISORIES}=1 leaves them unchecked")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_unchecked_in_silence_where_it_is_required() {
        for (is_installed, set, expected) in [
            (true, &[][..], Plan::Whole),
            (true, &["CI"], Plan::Whole),
            (true, &["LMBATCH_SKIP_ADVISORIES"], Plan::WithoutAdvisories),
            (false, &[], Plan::Skip),
            (false, &["LMBATCH_SKIP_ADVISORIES"], Plan::Skip),
            (false, &["CI"], Plan::Refuse),
            (false, &["LMBATCH_REQUIRE_DENY"], Plan::Refuse),
            (false, &["CI", "LMBATCH_SKIP_ADVISORIES"], Plan::Refuse),
        ] {
            assert_eq!(
                plan(is_installed, |name| set.contains(&name)),
                expected,
                "{set:?}"
            );
        }
    }

    #[test]
    fn a_variable_says_yes_or_no() {
        for (value, yes) in [
            (None, false),
            (Some(""), false),
            (Some("0"), false),
            (Some("false"), false),
            (Some("1"), true),
            (Some("true"), true),
        ] {
            assert_eq!(says_yes(value), yes, "{value:?}");
        }
    }
}
