//! Names of the checks. A check with the name of a clause of `docs/contract.md` proves at the provider what the clause
//! demands of the adapter.

macro_rules! names {
    ($($name:ident = $text:literal),+ $(,)?) => {
        $(pub(super) const $name: &str = $text;)+
        /// All checks, in the order in which a report lists them.
        pub(super) const ALL: &[&str] = &[$($name),+];
    };
}

names! {
    ACCEPTED = "the key and the model are accepted",
    CREATED = "a create returns the batch id of the provider",
    READABLE = "a created batch can be read",
    TIME = "the creation time of a batch is read",
    LISTED = "a list shows a created batch",
    LABEL = "the label of a batch is read",
    AGREES = "a list agrees with the status",
    FOUND = "a created batch can be identified",
    ORDER = "a list is newest first",
    PAGES = "paging through a list returns every batch once",
    UPLOADS = "uploads are listed with their label",
    UNKNOWN = "a 404 of a batch names the batch",
    TOKEN = "a repeated create with the same token is the same batch",
    FENCE = "a create after its fence is not answered",
    CANCEL = "a cancel ends a batch",
    AGAIN = "a repeated cancel is not an error",
    CANCELLED_ROWS = "a cancelled batch returns its answers",
    ENDED = "a batch is completed",
    COUNTS = "request counts are read",
    ROWS = "each request has one row under its own id",
    USAGE = "usage is returned",
    BOUND = "usage is within the bound of the cost limit",
    FINISH = "an answer says why it ended",
    RANGE = "reading from an offset returns the rest",
    TWICE = "results can be read twice",
    CANCEL_ENDED = "a cancel of an ended batch is not an error",
    DISCARD = "discarding deleted objects is not an error",
}
