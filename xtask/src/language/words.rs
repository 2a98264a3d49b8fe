//! Words and openings that the style of the project excludes.

/// First words that no doc comment has: it names its item, or says in the third person what the item does.
pub(super) const OPENINGS: &[&str] = &[
    "How", "It", "Its", "That", "What", "When", "Where", "Whether", "Which", "Who", "Whoever",
    "Whose", "Why",
];

/// Words for people where components act, and turns of phrase that have to be decoded.
pub(super) const BANNED: &[&str] = &[
    "all the same",
    "and the like",
    "anybody",
    "anyone",
    "are told",
    "called off",
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
    "in words",
    "is told",
    "looked for",
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
    "went on",
    "whatever",
    "whoever",
    "yes/no",
];
