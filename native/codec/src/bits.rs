//! A bit reader over borrowed bytes, most significant bit first.
