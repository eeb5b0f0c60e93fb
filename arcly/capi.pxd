# The C API for Cython, also by `cimport arcly`; see include/arcly.h for what each name means.
# `arcly_import()` gives the table of functions: keep it. `examples/frame_meter` is a whole extension.
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "arcly.h" nogil:
    ctypedef struct arcly_engine:
        pass
    ctypedef struct arcly_stream:
        pass
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
    int ARCLY_INVALID
    int ARCLY_NOT_FOUND
    int ARCLY_TAKEN
    int ARCLY_LIMIT
    int ARCLY_KEY
    int ARCLY_DISCONTINUITY
    int ARCLY_VIDEO
    int ARCLY_AUDIO
    int ARCLY_DATA

    ctypedef struct arcly_frame:
        int64_t pts
        int64_t dts
        const uint8_t *data
        size_t size
        uint32_t duration
        uint8_t track
        uint8_t flags

    ctypedef struct arcly_track:
        const char *codec
        const uint8_t *config
        size_t config_size
        uint32_t clock_rate_hz
        uint32_t width
        uint32_t height
        uint32_t sample_rate_hz
        uint8_t id
        uint8_t kind
        uint8_t channels

    ctypedef struct arcly_batch:
        const arcly_frame *frames
        size_t frames_count
        const arcly_track *tracks
        size_t tracks_count
        uint32_t revision

    ctypedef struct arcly_c_api:
        uint32_t version
        uint32_t size
        arcly_engine *(*engine)(object engine) except NULL
        arcly_stream *(*stream)(object stream_handle) except NULL
        arcly_session *(*session)(object publish_session) except NULL
        arcly_cursor *(*cursor)(object subscription) except NULL
        arcly_stream *(*find_stream)(const arcly_engine *, const char *app, const char *stream) noexcept nogil
        void (*free_stream)(arcly_stream *) noexcept nogil
        arcly_cursor *(*subscribe)(const arcly_stream *, const char *protocol, int64_t max_lag) noexcept nogil
        void (*free_cursor)(arcly_cursor *) noexcept nogil
        int (*start_publish)(
            const arcly_engine *, const char *app, const char *stream, const char *protocol, arcly_session **
        ) noexcept nogil
        void (*free_session)(arcly_session *) noexcept nogil
        int (*set_tracks)(const arcly_session *, const arcly_track *, size_t count) noexcept nogil
        int (*publish)(const arcly_session *, const arcly_frame *) noexcept nogil
        int (*read)(const arcly_cursor *, arcly_frame *) noexcept nogil
        void (*release)(arcly_frame *) noexcept nogil
        arcly_batch *(*new_batch)() noexcept nogil
        void (*free_batch)(arcly_batch *) noexcept nogil
        int (*read_batch)(const arcly_cursor *, arcly_batch *, size_t max) noexcept nogil
        int (*wait)(const arcly_cursor *, int64_t timeout_ns) noexcept nogil
        uint64_t (*missed)(const arcly_cursor *) noexcept nogil

    const arcly_c_api *arcly_import() except NULL
