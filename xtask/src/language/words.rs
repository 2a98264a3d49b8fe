//! Words and openings that the style of the project excludes.

/// First words that no doc comment has: it names its item, or says in the third person what the item does.
pub(super) const OPENINGS: &[&str] = &[
    "How", "It", "Its", "That", "What", "When", "Where", "Whether", "Which", "Who", "Whoever",
    "Whose", "Why",
];

/// Words for people where components act, and turns of phrase that have to be decoded.
pub(super) const BANNED: &[&str] = &[
    "a look",
    "all the same",
    "and the like",
    "anybody",
    "anyone",
    "called off",
    "chance",
    "for good",
    "go on",
    "goes on",
    "going on with",
    "gone on",
    "had again",
    "had enough",
    "heed",
    "heeded",
    "heeds",
    "in disguise",
    "in words",
    "legible",
    "looked at",
    "looked for",
    "looks at",
    "mend",
    "mended",
    "mending",
    "mends",
    "no one",
    "nobody",
    "ours",
    "somebody",
    "someone",
    "sorted out",
    "stays shut",
    "stranger",
    "strangers",
    "told",
    "twin",
    "twins",
    "went on",
    "whatever",
    "whoever",
    "yes/no",
];

/// Member names of records that keep a word which is not used elsewhere.
pub(super) const STORED_NAMES: &[&str] = &["strangers"];
