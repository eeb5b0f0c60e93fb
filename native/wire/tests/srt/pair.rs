//! A caller and a listener with a link between them that does what a test says.

use std::{net::SocketAddr, time::Duration};

use arcly_wire::srt::{
    CallEnd, Passphrase, RejectReason, Reply, Request, SrtCaller, SrtConn, SrtListener, SrtOptions, new_socket_id,
};

pub fn addr() -> SocketAddr {
    "192.0.2.1:5000".parse().unwrap()
}

pub fn secret(text: &str) -> Option<Passphrase> {
    Passphrase::new(text)
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The caller's connection and the listener's.
pub struct Pair {
    pub caller: SrtConn,
    pub listener: SrtConn,
}

/// The request that a listener gets of a caller, at a time.
pub fn request(now: Duration, listener: &SrtListener, caller: &mut SrtCaller) -> Request {
    for _ in 0..2 {
        let packet = caller.poll_output(now).expect("it is time for a packet");
        match listener.handle_input(now, addr(), &packet) {
            Reply::Send(answer) => {
                assert!(answer.len() <= packet.len(), "an answer is no longer than the request");
                caller.handle_input(now, &answer);
            }
            Reply::Request(request) => return *request,
            Reply::Nothing => panic!("no answer"),
        }
    }
    panic!("no request");
}

/// Connects over a link that takes no time.
pub fn connect(
    options: (SrtOptions, SrtOptions),
    secrets: (Option<Passphrase>, Option<Passphrase>),
) -> Result<Pair, RejectReason> {
    let (now, listener) = (ms(1000), SrtListener::new(None).unwrap());
    let mut caller = SrtCaller::new(now, addr(), "publish:live/cam", secrets.0, options.0).unwrap();
    let request = request(now, &listener, &mut caller);
    assert_eq!(request.stream_id(), b"publish:live/cam");
    match request.accept(now, &options.1, secrets.1.as_ref(), new_socket_id().unwrap()) {
        Ok((conn, answer)) => {
            caller.handle_input(now, &answer.packet(now));
            match caller.take_end() {
                Some(CallEnd::Connected(caller)) => Ok(Pair { caller: *caller, listener: conn }),
                end => panic!("{end:?}"),
            }
        }
        Err(reason) => {
            caller.handle_input(now, &request.reject(reason));
            match caller.take_end() {
                Some(CallEnd::Rejected(told)) => assert_eq!(told, reason),
                end => panic!("{end:?}"),
            }
            Err(reason)
        }
    }
}

/// Carries all that one has to say to the other; how many datagrams.
pub fn carry(now: Duration, from: &mut SrtConn, to: &mut SrtConn) -> usize {
    let mut count = 0;
    loop {
        let mut datagram = Vec::new();
        if !from.poll_output(now, &mut datagram) {
            return count;
        }
        to.handle_input(now, &datagram).unwrap();
        count += 1;
    }
}
