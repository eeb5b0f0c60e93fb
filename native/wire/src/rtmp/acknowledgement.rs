//! Acknowledging what has come (RTMP §5.4.3, §5.4.4).

/// Bytes received, told and to be told to the peer (RTMP §5.4.3), modulo 2^32.
#[derive(Debug)]
pub(super) struct Acknowledgement {
    received: u32,
    told: u32,
    window: u32,
}

impl Acknowledgement {
    pub(super) fn new(window: u32) -> Self {
        Self { received: 0, told: 0, window }
    }

    pub(super) fn on_input(&mut self, bytes: usize) {
        // Modulo 2^32, as the field on the wire.
        self.received = self.received.wrapping_add(bytes as u32);
    }

    /// A window of 0 would ask for an acknowledgement of nothing: the peer did not mean it.
    pub(super) fn set_window(&mut self, window: u32) {
        if window > 0 {
            self.window = window;
        }
    }

    /// The sequence number to send, at most once per input whatever the window.
    pub(super) fn due(&mut self) -> Option<u32> {
        let due = self.received.wrapping_sub(self.told) >= self.window;
        due.then(|| {
            self.told = self.received;
            self.received
        })
    }
}
