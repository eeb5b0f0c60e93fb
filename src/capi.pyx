# cython: language_level=3, freethreading_compatible=True
"""First client of the C API: publish and read frames without the GIL.

`cimport` its declarations (`from arcly.capi cimport arcly_import, arcly_frame`) to do the same from an extension of your own. The Python functions
below run the same calls and are what the tests use to prove them.
"""

cdef const arcly_c_api *_api = arcly_import()


def publish(session, const uint8_t[::1] data not None, *, int track, int64_t pts, dts=None, bint key=False):
    """Publish one frame with the GIL released; returns 0, or a negative ARCLY_ code of arcly.h."""
    cdef arcly_session *native = _api.session(session)
    cdef arcly_frame frame
    cdef int result
    frame.pts = pts
    frame.dts = pts if dts is None else dts
    frame.data = &data[0] if data.shape[0] else NULL
    frame.size = data.shape[0]
    frame.duration = 0
    frame.track = track
    frame.flags = ARCLY_KEY if key else 0
    with nogil:
        result = _api.publish(native, &frame)
    return result


def read(subscription):
    """Read one frame with the GIL released: (track, pts, dts, flags, bytes), None when there is none, StopIteration at the end."""
    cdef arcly_cursor *native = _api.cursor(subscription)
    cdef arcly_frame frame
    cdef int result
    with nogil:
        result = _api.read(native, &frame)
    if result == ARCLY_ENDED:
        raise StopIteration
    if result != ARCLY_OK:
        return None
    try:
        return frame.track, frame.pts, frame.dts, frame.flags, frame.data[:frame.size]
    finally:
        _api.release(&frame)


def drain_bytes(subscription):
    """Read all that is waiting in one loop without the GIL; returns (frames, payload bytes)."""
    cdef arcly_cursor *native = _api.cursor(subscription)
    cdef arcly_batch *batch = _api.new_batch()
    cdef size_t frames = 0, total = 0, n
    with nogil:
        while _api.read_batch(native, batch, 64) == ARCLY_OK:
            frames += batch.frames_count
            for n in range(batch.frames_count):
                total += batch.frames[n].size
        _api.free_batch(batch)
    return frames, total
