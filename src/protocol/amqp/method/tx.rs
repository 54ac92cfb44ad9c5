//! Class tx.

methods! { 90 "tx";
    /// Client: makes the channel transactional.
    Select = 10 "select" {}
    /// Server: the channel is transactional.
    SelectOk = 11 "select-ok" {}
    /// Client: ends the transaction and puts it into effect.
    Commit = 20 "commit" {}
    /// Server: the transaction is in effect.
    CommitOk = 21 "commit-ok" {}
    /// Client: ends the transaction without effect.
    Rollback = 30 "rollback" {}
    /// Server: the transaction is rolled back.
    RollbackOk = 31 "rollback-ok" {}
}
