# cython: language_level=3
"""What a stream carries, counted by an extension of your own that never takes the GIL while frames come.

    counts = await asyncio.to_thread(frame_meter.measure, engine, "live", "cam")
"""

from libc.stdint cimport int64_t, uint64_t

cimport arcly

cdef const arcly.arcly_c_api *api = arcly.arcly_import()

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
    cdef arcly.arcly_engine *native = api.engine(engine)
    cdef bytes app_name = app.encode(), stream_name = stream.encode()
    cdef const char *app_text = app_name
    cdef const char *stream_text = stream_name
    cdef arcly.arcly_stream *found
    cdef arcly.arcly_cursor *cursor
    cdef arcly.arcly_batch *batch
    cdef Count[256] counts
    cdef int64_t timeout_ns = <int64_t>(timeout_s * SECOND_NS)
    cdef int state
    cdef size_t n
    for n in range(256):
        counts[n].frames = counts[n].bytes = 0
    with nogil:
        found = api.find_stream(native, app_text, stream_text)
    if found is NULL:
        raise LookupError(f"nobody publishes {app}/{stream}")
    with nogil:
        cursor = api.subscribe(found, b"meter", -1)
        api.free_stream(found)
        batch = api.new_batch()
        while True:
            state = api.read_batch(cursor, batch, 64)
            if state == arcly.ARCLY_OK:
                count(batch, counts)
            elif state == arcly.ARCLY_ENDED or api.wait(cursor, timeout_ns) != arcly.ARCLY_OK:
                break
        api.free_cursor(cursor)
    try:
        if state != arcly.ARCLY_ENDED:
            raise TimeoutError(f"no frame within {timeout_s:g} s")
        # The tracks are those of the last batch, which stay until it is freed.
        return {
            (batch.tracks[n].id, batch.tracks[n].codec.decode()): (
                counts[batch.tracks[n].id].frames, counts[batch.tracks[n].id].bytes,
            )
            for n in range(batch.tracks_count)
        }
    finally:
        api.free_batch(batch)


cdef void count(const arcly.arcly_batch *batch, Count *counts) noexcept nogil:
    cdef size_t n
    for n in range(batch.frames_count):
        counts[batch.frames[n].track].frames += 1
        counts[batch.frames[n].track].bytes += batch.frames[n].size
