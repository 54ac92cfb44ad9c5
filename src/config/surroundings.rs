//! What the process finds around it and the configuration depends on.

/// The process's surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The CPUs that the process may use.
    pub cpus: &'a [usize],
    /// The name of the host, without its domain.
    pub host: &'a str,
    /// The environment's `RABBITMQ_NODENAME`, if it is set.
    pub node_name: Option<&'a str>,
}
