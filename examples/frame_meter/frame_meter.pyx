# cython: language_level=3
"""What a stream carries, counted by an extension of your own that never takes the GIL while frames come.

    counts = await asyncio.to_thread(frame_meter.measure, engine, "live", "cam")
"""

from libc.stdint cimport int64_t, uint64_t

from arcly.capi cimport (
    ARCLY_OK, ARCLY_ENDED, arcly_batch, arcly_c_api, arcly_cursor, arcly_engine, arcly_import, arcly_stream,
)

cdef const arcly_c_api *arcly = arcly_import()

cdef int64_t SECOND_NS = 1_000_000_000


cdef struct Count:
    uint64_t frames
    uint64_t bytes


def measure(engine, app: str, stream: str, *, double timeout_s=10.0):
    """Read a stream to its end; return frames and bytes by track, `{(1, "AAC"): (468, 81921)}`.

    Call it in a thread: it waits, with the GIL released.

    Raises:
        LookupError: nobody publishes that stream.
        TimeoutError: no frame came for `timeout_s` seconds.
    """
    cdef arcly_engine *native = arcly.engine(engine)
    cdef bytes app_name = app.encode(), stream_name = stream.encode()
    cdef const char *app_text = app_name
    cdef const char *stream_text = stream_name
    cdef arcly_stream *found
    cdef arcly_cursor *cursor
    cdef arcly_batch *batch
    cdef Count[256] counts
    cdef int64_t timeout_ns = <int64_t>(timeout_s * SECOND_NS)
    cdef int state
    cdef size_t n
    for n in range(256):
        counts[n].frames = counts[n].bytes = 0
    with nogil:
        found = arcly.find_stream(native, app_text, stream_text)
    if found is NULL:
        raise LookupError(f"nobody publishes {app}/{stream}")
    with nogil:
        cursor = arcly.subscribe(found, b"meter", -1)
        arcly.free_stream(found)
        batch = arcly.new_batch()
        while True:
            state = arcly.read_batch(cursor, batch, 64)
            if state == ARCLY_OK:
                count(batch, counts)
            elif state == ARCLY_ENDED or arcly.wait(cursor, timeout_ns) != ARCLY_OK:
                break
        arcly.free_cursor(cursor)
    try:
        if state != ARCLY_ENDED:
            raise TimeoutError(f"no frame within {timeout_s:g} s")
        # The tracks are those of the last batch, which stay until it is freed.
        return {
            (batch.tracks[n].id, batch.tracks[n].codec.decode()): (
                counts[batch.tracks[n].id].frames, counts[batch.tracks[n].id].bytes,
            )
            for n in range(batch.tracks_count)
        }
    finally:
        arcly.free_batch(batch)


cdef void count(const arcly_batch *batch, Count *counts) noexcept nogil:
    cdef size_t n
    for n in range(batch.frames_count):
        counts[batch.frames[n].track].frames += 1
        counts[batch.frames[n].track].bytes += batch.frames[n].size
