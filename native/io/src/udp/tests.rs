use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{runtime::Handle, time::timeout};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn open(addr: &str, options: &UdpOptions) -> UdpSocket {
    UdpSocket::bind(&Handle::current(), addr.parse().unwrap(), options).unwrap()
}

/// Receives so many datagrams, as (peer, local, bytes).
async fn take(socket: &UdpSocket, count: usize) -> Vec<(SocketAddr, Option<IpAddr>, Vec<u8>)> {
    let (mut inbound, mut taken) = (socket.inbound(), Vec::new());
    while taken.len() < count {
        timeout(PATIENCE, socket.receive(&mut inbound)).await.expect("datagrams come").unwrap();
        taken.extend(inbound.datagrams().map(|datagram| (datagram.peer, datagram.local, datagram.bytes.to_vec())));
    }
    taken
}

/// Datagrams that differ, of these sizes.
fn datagrams(sizes: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    sizes.into_iter().enumerate().map(|(index, size)| vec![index as u8; size]).collect()
}

async fn sent_and_received(sizes: &[usize], coalesced: bool, segmented: bool) {
    let to = open("127.0.0.1:0", &UdpOptions { coalesced, ..UdpOptions::default() });
    let from = open("127.0.0.1:0", &UdpOptions { segmented, ..UdpOptions::default() });
    let (sent, mut outbound) = (datagrams(sizes.iter().copied()), Outbound::new(1 << 20));
    for datagram in &sent {
        assert!(outbound.push(to.addr(), None, &[datagram]));
    }
    from.flush(&mut outbound).await.unwrap();
    let received = take(&to, sent.len()).await;
    assert!(received.iter().all(|(peer, _, _)| *peer == from.addr()));
    assert_eq!(received.into_iter().map(|(_, _, bytes)| bytes).collect::<Vec<_>>(), sent);
    assert_eq!((outbound.dropped(), outbound.waiting_bytes()), (0, 0));
}

#[tokio::test]
async fn datagrams_of_any_size_arrive_as_they_were_sent() {
    let sizes = [1316, 1316, 1316, 500, 1316, 1200, 1200, 1, 2, 1400, 1400];
    for (coalesced, segmented) in [(false, false), (false, true), (true, false), (true, true)] {
        sent_and_received(&sizes, coalesced, segmented).await;
        sent_and_received(&[1316; 200], coalesced, segmented).await;
    }
}

#[tokio::test]
async fn many_destinations_get_each_their_own() {
    let receivers: Vec<_> = (0..50).map(|_| open("127.0.0.1:0", &UdpOptions::default())).collect();
    let from = open("127.0.0.1:0", &UdpOptions::default());
    let mut outbound = Outbound::new(1 << 20);
    for (index, receiver) in receivers.iter().enumerate() {
        for part in 0..3 {
            assert!(outbound.push(receiver.addr(), None, &[&[index as u8], &[part; 99]]));
        }
    }
    from.flush(&mut outbound).await.unwrap();
    for (index, receiver) in receivers.iter().enumerate() {
        for (part, (_, _, bytes)) in take(receiver, 3).await.iter().enumerate() {
            assert_eq!((bytes[0], bytes[1], bytes.len()), (index as u8, part as u8, 100));
        }
    }
}

#[tokio::test]
async fn a_socket_of_both_families_shows_peers_and_own_addresses_as_they_are() {
    let options = UdpOptions { local_addresses: true, coalesced: true, ..UdpOptions::default() };
    let to = open("[::]:0", &options);
    for (host, from) in [("127.0.0.1", "127.0.0.1:0"), ("::1", "[::1]:0"), ("127.0.0.2", "127.0.0.1:0")] {
        let from = open(from, &UdpOptions::default());
        let host: IpAddr = host.parse().unwrap();
        let mut outbound = Outbound::new(1000);
        outbound.push(SocketAddr::new(host, to.addr().port()), None, &[b"hello"]);
        from.flush(&mut outbound).await.unwrap();
        let received = take(&to, 1).await;
        assert_eq!(received, [(from.addr(), Some(host), b"hello".to_vec())]);
        // The answer comes from the address that was asked.
        outbound.push(from.addr(), received[0].1, &[b"a"]);
        to.flush(&mut outbound).await.unwrap();
        assert_eq!(take(&from, 1).await[0].0, SocketAddr::new(host, to.addr().port()));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn many_datagrams_pass_the_kernel_as_one() {
    let to = open("127.0.0.1:0", &UdpOptions { coalesced: true, ..UdpOptions::default() });
    let (from, mut outbound) = (open("127.0.0.1:0", &UdpOptions::default()), Outbound::new(1 << 20));
    (0..40).for_each(|_| assert!(outbound.push(to.addr(), None, &[&[7; 1316]])));
    from.flush(&mut outbound).await.unwrap();
    let mut inbound = to.inbound();
    timeout(PATIENCE, to.receive(&mut inbound)).await.unwrap().unwrap();
    assert_eq!((inbound.filled.len(), inbound.datagrams().count()), (1, 40));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn where_the_system_cannot_cut_messages_datagrams_go_one_by_one() {
    let (to, from) = (open("127.0.0.1:0", &UdpOptions::default()), open("127.0.0.1:0", &UdpOptions::default()));
    from.leave_out_checksums();
    let mut outbound = Outbound::new(1 << 20);
    for size in [1000, 1000, 1000, 500, 900, 900] {
        outbound.push(to.addr(), None, &[&vec![7; size]]);
    }
    from.flush(&mut outbound).await.unwrap();
    let sizes: Vec<_> = take(&to, 6).await.iter().map(|(_, _, bytes)| bytes.len()).collect();
    assert_eq!((sizes, outbound.dropped()), (vec![1000, 1000, 1000, 500, 900, 900], 0));
}

#[test]
fn a_message_that_was_sent_in_part_goes_on_behind_it() {
    let to: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let mut outbound = Outbound::new(1 << 20);
    (0..4).for_each(|index| assert!(outbound.push(to, None, &[&[index; 1000]])));
    assert_eq!(outbound.messages(usize::MAX).count(), 1);
    assert_eq!(outbound.messages(999).count(), 4);
    outbound.advance(1000);
    let left: Vec<_> = outbound.messages(999).map(|message| message.bytes[0]).collect();
    assert_eq!(left, [1, 2, 3]);
}

#[tokio::test]
async fn what_the_system_refuses_is_dropped_and_the_rest_goes_on() {
    let (to, from) = (open("127.0.0.1:0", &UdpOptions::default()), open("127.0.0.1:0", &UdpOptions::default()));
    let mut outbound = Outbound::new(1 << 20);
    // A broadcast that was not allowed (socket(7), SO_BROADCAST), in the middle.
    let forbidden = "255.255.255.255:9".parse().unwrap();
    outbound.push(to.addr(), None, &[b"first"]);
    (0..3).for_each(|_| assert!(outbound.push(forbidden, None, &[b"nobody"])));
    outbound.push(to.addr(), None, &[b"last"]);
    from.flush(&mut outbound).await.unwrap();
    let received: Vec<_> = take(&to, 2).await.into_iter().map(|(_, _, bytes)| bytes).collect();
    assert_eq!(received, [b"first".to_vec(), b"last".to_vec()]);
    assert_eq!(outbound.dropped(), 3);
    assert!(outbound.take_error().is_some());
    assert!(outbound.take_error().is_none());
}

#[test]
fn the_queue_is_bounded_and_gives_back_room() {
    let to: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let mut outbound = Outbound::new(3000);
    assert!(outbound.push(to, None, &[&[1; 1000]]));
    assert!(outbound.push(to, None, &[&[2; 1000]]));
    assert!(outbound.push(to, None, &[&[3; 1000]]));
    assert!(!outbound.push(to, None, &[&[4; 1]]));
    assert_eq!((outbound.dropped(), outbound.waiting_bytes()), (1, 3000));
    outbound.advance(1000);
    assert_eq!(outbound.waiting_bytes(), 2000);
    assert!(outbound.push(to, None, &[&[5; 1000]]));
    assert_eq!(outbound.waiting_bytes(), 3000);
    let bytes: Vec<u8> = outbound.messages(0).map(|message| message.bytes[0]).collect();
    assert_eq!(bytes, [2, 3, 5]);
    outbound.clear();
    assert!(outbound.is_empty());
    assert_eq!(outbound.waiting_bytes(), 0);
}

#[test]
fn what_is_appended_in_place_is_as_what_is_pushed() {
    let to: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let mut outbound = Outbound::new(1 << 20);
    let append = |outbound: &mut Outbound, to, bytes: &[u8], is_written| {
        outbound.append(to, None, |out| {
            out.extend_from_slice(bytes);
            is_written
        })
    };
    assert!(outbound.push(to, None, &[&[1; 100]]));
    assert!(append(&mut outbound, to, &[2; 100], true));
    assert!(!append(&mut outbound, to, &[3; 100], false), "there is none, whatever was written");
    assert!(append(&mut outbound, "127.0.0.1:0".parse().unwrap(), &[4; 100], true));
    assert!(append(&mut outbound, to, &[5; 60], true));
    let messages: Vec<_> = outbound.messages(usize::MAX).map(|at| (at.bytes.len(), at.segment_bytes)).collect();
    assert_eq!((messages, outbound.dropped()), (vec![(260, Some(100))], 1));
    assert_eq!(outbound.messages(0).map(|message| message.bytes[0]).collect::<Vec<_>>(), [1, 2, 5]);
}

#[test]
fn a_shorter_datagram_ends_a_message() {
    let to: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let (other, mut outbound) = ("127.0.0.1:8".parse().unwrap(), Outbound::new(1 << 20));
    for (to, size) in [(to, 10), (to, 10), (to, 4), (to, 10), (to, 11), (other, 11), (other, 11)] {
        outbound.push(to, None, &[&vec![0; size]]);
    }
    let messages: Vec<_> = outbound.messages(usize::MAX).map(|at| (at.bytes.len(), at.segment_bytes)).collect();
    assert_eq!(messages, [(24, Some(10)), (10, None), (11, None), (22, Some(11))]);
}

#[tokio::test]
async fn a_datagram_larger_than_its_slot_is_counted_and_the_next_is_whole() {
    let (to, from) = (open("127.0.0.1:0", &UdpOptions::default()), open("127.0.0.1:0", &UdpOptions::default()));
    let mut outbound = Outbound::new(1 << 20);
    outbound.push(to.addr(), None, &[&[0; 9000]]);
    outbound.push(to.addr(), None, &[b"small"]);
    from.flush(&mut outbound).await.unwrap();
    let mut inbound = to.inbound();
    while inbound.datagrams().next().is_none() {
        timeout(PATIENCE, to.receive(&mut inbound)).await.unwrap().unwrap();
    }
    assert_eq!(inbound.datagrams().next().unwrap().bytes, b"small");
    assert_eq!(inbound.lost(), 1);
}

#[tokio::test]
async fn what_nobody_read_in_time_is_counted() {
    let to = open("127.0.0.1:0", &UdpOptions { receive_buffer_bytes: 4096, ..UdpOptions::default() });
    let from = open("127.0.0.1:0", &UdpOptions::default());
    let (sent, mut outbound) = (100, Outbound::new(1 << 20));
    (0..sent).for_each(|_| assert!(outbound.push(to.addr(), None, &[&[0; 1000]])));
    from.flush(&mut outbound).await.unwrap();
    let mut inbound = to.inbound();
    timeout(PATIENCE, to.receive(&mut inbound)).await.unwrap().unwrap();
    let mut received = inbound.datagrams().count() as u64;
    while to.try_receive(&mut inbound).is_ok() {
        received += inbound.datagrams().count() as u64;
    }
    // The kernel says with a datagram what was lost before it came: one more shows the rest.
    outbound.push(to.addr(), None, &[b"last"]);
    from.flush(&mut outbound).await.unwrap();
    timeout(PATIENCE, to.receive(&mut inbound)).await.unwrap().unwrap();
    assert!(received < sent);
    assert_eq!(received + inbound.lost(), sent);
}

#[tokio::test]
async fn a_capped_buffer_is_a_warning_that_names_the_setting() {
    let options = UdpOptions { receive_buffer_bytes: 1 << 30, ..UdpOptions::default() };
    let warnings = open("127.0.0.1:0", &options).warnings().to_vec();
    assert!(warnings.iter().any(|warning| warning.contains("net.core.rmem_max")), "{warnings:?}");
    assert!(open("127.0.0.1:0", &UdpOptions { receive_buffer_bytes: 1000, ..options }).warnings().is_empty());
}

fn group(text: &str, source: Option<&str>, interface: &str) -> Option<Membership> {
    let (group, source) = (text.parse().unwrap(), source.map(|source| source.parse().unwrap()));
    Some(Membership { group, source, interface: Interface::parse(interface) })
}

/// A sender to groups on the loopback interface.
fn sender(interface: &str, loopback: bool) -> UdpSocket {
    let multicast_out = MulticastOut { interface: Interface::parse(interface), ttl: 3, loopback };
    open("127.0.0.1:0", &UdpOptions { multicast_out, ..UdpOptions::default() })
}

#[tokio::test]
async fn members_of_a_group_get_what_is_sent_to_it_and_others_do_not() {
    let options = |membership| UdpOptions { membership, shared: true, ..UdpOptions::default() };
    let first = open("239.77.1.1:0", &options(group("239.77.1.1", None, "lo")));
    let port = first.addr().port();
    let second = open(&format!("239.77.1.1:{port}"), &options(group("239.77.1.1", None, "127.0.0.1")));
    let other = open(&format!("239.77.1.2:{port}"), &options(group("239.77.1.2", None, "lo")));
    for interface in ["lo", "127.0.0.1"] {
        let (from, mut outbound) = (sender(interface, true), Outbound::new(1 << 20));
        for (group, text) in [(Ipv4Addr::new(239, 77, 1, 1), b"one"), (Ipv4Addr::new(239, 77, 1, 2), b"two")] {
            outbound.push((group, port).into(), None, &[text]);
        }
        from.flush(&mut outbound).await.unwrap();
        for (receiver, text) in [(&first, b"one"), (&second, b"one"), (&other, b"two")] {
            assert_eq!(take(receiver, 1).await[0].2, text);
            assert!(receiver.try_receive(&mut receiver.inbound()).is_err());
        }
    }
}

/// They left with a TTL of 1, whatever was asked for and promised in SETUP: `[::]` is where RTSP listens if nobody says otherwise.
#[cfg(target_os = "linux")]
#[test]
fn a_socket_of_both_families_sends_to_groups_of_ipv4_as_far_as_to_those_of_ipv6() {
    let multicast_out = MulticastOut { interface: Interface::Routed, ttl: 16, loopback: false };
    let options = UdpOptions { multicast_out, ..UdpOptions::default() };
    let socket = options::open("[::]:0".parse().unwrap(), &options).unwrap().socket;
    assert_eq!((socket.multicast_hops_v6().unwrap(), socket.multicast_loop_v6().unwrap()), (16, false));
    assert_eq!((socket.multicast_ttl_v4().unwrap(), socket.multicast_loop_v4().unwrap()), (16, false));
}

#[tokio::test]
async fn only_the_chosen_source_is_heard() {
    for interface in ["lo", "127.0.0.1"] {
        let membership = group("232.77.1.1", Some("127.0.0.3"), interface);
        let receiver = open("232.77.1.1:0", &UdpOptions { membership, shared: true, ..UdpOptions::default() });
        let to = receiver.addr();
        for from in ["127.0.0.2:0", "127.0.0.3:0"] {
            let multicast_out = MulticastOut { interface: Interface::parse("lo"), ..MulticastOut::default() };
            let from = open(from, &UdpOptions { multicast_out, ..UdpOptions::default() });
            let mut outbound = Outbound::new(1000);
            outbound.push(to, None, &[from.addr().ip().to_string().as_bytes()]);
            from.flush(&mut outbound).await.unwrap();
        }
        assert_eq!(take(&receiver, 1).await[0].2, b"127.0.0.3");
    }
}

#[tokio::test]
async fn an_interface_that_does_not_exist_is_named() {
    let options = UdpOptions { membership: group("239.77.1.1", None, "nic9"), ..UdpOptions::default() };
    let error = UdpSocket::bind(&Handle::current(), "239.77.1.1:0".parse().unwrap(), &options).unwrap_err();
    assert!(error.to_string().contains("nic9"), "{error}");
}

/// By what the kernel says of itself: loopback has no route for groups of IPv6 to send them by.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn groups_of_ipv6_are_joined_on_a_named_interface_and_for_one_source() {
    let joined = |file: &str, parts: &[&str]| {
        let text = std::fs::read_to_string(file).unwrap();
        text.lines().any(|line| parts.iter().all(|part| line.contains(part)))
    };
    let open_for = |text: &str, source| {
        let membership = group(text, source, "lo");
        open(&format!("[{text}]:0"), &UdpOptions { membership, shared: true, ..UdpOptions::default() })
    };
    let group = ["lo", "ff150000000000000000000000770001"];
    let any = open_for("ff15::77:1", None);
    assert!(joined("/proc/net/igmp6", &group));
    drop(any);
    assert!(!joined("/proc/net/igmp6", &group));
    let _one = open_for("ff35::77:1", Some("2001:db8::9"));
    let source = "20010db8000000000000000000000009";
    assert!(joined("/proc/net/mcfilter6", &["lo", "ff350000000000000000000000770001", source]));
}
