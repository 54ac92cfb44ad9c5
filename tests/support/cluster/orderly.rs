//! A cluster as a broker for tests: sent bytes take effect at once, and time passes from timer to
//! timer.

use ringmq::base::alarms::Alarm;

use super::super::broker::{Broker, Conn};
use super::super::ctl::Ctl;
use super::Cluster;

impl Broker for Cluster {
    fn connect(&mut self) -> Conn {
        let shard = self.next_shard;
        self.next_shard = (shard + 1) % self.shards.len();
        self.connect_to(shard).expect("a test does not connect too often")
    }

    fn send(&mut self, conn: Conn, bytes: &[u8]) {
        self.write(conn, bytes);
        self.settle();
    }

    fn drain(&mut self, conn: Conn) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.settle();
        while self.unread(conn) > 0 {
            bytes.extend(self.read(conn, usize::MAX));
            self.settle();
        }
        bytes
    }

    fn closed(&mut self, conn: Conn) -> bool {
        self.settle();
        self.is_closed(conn)
    }

    fn hang_up(&mut self, conn: Conn) {
        self.reset(conn);
        self.settle();
    }

    fn set_alarm(&mut self, alarm: Alarm, on: bool) {
        self.raise(alarm, on);
        self.settle();
    }

    fn operate(&mut self, ctl: &Ctl) -> Result<(), String> {
        let operator = self.shards.len() - 1;
        for command in ctl.commands()? {
            self.demand(operator, command);
            self.settle();
            let decided = self.next_decision(operator).ok_or("there is no answer")?;
            decided.1.map_err(|fault| fault.text)?;
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.stop();
        self.start();
        self.settle();
    }

    fn pass_time(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(due) = self.next_due().filter(|&due| due <= end) {
            self.set_clock(due.max(self.now));
            self.settle();
        }
        self.set_clock(end);
        self.settle();
    }

    fn wait(&mut self) -> bool {
        self.settle();
        false
    }
}
