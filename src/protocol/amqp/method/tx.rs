//! Class tx.

methods! { 90 "tx";
    /// Client: makes the channel transactional.
    Select = 10 "select" {}
    /// Server: it is.
    SelectOk = 11 "select-ok" {}
    /// Client: ends the transaction and lets it count.
    Commit = 20 "commit" {}
    /// Server: it counts.
    CommitOk = 21 "commit-ok" {}
    /// Client: ends the transaction and forgets it.
    Rollback = 30 "rollback" {}
    /// Server: forgotten.
    RollbackOk = 31 "rollback-ok" {}
}
