//! The HTTP origin: media is served here, everything else by the host's ASGI application behind it.

mod app;
mod lent;
mod live;
mod origin;
pub(crate) mod response;
mod server;
mod websocket;

pub use origin::Origin;
pub use server::{HttpListener, HttpOptions};
