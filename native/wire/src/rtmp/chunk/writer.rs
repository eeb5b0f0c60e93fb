//! From messages to chunks.

use bytes::{BufMut, BytesMut};

use super::DEFAULT_CHUNK_BYTES;

/// Cuts control and command messages into chunks: a type 0 header with timestamp 0, then type 3.
#[derive(Debug)]
pub struct ChunkWriter {
    chunk_bytes: usize,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self { chunk_bytes: DEFAULT_CHUNK_BYTES }
    }
}

impl ChunkWriter {
    /// We announced this chunk size; valid from the next message.
    pub fn set_chunk_bytes(&mut self, size: u32) {
        self.chunk_bytes = size.max(1) as usize;
    }

    /// Appends one message to `out`.
    ///
    /// `chunk_stream` is 2 to 63 (one-byte basic headers, RTMP §5.3.1.1). A body over 2^24 - 1 bytes is cut: no message is longer.
    pub fn write(&self, chunk_stream: u8, type_id: u8, stream_id: u32, body: &[u8], out: &mut BytesMut) {
        let body = body.get(..0xff_ffff).unwrap_or(body);
        out.reserve(12 + body.len() + body.len() / self.chunk_bytes);
        out.put_u8(chunk_stream & 0x3f);
        out.put_uint(0, 3);
        out.put_uint(body.len() as u64, 3);
        out.put_u8(type_id);
        out.put_u32_le(stream_id);
        for (index, part) in body.chunks(self.chunk_bytes).enumerate() {
            if index > 0 {
                out.put_u8(0xc0 | (chunk_stream & 0x3f));
            }
            out.put_slice(part);
        }
    }
}
