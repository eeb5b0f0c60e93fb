//! An established connection of SRT, in the clear and encrypted: sequences of what a peer can send, genuine and not, while time passes.

use std::time::Duration;

use arcly_wire::srt::{
    CallEnd, CipherMode, DataHeader, KeyFlag, Limits, Packet, Passphrase, Position, Reply, SrtCaller, SrtConn,
    SrtListener, SrtOptions,
};
use bytes::Bytes;

use super::Target;
use crate::mutate::Input;

const RECEIVE_PACKETS: usize = 256;
const SEND_PACKETS: usize = 64;
/// Payload of a packet at most: what follows in an operation.
const PAYLOAD_BYTES_MAX: usize = 255;

pub const TARGET: Target = Target {
    name: "srt_conn",
    vectors,
    edit: None,
    buffered_bytes_max: (RECEIVE_PACKETS + SEND_PACKETS) * PAYLOAD_BYTES_MAX + (64 << 11),
    run,
};

/// Operations; each is followed by the number of its bytes, and these.
mod op {
    /// Any datagram, its destination made right.
    pub const DATAGRAM: u8 = 0;
    /// Data: distance from the expected sequence number (16 bits, signed), timestamp (32), flags, payload.
    pub const DATA: u8 = 1;
    /// A control packet: its type, information (32 bits), contents.
    pub const CONTROL: u8 = 2;
    /// Time: so many milliseconds, squared.
    pub const WAIT: u8 = 3;
    /// We send.
    pub const SEND: u8 = 4;
    /// The genuine peer sends, and hears what we say.
    pub const TALK: u8 = 5;
    /// The genuine peer sends, and it is lost.
    pub const LOSE: u8 = 6;
    /// We end it.
    pub const CLOSE: u8 = 7;
}

/// First byte of an input: with a passphrase; in counter mode, or in Galois counter mode.
const ENCRYPTED: u8 = 1;
const AUTHENTICATED: u8 = 2;

fn vectors() -> Vec<Vec<u8>> {
    let talk: &[u8] = &[op::TALK, 3, 1, 2, 3, op::WAIT, 1, 4, op::SEND, 2, 9, 9];
    let lose: &[u8] = &[op::LOSE, 3, 1, 2, 3, op::TALK, 1, 5, op::WAIT, 1, 12];
    let data: &[u8] = &[op::DATA, 9, 0, 0, 0, 0, 0, 9, 0xc0, 1, 2, op::DATA, 9, 0, 5, 0, 0, 1, 9, 0xc4, 1, 2];
    let far: &[u8] = &[op::DATA, 8, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xd0, 1, op::WAIT, 1, 200];
    let nak: &[u8] = &[op::CONTROL, 13, 3, 0, 0, 0, 0, 0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, op::WAIT, 1, 9];
    let ack: &[u8] = &[op::CONTROL, 9, 2, 0, 0, 0, 7, 0x20, 0, 0, 0, op::CONTROL, 5, 6, 0, 0, 0, 1];
    let drop: &[u8] = &[op::CONTROL, 13, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff];
    let end: &[u8] = &[op::CONTROL, 5, 5, 0, 0, 0, 0, op::CLOSE, 0];
    let sessions =
        [[talk, lose, data, talk].concat(), [data, far, nak, ack, talk].concat(), [drop, lose, nak, end].concat()];
    let marked = |mark: u8| sessions.iter().map(move |session| [&[mark], &session[..]].concat());
    // One of eight is encrypted: to derive a key takes the time of a hundred sessions.
    let clear = marked(0).cycle().take(7 * sessions.len());
    clear.chain(marked(ENCRYPTED).step_by(2)).chain(marked(AUTHENTICATED).skip(1)).collect()
}

/// The peer, and us.
struct Pair {
    peer: SrtConn,
    ours: SrtConn,
    now: Duration,
    /// Of the peer's first packet.
    sequence: u32,
}

fn connect(mark: u8) -> Option<Pair> {
    let now = Duration::from_secs(10);
    let addr = ([192, 0, 2, 1], 5000).into();
    let limits = Limits { receive_packets: RECEIVE_PACKETS, send_packets: SEND_PACKETS, ..Limits::default() };
    let cipher = if mark == AUTHENTICATED { CipherMode::Gcm } else { CipherMode::Ctr };
    let options =
        SrtOptions { limits, cipher, key_refresh_packets: 16, key_announce_packets: 4, ..SrtOptions::default() };
    let passphrase = Passphrase::new("a passphrase").filter(|_| matches!(mark, ENCRYPTED | AUTHENTICATED));
    let listener = SrtListener::new(None).ok()?;
    let mut caller = SrtCaller::new(now, addr, "publish:live/cam", passphrase.clone(), options).ok()?;
    for _ in 0..2 {
        match listener.handle_input(now, addr, &caller.poll_output(now)?) {
            Reply::Send(answer) => caller.handle_input(now, &answer),
            Reply::Request(request) => {
                let (ours, answer) = request.accept(now, &options, passphrase.as_ref(), 7).ok()?;
                caller.handle_input(now, &answer.packet(now));
                let Some(CallEnd::Connected(mut peer)) = caller.take_end() else { return None };
                let mut first = Vec::new();
                peer.send(now, &Bytes::from_static(b"first"));
                peer.poll_output(now, &mut first);
                let Ok(Packet::Data(header, _)) = Packet::parse(&first) else { return None };
                return Some(Pair { peer: *peer, ours, now, sequence: header.sequence });
            }
            Reply::Nothing => return None,
        }
    }
    None
}

fn run(input: &Input) -> usize {
    let (mark, mut rest) = input.bytes.split_first().unwrap_or((&0, &[]));
    let pair = connect(*mark);
    assert!(pair.is_some(), "two of our own connect");
    let Some(mut pair) = pair else { return 0 };
    let mut held = 0;
    while let Some((head, behind)) = rest.split_first_chunk::<2>() {
        let (body, next) = behind.split_at_checked(usize::from(head[1])).unwrap_or((behind, &[]));
        pair.apply(head[0] % 8, body);
        pair.settle();
        held = pair.ours.buffered_bytes().max(held);
        rest = next;
    }
    assert!(pair.ours.stats(pair.now).receive_buffer_packets <= RECEIVE_PACKETS as u64);
    held
}

impl Pair {
    fn apply(&mut self, operation: u8, body: &[u8]) {
        match operation {
            op::DATAGRAM => {
                let mut datagram = body.to_vec();
                if let Some(destination) = datagram.get_mut(12..16) {
                    destination.copy_from_slice(&self.ours.local_id().to_be_bytes());
                }
                self.hear(&datagram);
            }
            op::DATA => self.data(body),
            op::CONTROL => {
                let (control_type, rest) = body.split_first().unwrap_or((&0, &[]));
                let (info, contents) = rest.split_at_checked(4).unwrap_or((&[0; 4], rest));
                let user = if *control_type == 0x7f { [0xff, 0xff, 0, 3] } else { [0x80, *control_type, 0, 0] };
                let destination = self.ours.local_id().to_be_bytes();
                self.hear(&[&user[..], info, &[0, 1, 0, 0], &destination, contents].concat());
            }
            op::WAIT => {
                let ms = u64::from(body.first().copied().unwrap_or(1));
                self.now += Duration::from_millis(ms * ms);
                self.ours.handle_timeout(self.now);
                self.peer.handle_timeout(self.now);
            }
            op::SEND => drop(self.ours.send(self.now, &Bytes::copy_from_slice(body))),
            op::CLOSE => self.ours.close(self.now),
            _ => self.talk(body, operation == op::TALK),
        }
    }

    fn hear(&mut self, datagram: &[u8]) {
        let _ = self.ours.handle_input(self.now, datagram);
    }

    fn data(&mut self, body: &[u8]) {
        let Some((&[d0, d1, t0, t1, t2, t3, flags], payload)) = body.split_first_chunk::<7>() else { return };
        let distance = i32::from(i16::from_be_bytes([d0, d1])).cast_unsigned();
        let key = match flags >> 3 & 3 {
            0 => KeyFlag::Clear,
            1 => KeyFlag::Even,
            2 => KeyFlag::Odd,
            _ => KeyFlag::Both,
        };
        let header = DataHeader {
            sequence: self.sequence.wrapping_add(distance) & 0x7fff_ffff,
            position: if flags & 0x80 == 0 { Position::Middle } else { Position::Solo },
            is_ordered: true,
            key,
            is_retransmitted: flags & 4 != 0,
            message: 1,
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            destination: self.ours.local_id(),
        };
        self.hear(&[&header.to_bytes(), payload].concat());
    }

    /// The genuine peer says something, which may be lost; what we say reaches it only where nothing is.
    fn talk(&mut self, body: &[u8], arrives: bool) {
        self.peer.send(self.now, &Bytes::copy_from_slice(body));
        let mut datagram = Vec::new();
        while self.peer.poll_output(self.now, &mut datagram) {
            if arrives {
                self.hear(&datagram);
            }
            datagram.clear();
        }
        while arrives && self.ours.poll_output(self.now, &mut datagram) {
            let _ = self.peer.handle_input(self.now, &datagram);
            datagram.clear();
        }
    }

    /// Takes all that there is; and time goes on, whatever was sent: what is due now is done then.
    fn settle(&mut self) {
        for _ in 0..16 {
            while self.ours.deliver(self.now).is_some() {}
            let mut datagram = Vec::new();
            while self.ours.poll_output(self.now, &mut datagram) {
                assert!(datagram.len() <= 1472, "it fits into a packet of Ethernet");
                datagram.clear();
            }
            match self.ours.poll_timeout() {
                Some(due) if due <= self.now => self.ours.handle_timeout(self.now),
                _ => return,
            }
        }
        let due = self.ours.poll_timeout();
        assert!(due.is_none_or(|due| due > self.now), "it spins: {due:?} at {:?}", self.now);
    }
}
