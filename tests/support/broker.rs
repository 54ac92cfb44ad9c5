//! Somebody who answers: the few things that a test does to a broker. Real sockets do it (`socket`), and shards in this process.

use ringmq::base::alarms::Alarm;

use super::ctl::Ctl;

/// A connection of one broker, numbered from 0.
pub type Conn = usize;

/// A broker from outside.
pub trait Broker {
    /// Opens a connection.
    fn connect(&mut self) -> Conn;

    /// Sends bytes, whatever the broker may think of them. Bytes for a connection that the broker has closed are lost.
    fn send(&mut self, conn: Conn, bytes: &[u8]);

    /// What came since the last call.
    fn drain(&mut self, conn: Conn) -> Vec<u8>;

    /// Whether the broker closed this connection and everything it sent before is drained.
    fn closed(&mut self, conn: Conn) -> bool;

    /// Closes the connection from the client's side, without a word.
    fn hang_up(&mut self, conn: Conn);

    /// Makes the broker short of something, or no more.
    fn set_alarm(&mut self, alarm: Alarm, on: bool);

    /// An operator does something.
    fn operate(&mut self, ctl: &Ctl) -> Result<(), String>;

    /// The broker, which has no connections any more, stops in an orderly way and starts again.
    fn restart(&mut self);

    /// Lets this much time pass.
    fn pass_time(&mut self, ms: u64);

    /// Waits a little for more to come. `false`: nothing will come any more unless somebody does something.
    fn wait(&mut self) -> bool;
}
