# cython: language_level=3, freethreading_compatible=True
"""First client of the C API: publish and read frames without the GIL.

`cimport` this module (`from arcly.capi cimport ...`) to do the same from an extension of your own. The Python functions
below run the same calls and are what the tests use to prove them.
"""

cdef const arcly_c_api *api = arcly_import()


cdef arcly_session *session_of(object publish_session) except NULL:
    return api.session(publish_session)


cdef arcly_cursor *cursor_of(object subscription) except NULL:
    # An arcly.Subscription holds its native cursor.
    return api.cursor(getattr(subscription, "cursor", subscription))


cdef int publish_from(arcly_session *session, const arcly_frame *frame) noexcept nogil:
    return api.publish(session, frame)


cdef int read_into(arcly_cursor *cursor, arcly_frame *frame) noexcept nogil:
    return api.read(cursor, frame)


cdef void release(arcly_frame *frame) noexcept nogil:
    api.release(frame)


def publish(session, const uint8_t[::1] data not None, *, int track, int64_t pts, dts=None, bint key=False):
    """Publish one frame with the GIL released; returns 0, or a negative ARCLY_ code of arcly.h."""
    cdef arcly_session *native = session_of(session)
    cdef arcly_frame frame
    cdef int result
    frame.pts = pts
    frame.dts = pts if dts is None else dts
    frame.data = &data[0] if data.shape[0] else NULL
    frame.size = data.shape[0]
    frame.owner = NULL
    frame.duration = 0
    frame.track = track
    frame.flags = ARCLY_KEY if key else 0
    with nogil:
        result = publish_from(native, &frame)
    return result


def read(subscription):
    """Read one frame with the GIL released: (track, pts, dts, flags, bytes), None when there is none, StopIteration at the end."""
    cdef arcly_cursor *native = cursor_of(subscription)
    cdef arcly_frame frame
    cdef int result
    with nogil:
        result = read_into(native, &frame)
    if result == ARCLY_ENDED:
        raise StopIteration
    if result != ARCLY_OK:
        return None
    try:
        return frame.track, frame.pts, frame.dts, frame.flags, frame.data[:frame.size]
    finally:
        release(&frame)


def drain_bytes(subscription):
    """Read all that is waiting in one loop without the GIL; returns (frames, payload bytes)."""
    cdef arcly_cursor *native = cursor_of(subscription)
    cdef arcly_frame frame
    cdef size_t frames = 0, total = 0
    with nogil:
        while read_into(native, &frame) == ARCLY_OK:
            frames += 1
            total += frame.size
            release(&frame)
    return frames, total
