//! A small lint of the `Dockerfile`, where no Docker is installed that could build it.

/// Instructions that the file may use.
const KNOWN: &[&str] = &[
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "FROM",
    "LABEL",
    "RUN",
    "USER",
    "WORKDIR",
];

/// Returns the breaches in a Dockerfile: unknown instructions, images without a version, copied paths that do not
/// exist, a toolchain that is not `rust_version`, and a final image that runs as root.
pub(crate) fn dockerfile(
    text: &str,
    rust_version: &str,
    exists: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim);
    let (mut stages, mut user, mut has_entry) = (Vec::new(), None, false);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((instruction, rest)) = words.split_first() else {
            continue;
        };
        let mut tell = |what: &str| found.push(format!("Dockerfile: {line}: {what}"));
        if !KNOWN.contains(instruction) {
            tell("not an instruction that is used here");
        }
        match (*instruction, rest) {
            ("FROM", [image, more @ ..]) => {
                user = None;
                has_entry = false;
                let tag = image.split_once(':').map(|(_, tag)| tag);
                if !stages.contains(image) && tag.is_none_or(|tag| tag == "latest") {
                    tell("the image has no version");
                }
                let is_rust = image.starts_with("rust:");
                let is_promised = tag.is_some_and(|tag| {
                    tag.strip_prefix(rust_version)
                        .is_some_and(|rest| rest.starts_with(['-', '.']) || rest.is_empty())
                });
                if is_rust && !is_promised {
                    tell("the toolchain is not the rust-version of the workspace");
                }
                if let ["AS" | "as", name] = more {
                    stages.push(*name);
                }
            }
            ("COPY", [from, ..])
                if from
                    .strip_prefix("--from=")
                    .is_some_and(|stage| !stages.contains(&stage)) =>
            {
                tell("no stage has this name");
            }
            ("COPY", [from, ..]) if from.starts_with("--from=") => {}
            ("COPY", [sources @ .., _]) => {
                for source in sources.iter().filter(|source| !exists(source)) {
                    tell(&format!("{source} is not there"));
                }
            }
            ("USER", [name, ..]) => user = Some(*name),
            ("ENTRYPOINT", _) => has_entry = true,
            _ => {}
        }
    }
    if user.is_none_or(|user| ["root", "0"].contains(&user)) {
        found.push("Dockerfile: the final image runs as root".to_owned());
    }
    if !has_entry {
        found.push("Dockerfile: the final image has no ENTRYPOINT".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# The command.\nFROM rust:1.95-slim AS build\nCOPY Cargo.toml crates ./\nRUN cargo build \\\n  --release\nFROM debian:13-slim\nCOPY --from=build /a /b\nUSER 1000\nENTRYPOINT [\"lmbatch\"]\n";

    #[test]
    fn each_mistake_in_a_dockerfile_is_found() {
        let lint = |text: &str| dockerfile(text, "1.95", |path| path != "gone").len();
        assert_eq!(lint(GOOD), 0);
        for (from, to) in [
            ("debian:13-slim", "debian"),
            ("debian:13-slim", "debian:latest"),
            ("rust:1.95-slim", "rust:1.94-slim"),
            ("Cargo.toml", "gone"),
            ("--from=build", "--from=gone"),
            ("USER 1000", "USER root"),
            ("USER 1000\n", ""),
            ("ENTRYPOINT [\"lmbatch\"]\n", ""),
            ("RUN", "RAN"),
        ] {
            assert_eq!(lint(&GOOD.replace(from, to)), 1, "{from}: {to}");
        }
    }
}
