# cython: language_level=3, boundscheck=False, wraparound=False
"""An extension from outside of arcly, as anybody may write it: loops over the C API without the GIL."""

from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, nanosleep, timespec

from arcly.capi cimport ARCLY_OK, arcly_batch, arcly_c_api, arcly_cursor, arcly_frame, arcly_import, arcly_session

cdef const arcly_c_api *arcly = arcly_import()
cdef int64_t TICKS = 480  # of 48 kHz: 100 frames a second


cdef class Publisher:
    """Publishes frames of one size to one session."""

    cdef object session
    cdef arcly_session *native
    cdef arcly_frame frame
    cdef bytes payload

    def __init__(self, session, int track, size_t size):
        self.session, self.native = session, arcly.session(session)
        self.payload = bytes(size)
        self.frame.data = <const uint8_t *>self.payload
        self.frame.size = size
        self.frame.track = track

    cdef int next(self) noexcept nogil:
        self.frame.pts += TICKS
        self.frame.dts = self.frame.pts
        return arcly.publish(self.native, &self.frame)

    def publish(self, int frames):
        """Publish so many frames."""
        cdef int n, failed = 0
        with nogil:
            for n in range(frames):
                failed += self.next() != ARCLY_OK
        assert not failed

    def publish_and_read(self, subscription, int frames):
        """Publish one and read it, so many times."""
        cdef arcly_cursor *cursor = arcly.cursor(subscription)
        cdef arcly_frame out
        cdef int n, failed = 0
        with nogil:
            for n in range(frames):
                failed += self.next() != ARCLY_OK
                failed += arcly.read(cursor, &out) != ARCLY_OK
                arcly.release(&out)
        assert not failed

    def copy(self, int frames):
        """Do only what a publish cannot do without: take memory, copy the payload, give memory back."""
        cdef int n
        cdef size_t size = self.frame.size
        cdef uint8_t *memory
        with nogil:
            for n in range(frames):
                memory = <uint8_t *>malloc(size)
                memcpy(memory, self.frame.data, size)
                # Otherwise the compiler sees that nobody looks, and does none of it.
                if (<volatile uint8_t *>memory)[0]:
                    break
                free(memory)


def read(subscription, int frames):
    """Read so many frames that are waiting."""
    cdef arcly_cursor *cursor = arcly.cursor(subscription)
    cdef arcly_frame out
    cdef int n, failed = 0
    with nogil:
        for n in range(frames):
            failed += arcly.read(cursor, &out) != ARCLY_OK
            arcly.release(&out)
    assert not failed


def read_batches(subscription, int frames):
    """Read so many frames that are waiting, 64 at a time."""
    cdef arcly_cursor *cursor = arcly.cursor(subscription)
    cdef arcly_batch *batch = arcly.new_batch()
    cdef size_t seen = 0
    with nogil:
        while arcly.read_batch(cursor, batch, 64) == ARCLY_OK:
            seen += batch.frames_count
        arcly.free_batch(batch)
    assert seen == <size_t>frames


cdef int64_t now_ns() noexcept nogil:
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * <int64_t>1_000_000_000 + time.tv_nsec


cdef void sleep_until(int64_t deadline_ns) noexcept nogil:
    cdef timespec rest
    cdef int64_t rest_ns = deadline_ns - now_ns()
    if rest_ns > 0:
        rest.tv_sec = rest_ns // 1_000_000_000
        rest.tv_nsec = rest_ns % 1_000_000_000
        nanosleep(&rest, NULL)


def publish_paced(list publishers, int rounds, int64_t period_ns, int64_t tick_ns, int64_t[::1] published_ns):
    """Publish one frame of each publisher in each period, spread over its ticks, and note when.

    For a thread: it takes the GIL only at the beginning and at the end.
    """
    cdef int n, round, due, count = len(publishers), failed = 0
    cdef int64_t start_ns, tick, ticks = period_ns // tick_ns
    cdef void **natives = <void **>calloc(count, sizeof(void *))
    cdef arcly_frame frame = (<Publisher>publishers[0]).frame
    for n in range(count):
        natives[n] = (<Publisher>publishers[n]).native
    with nogil:
        start_ns = now_ns()
        for round in range(rounds):
            frame.pts += TICKS
            frame.dts = frame.pts
            n = 0
            for tick in range(ticks):
                sleep_until(start_ns + round * period_ns + tick * tick_ns)
                due = count * (tick + 1) // ticks
                while n < due:
                    published_ns[round * count + n] = now_ns()
                    failed += arcly.publish(<arcly_session *>natives[n], &frame) != ARCLY_OK
                    n += 1
    free(natives)
    assert not failed
