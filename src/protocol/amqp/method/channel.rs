//! Class channel.

methods! { 20 "channel";
    /// Client: opens a channel; the field is reserved.
    Open<'a> = 10 "open" {
        out_of_band: &'a str,
    }
    /// Server: the channel is open; the field is reserved.
    OpenOk<'a> = 11 "open-ok" {
        channel_id: &'a [u8],
    }
    /// Either: pauses or resumes the flow of content.
    Flow = 20 "flow" {
        active: bool,
    }
    /// Either: answers that.
    FlowOk = 21 "flow-ok" {
        active: bool,
    }
    /// Either: closes the channel, with the reason and the method that caused it.
    Close<'a> = 40 "close" {
        reply_code: u16,
        reply_text: &'a str,
        class_id: u16,
        method_id: u16,
    }
    /// Either: the close is received.
    CloseOk = 41 "close-ok" {}
}
