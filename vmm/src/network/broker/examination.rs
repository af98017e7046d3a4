//! What `vmm doctor` tells of the way out.

use super::servers;
use crate::jail::describe_broker_jail;
use crate::network::Network;

/// What the host offers for a door.
///
/// # Errors
/// The broker's filter cannot be compiled.
pub(crate) fn examine() -> anyhow::Result<String> {
    let servers: Vec<String> =
        servers::of(&Network::default()).iter().map(|server| server.ip().to_string()).collect();
    Ok(format!(
        "closed, unless --network, --allow or --publish opens it; names by {}; a broker with {}",
        servers.join(", "),
        describe_broker_jail()?
    ))
}
