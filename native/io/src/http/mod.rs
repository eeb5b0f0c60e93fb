//! The HTTP origin: media is served here, everything else by the host's ASGI application behind it.

mod app;
mod body;
pub(crate) mod entity;
mod exchange;
mod given;
mod head;
mod lent;
mod live;
pub(crate) mod origin;
mod places;
pub(crate) mod quick;
pub(crate) mod response;
mod server;
mod site;
pub(crate) mod text;
mod websocket;

pub use hyper::Request;

pub use exchange::{Exchange, Head, Piece};
pub use origin::Origin;
pub use server::HttpListener;
pub use site::{Asker, Site, SiteOptions};
