//! The address under which the world sees our port: STUN servers are asked from the port itself (RFC 8489 §2), and asked again for as long as
//! it is open, since a NAT on the way forgets who is silent, or gives another address.
//!
//! Peers are told it as a host candidate: an agent of ICE-lite has no others (RFC 8445 §2.5).

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use aws_lc_rs::rand;

use super::stun::{BINDING_REQUEST, BINDING_SUCCESS, COOKIE, MAPPED_ADDRESS, Message, Transaction, XOR_MAPPED_ADDRESS};

/// Servers that are asked at most: they all say the same, unless one of them is down.
pub const SERVERS_MAX: usize = 4;

/// How often a request is sent, and the time behind the first, which doubles (RFC 8489 §6.2.1).
const TRIES_MAX: u32 = 7;
const RTO: Duration = Duration::from_millis(500);

/// Between two questions: NATs keep a mapping of UDP for half a minute and more (RFC 4787 §4.3 asks for two).
const EVERY: Duration = Duration::from_secs(20);

/// What has been found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovered {
    /// The server sees the port here, which is news.
    Address(SocketAddr),
    /// The server does not answer; it will be asked again.
    Silence {
        /// Which.
        server: SocketAddr,
    },
}

/// Asks servers. Sans-IO: [`Self::poll`] says what is to be sent, [`Self::handle_datagram`] takes what comes.
#[derive(Debug, Default)]
pub struct Discovery {
    asked: Vec<Asked>,
}

/// One server.
#[derive(Debug)]
struct Asked {
    server: SocketAddr,
    /// Of the question that is open.
    transaction: Option<Transaction>,
    tries: u32,
    due: Instant,
    seen_at: Option<SocketAddr>,
    was_silent: bool,
}

impl Discovery {
    /// Of the first [`SERVERS_MAX`] of `servers`.
    pub fn new(servers: &[SocketAddr], now: Instant) -> Self {
        let asked = |server: &SocketAddr| Asked {
            server: *server,
            transaction: None,
            tries: 0,
            due: now,
            seen_at: None,
            was_silent: false,
        };
        Self { asked: servers.iter().take(SERVERS_MAX).map(asked).collect() }
    }

    /// When [`Self::poll`] has something next.
    pub fn due(&self) -> Option<Instant> {
        self.asked.iter().map(|asked| asked.due).min()
    }

    /// The requests that are due, each with its server, and the servers that have been given up for now.
    pub fn poll(&mut self, now: Instant) -> (Vec<(SocketAddr, Vec<u8>)>, Vec<Discovered>) {
        let (mut requests, mut silent) = (Vec::new(), Vec::new());
        for asked in self.asked.iter_mut().filter(|asked| asked.due <= now) {
            match asked.next(now) {
                Some(request) => requests.push((asked.server, request)),
                None if asked.was_silent => {}
                None => {
                    asked.was_silent = true;
                    silent.push(Discovered::Silence { server: asked.server });
                }
            }
        }
        (requests, silent)
    }

    /// Takes a datagram; none when it is no answer to what was asked, or says nothing new.
    pub fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) -> Option<Discovered> {
        let asked = self.asked.iter_mut().find(|asked| asked.server == from)?;
        let address = mapped_address(bytes, &asked.transaction?)?;
        (asked.transaction, asked.tries, asked.due, asked.was_silent) = (None, 0, now + EVERY, false);
        let before = asked.seen_at.replace(address);
        (before != Some(address)).then_some(Discovered::Address(address))
    }

    /// Where the port is seen from outside, each once.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let mut found: Vec<_> = self.asked.iter().filter_map(|asked| asked.seen_at).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Asked {
    /// The request to send now; none when the server has been asked often enough.
    fn next(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.tries == TRIES_MAX {
            (self.transaction, self.tries, self.due) = (None, 0, now + EVERY);
            return None;
        }
        self.due = now + RTO * 2_u32.saturating_pow(self.tries);
        // Without randomness anybody could answer: then nobody is asked.
        let transaction = self.transaction.or_else(fresh)?;
        self.transaction = Some(transaction);
        self.tries += 1;
        Some([&BINDING_REQUEST.to_be_bytes()[..], &[0, 0], &COOKIE, &transaction].concat())
    }
}

fn fresh() -> Option<Transaction> {
    let mut transaction = Transaction::default();
    rand::fill(&mut transaction).ok()?;
    Some(transaction)
}

/// The address in an answer to the question of that transaction (RFC 8489 §14.1, §14.2).
pub fn mapped_address(bytes: &[u8], transaction: &Transaction) -> Option<SocketAddr> {
    let is_answer = |message: &Message<'_>| message.kind == BINDING_SUCCESS && message.transaction == *transaction;
    let message = Message::parse(bytes).filter(is_answer)?;
    let mut plain = None;
    for attribute in message.attributes() {
        match attribute.kind {
            XOR_MAPPED_ADDRESS => return address(attribute.value).map(|address| unmask(address, transaction)),
            // Servers from before RFC 5389 say it so; a NAT that changes addresses inside of packets would have changed it.
            MAPPED_ADDRESS => plain = address(attribute.value),
            _ => {}
        }
    }
    plain
}

/// RFC 8489 §14.1: a zero, the family, the port, the address.
fn address(value: &[u8]) -> Option<SocketAddr> {
    let (head, ip) = value.split_at_checked(4)?;
    let ip = match head.get(1)? {
        1 => IpAddr::from(<[u8; 4]>::try_from(ip).ok()?),
        2 => IpAddr::from(<[u8; 16]>::try_from(ip).ok()?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, number(head.get(2..)?)?))
}

/// RFC 8489 §14.2: hidden under the cookie and, of IPv6, the transaction.
fn unmask(address: SocketAddr, transaction: &Transaction) -> SocketAddr {
    let mask = u128::from_be_bytes(mask(transaction));
    let ip = match address.ip() {
        IpAddr::V4(ip) => IpAddr::from((u32::from(ip) ^ (mask >> 96) as u32).to_be_bytes()),
        IpAddr::V6(ip) => IpAddr::from((u128::from(ip) ^ mask).to_be_bytes()),
    };
    SocketAddr::new(ip, address.port() ^ (mask >> 112) as u16)
}

fn mask(transaction: &Transaction) -> [u8; 16] {
    let mut mask = [0; 16];
    for (to, from) in mask.iter_mut().zip(COOKIE.iter().chain(transaction)) {
        *to = *from;
    }
    mask
}

fn number(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// RFC 5769 §2.2 and §2.3, without what proves who sent them.
    #[test]
    fn sample_responses_of_rfc_5769() {
        let transaction = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        let v4 = [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        let v6 = [
            0, 0x20, 0, 20, 0, 2, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5,
            0xbe, 0xd2, 0xb9, 0xd9,
        ];
        let software = [0x80, 0x22, 0, 11, b't', b'e', b's', b't', b' ', b'v', b'e', b'c', b't', b'o', b'r', b' '];
        for (attribute, told) in
            [(&v4[..], "192.0.2.1:32853"), (&v6[..], "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
        {
            let body = [&software[..], attribute].concat();
            let head = [&BINDING_SUCCESS.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), &COOKIE, &transaction]
                .concat();
            let whole = [head, body].concat();
            assert_eq!(mapped_address(&whole, &transaction), Some(addr(told)));
            assert_eq!(mapped_address(&whole, &[0; 12]), None, "of another question");
            (0..whole.len()).for_each(|length| assert_eq!(mapped_address(&whole[..length], &transaction), None));
        }
    }

    #[test]
    fn a_silent_server_is_asked_seven_times_told_of_once_and_asked_again() {
        let start = Instant::now();
        let mut discovery = Discovery::new(&[addr("192.0.2.9:3478")], start);
        let (mut sent, mut silences) = (Vec::new(), 0);
        for second in 0..200 {
            let now = start + Duration::from_secs(second);
            let (requests, silent) = discovery.poll(now);
            sent.extend(requests.into_iter().map(|(_, request)| (second, request)));
            silences += silent.len();
        }
        assert_eq!(silences, 1);
        let (first, again): (Vec<_>, Vec<_>) = sent.iter().partition(|(_, request)| *request == sent[0].1);
        assert_eq!(first.len(), 7, "RFC 8489 §6.2.1: Rc");
        assert!(!again.is_empty());
    }

    #[test]
    fn only_the_server_that_was_asked_is_believed() {
        let (start, server) = (Instant::now(), addr("192.0.2.9:3478"));
        let mut discovery = Discovery::new(&[server], start);
        let (requests, _) = discovery.poll(start);
        let transaction = &requests[0].1[8..];
        let answer = |port: u8| {
            let body = [0, 1, 0, 8, 0, 1, 0x20, port, 203, 0, 113, 5];
            [&BINDING_SUCCESS.to_be_bytes()[..], &[0, 12], &COOKIE, transaction, &body].concat()
        };
        assert_eq!(discovery.handle_datagram(addr("192.0.2.66:3478"), &answer(1), start), None);
        let told = Some(Discovered::Address(addr("203.0.113.5:8193")));
        assert_eq!(discovery.handle_datagram(server, &answer(1), start), told);
        assert_eq!(discovery.handle_datagram(server, &answer(2), start), None, "it was answered");
        assert_eq!(discovery.addresses(), [addr("203.0.113.5:8193")]);
        assert_eq!(discovery.due(), Some(start + EVERY));
    }
}
