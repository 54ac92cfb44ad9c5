//! Class channel.

methods! { 20 "channel";
    /// Client: opens a channel; the field is reserved.
    Open<'a> = 10 "open" {
        out_of_band: &'a str,
    }
    /// Server: it is open; the field is reserved.
    OpenOk<'a> = 11 "open-ok" {
        channel_id: &'a [u8],
    }
    /// Either: pause or resume the flow of content.
    Flow = 20 "flow" {
        active: bool,
    }
    /// Either: done.
    FlowOk = 21 "flow-ok" {
        active: bool,
    }
    /// Either: it is over, why, and which method was to blame.
    Close<'a> = 40 "close" {
        reply_code: u16,
        reply_text: &'a str,
        class_id: u16,
        method_id: u16,
    }
    /// Either: understood.
    CloseOk = 41 "close-ok" {}
}
