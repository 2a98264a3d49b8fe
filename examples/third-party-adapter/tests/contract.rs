//! Contract of every adapter, with Acme's wire format, for both of its routes.

use acme_wire::AcmeWire;

mod by_file {
    use super::*;
    lmbatch_contract::contract_tests!(AcmeWire("file"), edition = "2026-11");
}

mod inline {
    use super::*;
    lmbatch_contract::contract_tests!(AcmeWire("inline"), edition = "2026-11");
}
