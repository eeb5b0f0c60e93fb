//! Arguments from Python that are more than their type.

use std::{net::SocketAddr, time::Duration};

use pyo3::prelude::*;

use crate::error::misuse;

/// `192.0.2.1:1935` or `[::1]:1935`; host names were resolved before.
pub fn parse_addr(text: &str) -> PyResult<SocketAddr> {
    text.parse().map_err(|_| misuse(format!("{text:?} is not an address of the form IP:PORT")))
}

/// A time span as Python gives it: seconds, not negative, not infinite.
pub fn seconds(value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value).map_err(|_| misuse(format!("{value} s is no time span: it is 0 s or more")))
}
