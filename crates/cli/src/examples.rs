//! Examples at the end of the help of commands.

use clap::Command;

/// Commands with examples: what an example does, and its command line.
const EXAMPLES: [(&str, &[(&str, &str)]); 7] = [
    (
        "run",
        &[
            (
                "Answer every row of a table, at a price of at most two dollars:",
                "lmbatch run tickets.csv -m openai/gpt-5.4-mini --prompt 'Summarise: {{ text }}' --max-tokens 200 --max-cost 2 -o answers.csv",
            ),
            (
                "Send ten requests first, and look at their answers before the others are paid for:",
                "lmbatch run tickets.jsonl -m anthropic/claude-haiku-4-5 --pilot 10",
            ),
            (
                "See what would be sent, without a key:",
                "lmbatch run tickets.jsonl -m google/gemini-3-flash --dry-run --show 2",
            ),
        ],
    ),
    (
        "create",
        &[
            (
                "Create a batch, whose handle status, cancel and retrieve read:",
                "lmbatch create tickets.jsonl -m openai/gpt-5.4-mini --handle tickets.handle.json",
            ),
            (
                "Read the requests from a pipe:",
                "lmbatch create - -m openai/gpt-5.4-mini --handle stdin.handle.json",
            ),
        ],
    ),
    (
        "requeue",
        &[
            (
                "Send again what may succeed now:",
                "lmbatch requeue r-b7h0xn --only retryable",
            ),
            (
                "Send truncated answers again, with room for longer ones:",
                "lmbatch requeue r-b7h0xn --only truncated --max-tokens 4000",
            ),
            (
                "Return answers that do not fit their schema to the model:",
                "lmbatch requeue r-b7h0xn --repair 1",
            ),
        ],
    ),
    (
        "retrieve",
        &[
            (
                "Write the outcomes of a run again, as a table:",
                "lmbatch retrieve r-b7h0xn -o answers.csv",
            ),
            (
                "Write what has been answered so far:",
                "lmbatch retrieve r-b7h0xn --partial -o so-far.jsonl",
            ),
            (
                "Fetch the outcomes of a batch by its handle:",
                "lmbatch retrieve --handle tickets.handle.json -o answers.jsonl",
            ),
        ],
    ),
    (
        "adopt",
        &[
            (
                "Take a run back whose record is lost, by the label of any of its batches:",
                "lmbatch adopt lmbatch-abcdefghijkl-0 tickets.jsonl -m openai/gpt-5.4-mini",
            ),
            (
                "At Anthropic, which keeps no labels, by the ids of all its batches:",
                "lmbatch adopt msgbatch_01 msgbatch_02 tickets.jsonl -m anthropic/claude-haiku-4-5",
            ),
        ],
    ),
    (
        "purge",
        &[
            (
                "See which runs older than 90 days would be deleted:",
                "lmbatch purge --older-than 90d --dry-run",
            ),
            (
                "Delete a run here and at the provider:",
                "lmbatch purge r-b7h0xn --local --remote",
            ),
            (
                "Delete prompts and answers only, and keep the records:",
                "lmbatch purge --older-than 7d --answers",
            ),
        ],
    ),
    (
        "emulate",
        &[
            (
                "Serve the providers' APIs on this machine, and point this shell to them:",
                "lmbatch emulate > emulator.env",
            ),
            (
                "Let batches take as long as they were seen to take:",
                "lmbatch emulate --pace real",
            ),
        ],
    ),
];

/// Adds the examples to the help of a program.
pub(crate) fn add(command: Command, program: &str) -> Command {
    EXAMPLES.iter().fold(command, |command, (name, examples)| {
        let mut text = "Examples:".to_owned();
        for (what, line) in *examples {
            let line = line.replacen("lmbatch", program, 1);
            text.push_str(&format!("\n  {what}\n    {line}"));
        }
        command.mut_subcommand(name, |command| command.after_help(text))
    })
}

/// Returns each example with the name of its command.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    let each = EXAMPLES.iter();
    each.flat_map(|(name, examples)| examples.iter().map(|(_, line)| (*name, *line)))
}
