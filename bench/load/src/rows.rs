//! A row for every line that speed is promised in.

use crate::clock::{median, quantile};
use crate::options::Options;
use crate::report::{Goal, Row};
use crate::results::Results;
use crate::run::{
    ARCLY_FLV, ARCLY_MERGE, ARCLY_PACKET, ARCLY_RTMP, FLOOR_MERGE, VIEWERS, VIEWERS_ADAPTIVE, VIEWERS_MANY,
};
use crate::scenario::{self, Sample};
use crate::server::Contestant;

const FLOOR: Contestant = Contestant::FloorPerMessage;
const NGINX: Contestant = Contestant::Nginx;

/// The rows of a group of measurements.
type Group = (&'static str, fn(&Results) -> Vec<Row>);

type Figure = fn(&Sample) -> Option<f64>;

/// Its name, and the share of values below it.
type Quantile = (&'static str, f64);

const MEDIAN: Quantile = ("median", 0.5);
const P99: Quantile = ("p99", 0.99);

/// In the order of the groups; those that were not asked for are left out.
pub fn rows(results: &Results, options: &Options) -> Vec<Row> {
    let groups: [Group; 6] = [
        ("viewers", viewers),
        ("many", many),
        ("memory", memory),
        ("stalled", stalled),
        ("streams", streams),
        ("idle", idle),
    ];
    groups.iter().filter(|(group, _)| options.wants(group)).flat_map(|(_, rows)| rows(results)).collect()
}

fn viewers(results: &Results) -> Vec<Row> {
    let mut rows = Vec::new();
    let accounts: [(&str, Figure); 2] = [("", server), (" and players", together)];
    for (account, figure) in accounts {
        let row = |what: &str, arcly, viewers, goal| {
            cpu(results, &format!("server{account}, {what}"), arcly, viewers, figure, goal)
        };
        for (viewers, share) in VIEWERS.into_iter().zip([0.75, 0.75, 0.65]) {
            rows.push(row("default, RTMP", ARCLY_RTMP, viewers, Goal::OfFloor(share)));
            rows.push(row("default, HTTP-FLV", ARCLY_FLV, viewers, Goal::OfFloor(share)));
            rows.push(row("default, RTMP, beside nginx-rtmp", ARCLY_RTMP, viewers, Goal::OfPeer(0.65)));
            rows.push(row("every packet, RTMP", ARCLY_PACKET, viewers, Goal::OfFloor(1.1)));
        }
        for (viewers, goal) in VIEWERS.into_iter().zip([Goal::None, Goal::OfFloor(0.40), Goal::OfFloor(0.33)]) {
            rows.push(row("100 ms merge, RTMP", ARCLY_MERGE, viewers, goal));
        }
    }
    for (name, arcly) in [("RTMP", ARCLY_RTMP), ("HTTP-FLV", ARCLY_FLV)] {
        rows.push(latency(results, name, arcly, 500, MEDIAN, Goal::AboveFloor(1.0)));
        rows.push(latency(results, name, arcly, 500, P99, Goal::AtMost(12.0)));
    }
    rows.extend(adaptive(results));
    rows.extend(first_frame(results));
    rows.push(lost(results));
    rows
}

/// Told, not judged: how the default behaves as viewers come, and what floors cost that write less often.
fn adaptive(results: &Results) -> Vec<Row> {
    let mut rows = Vec::new();
    for viewers in VIEWERS_ADAPTIVE {
        rows.push(cpu(results, "server, adaptive default", ARCLY_RTMP, viewers, server, Goal::None));
        rows.push(latency(results, "adaptive default", ARCLY_RTMP, viewers, MEDIAN, Goal::None));
        rows.push(latency(results, "adaptive default", ARCLY_RTMP, viewers, P99, Goal::None));
    }
    for (what, floor) in [("writev per picture", Contestant::FloorPerPicture), ("writev per 100 ms", FLOOR_MERGE)] {
        for viewers in VIEWERS {
            let figure = results.median(floor, "viewers", viewers, server);
            // Quick runs leave these out.
            rows.extend(figure.map(|figure| Row {
                name: format!("CPU: floor, a {what}, {viewers} viewers"),
                unit: "s/Gbit",
                arcly: None,
                peer: None,
                floor: Some(figure),
                goal: Goal::None,
            }));
        }
    }
    rows
}

fn cpu(results: &Results, what: &str, arcly: Contestant, viewers: usize, figure: Figure, goal: Goal) -> Row {
    let of = |contestant| results.median(contestant, "viewers", viewers, figure);
    Row {
        name: format!("CPU: {what}, {viewers} viewers"),
        unit: "s/Gbit",
        arcly: of(arcly),
        peer: of(NGINX),
        floor: of(FLOOR),
        goal,
    }
}

fn latency(results: &Results, what: &str, arcly: Contestant, viewers: usize, quantile: Quantile, goal: Goal) -> Row {
    let (quantile, share) = quantile;
    let of = |contestant| results.median(contestant, "viewers", viewers, |sample| sample.latency_ms(share));
    Row {
        name: format!("latency of video: {quantile}, {what}, {viewers} viewers"),
        unit: "ms",
        arcly: of(arcly),
        peer: of(NGINX),
        floor: of(FLOOR),
        goal,
    }
}

fn first_frame(results: &Results) -> Vec<Row> {
    let row = |name: &str, arcly, at, goal| {
        let of = |contestant| quantile(results.figures(contestant, "first frame").iter().copied(), at);
        Row { name: format!("first frame: {name}"), unit: "ms", arcly: of(arcly), peer: of(NGINX), floor: None, goal }
    };
    vec![
        row("median, RTMP", ARCLY_RTMP, 0.5, Goal::AtMost(1.0)),
        row("p99, RTMP", ARCLY_RTMP, 0.99, Goal::AtMost(20.0)),
        row("median, HTTP-FLV", ARCLY_FLV, 0.5, Goal::AtMost(1.0)),
        row("p99, HTTP-FLV", ARCLY_FLV, 0.99, Goal::AtMost(20.0)),
    ]
}

/// Of all samples of arcly, whatever their group.
fn lost(results: &Results) -> Row {
    let faults = results.of_arcly().map(|sample| sample.tally.faults() as f64).reduce(|sum, faults| sum + faults);
    Row {
        name: "frames lost, repeated, altered, mistimed, and stalls".into(),
        unit: "",
        arcly: faults,
        peer: None,
        floor: None,
        goal: Goal::AtMost(0.0),
    }
}

fn many(results: &Results) -> Vec<Row> {
    let row = |account: &str, figure: Figure, goal| {
        let of = |contestant| results.median(contestant, "many", VIEWERS_MANY, figure);
        Row {
            name: format!("CPU: {account}, default, RTMP, {VIEWERS_MANY} viewers of 500 kbit/s"),
            unit: "s/Gbit",
            arcly: of(ARCLY_RTMP),
            peer: of(NGINX),
            floor: of(FLOOR),
            goal,
        }
    };
    vec![
        row("server", server, Goal::OfFloor(0.65)),
        row("server", server, Goal::OfPeer(0.65)),
        row("server and players", together, Goal::OfFloor(0.65)),
        row("server and players", together, Goal::OfPeer(0.65)),
    ]
}

fn memory(results: &Results) -> Vec<Row> {
    vec![
        single(results, "memory: RSS per viewer at 1000, RTMP", "KiB", "rss", ARCLY_RTMP, Goal::AtMost(8.0)),
        single(results, "memory: RSS per viewer at 1000, HTTP-FLV", "KiB", "rss", ARCLY_FLV, Goal::AtMost(2.0)),
    ]
}

fn stalled(results: &Results) -> Vec<Row> {
    vec![
        single(
            results,
            "memory: send queue of a stalled viewer, RTMP",
            "KiB",
            "stalled",
            ARCLY_RTMP,
            Goal::AtMost(256.0),
        ),
        single(
            results,
            "memory: send queue of a stalled viewer, HTTP-FLV",
            "KiB",
            "stalled",
            ARCLY_FLV,
            Goal::AtMost(256.0),
        ),
    ]
}

fn idle(results: &Results) -> Vec<Row> {
    vec![single(results, "CPU: 1000 silent streams", "% of core", "idle", ARCLY_RTMP, Goal::AtMost(1.0))]
}

fn single(
    results: &Results,
    name: &str,
    unit: &'static str,
    figure: &'static str,
    arcly: Contestant,
    goal: Goal,
) -> Row {
    let of = |contestant| median(results.figures(contestant, figure).iter().copied());
    Row { name: name.into(), unit, arcly: of(arcly), peer: of(NGINX), floor: None, goal }
}

fn streams(results: &Results) -> Vec<Row> {
    let row = |name: &str, arcly, group, viewers, goal| {
        let of = |contestant| results.median(contestant, group, viewers, ms_per_stream_second);
        Row { name: name.into(), unit: "ms/s", arcly: of(arcly), peer: of(NGINX), floor: None, goal }
    };
    let alone = Contestant::ArclyAlone;
    vec![
        row("CPU: a stream with one viewer, 100 of them; both RTMP alone", alone, "streams", 1, Goal::OfPeer(0.8)),
        row("CPU: the same, arcly packages HLS and DASH besides", ARCLY_RTMP, "streams", 1, Goal::OfPeer(0.8)),
        row("CPU: a stream without viewers, 100 of them; both RTMP alone", alone, "ingest", 0, Goal::None),
        row("CPU: the same, arcly packages HLS and DASH besides", ARCLY_RTMP, "ingest", 0, Goal::None),
    ]
}

fn server(sample: &Sample) -> Option<f64> {
    Some(sample.server_s_per_gbit())
}

fn together(sample: &Sample) -> Option<f64> {
    Some(sample.together_s_per_gbit())
}

fn ms_per_stream_second(sample: &Sample) -> Option<f64> {
    Some(1000.0 * sample.server_cpu_s / sample.seconds / scenario::STREAMS as f64)
}
