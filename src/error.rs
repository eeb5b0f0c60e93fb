//! Native errors as the exceptions of `arcly.errors`.

use std::fmt::Display;

use arcly_bus::{BusError, NameError};
use arcly_engine::EngineError;
use pyo3::{create_exception, exceptions::PyException, prelude::*};

create_exception!(arcly._native, StreamError, PyException);
create_exception!(arcly._native, MalformedError, StreamError);
create_exception!(arcly._native, UnsupportedError, StreamError);
create_exception!(arcly._native, LimitExceededError, StreamError);
create_exception!(arcly._native, NotFoundError, StreamError);
create_exception!(arcly._native, AlreadyPublishingError, StreamError);
create_exception!(arcly._native, ClosedError, StreamError);
create_exception!(arcly._native, ListenError, StreamError);
create_exception!(arcly._native, MisuseError, StreamError);

/// Class, its stable code, its documentation.
macro_rules! catalogue {
    ($($class:ident $code:literal $doc:literal,)*) => {
        pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
            let py = module.py();
            $(
                let class = py.get_type::<$class>();
                class.setattr("code", $code)?;
                class.setattr("__doc__", $doc)?;
                module.add(stringify!($class), class)?;
            )*
            Ok(())
        }
    };
}

catalogue! {
    StreamError "stream_error" "Base of all errors of arcly. `code` is stable and meant for programs, the text for people.",
    MalformedError "malformed" "Bytes contradict the standard that they claim to follow.",
    UnsupportedError "unsupported" "Well-formed, but nothing that arcly can carry.",
    LimitExceededError "limit_exceeded" "A configured bound would be passed.",
    NotFoundError "not_found" "There is no such application.",
    AlreadyPublishingError "already_publishing" "Somebody publishes to that key already.",
    ClosedError "closed" "The stream, session or engine has ended.",
    ListenError "listen" "An address cannot be listened on.",
    MisuseError "misuse" "The caller broke a rule of the API.",
}

pub fn misuse(text: impl Display) -> PyErr {
    MisuseError::new_err(text.to_string())
}

pub fn from_name(error: NameError) -> PyErr {
    MalformedError::new_err(error.to_string())
}

pub fn from_codec(error: arcly_codec::CodecError) -> PyErr {
    match error {
        arcly_codec::CodecError::Unsupported { .. } => UnsupportedError::new_err(error.to_string()),
        _ => MalformedError::new_err(error.to_string()),
    }
}

pub fn from_bus(error: BusError) -> PyErr {
    match error {
        BusError::Closed => ClosedError::new_err(error.to_string()),
        BusError::FrameTooLarge { .. } => LimitExceededError::new_err(error.to_string()),
        _ => misuse(error),
    }
}

pub fn from_engine(error: EngineError) -> PyErr {
    match error {
        EngineError::AppNotFound { .. } => NotFoundError::new_err(error.to_string()),
        EngineError::AlreadyPublishing { .. } => AlreadyPublishingError::new_err(error.to_string()),
        EngineError::PublisherLimit { .. } => LimitExceededError::new_err(error.to_string()),
        _ => ClosedError::new_err(error.to_string()),
    }
}

pub fn from_listen(error: arcly_io::ListenError) -> PyErr {
    ListenError::new_err(error.to_string())
}
