# The C API for Cython: `from arcly.capi cimport arcly_frame, read_into, publish_from`.
# See include/arcly.h for what each field and function means.
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t


cdef extern from "arcly.h" nogil:
    ctypedef struct arcly_session:
        pass
    ctypedef struct arcly_cursor:
        pass
    int ARCLY_OK
    int ARCLY_EMPTY
    int ARCLY_ENDED
    int ARCLY_CLOSED
    int ARCLY_UNKNOWN_TRACK
    int ARCLY_TOO_LARGE
    int ARCLY_KEY
    int ARCLY_DISCONTINUITY

    ctypedef struct arcly_frame:
        int64_t pts
        int64_t dts
        const uint8_t *data
        size_t size
        void *owner
        uint32_t duration
        uint8_t track
        uint8_t flags

    ctypedef struct arcly_c_api:
        uint32_t version
        uint32_t size
        arcly_session *(*session)(object publish_session) except NULL
        arcly_cursor *(*cursor)(object cursor) except NULL
        int (*publish)(arcly_session *session, const arcly_frame *frame) noexcept nogil
        int (*read)(arcly_cursor *cursor, arcly_frame *frame) noexcept nogil
        void (*release)(arcly_frame *frame) noexcept nogil

    const arcly_c_api *arcly_import() except NULL


cdef arcly_session *session_of(object publish_session) except NULL
cdef arcly_cursor *cursor_of(object subscription) except NULL
cdef int publish_from(arcly_session *session, const arcly_frame *frame) noexcept nogil
cdef int read_into(arcly_cursor *cursor, arcly_frame *frame) noexcept nogil
cdef void release(arcly_frame *frame) noexcept nogil
