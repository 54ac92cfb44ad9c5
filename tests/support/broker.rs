//! A broker as tests use it: the few operations are implemented over real sockets (`socket`), and
//! by shards in this process.

use ringmq::base::alarms::Alarm;

use super::ctl::Ctl;

/// A connection of one broker, numbered from 0.
pub type Conn = usize;

/// A broker from outside.
pub trait Broker {
    /// Opens a connection.
    fn connect(&mut self) -> Conn;

    /// Sends bytes, valid or not. Bytes for a connection that the broker has closed are lost.
    fn send(&mut self, conn: Conn, bytes: &[u8]);

    /// Returns the bytes that have arrived since the last call.
    fn drain(&mut self, conn: Conn) -> Vec<u8>;

    /// Whether the broker has closed this connection and all its bytes are read.
    fn closed(&mut self, conn: Conn) -> bool;

    /// Closes the connection from the client's side, without a handshake.
    fn hang_up(&mut self, conn: Conn);

    /// Turns an alarm of the broker on or off.
    fn set_alarm(&mut self, alarm: Alarm, on: bool);

    /// Carries out an operator's command.
    fn operate(&mut self, ctl: &Ctl) -> Result<(), String>;

    /// Stops the broker, which has no connections any more, in an orderly way, and starts it again.
    fn restart(&mut self);

    /// Lets this much time pass.
    fn pass_time(&mut self, ms: u64);

    /// Waits a little for more to arrive. Returns `false` if nothing will arrive until a client or
    /// an operator does something.
    fn wait(&mut self) -> bool;
}
