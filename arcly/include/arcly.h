/* The C API of arcly: publish and read frames without the GIL.
 *
 *   #include <Python.h>
 *   #include "arcly.h"
 *
 *   const arcly_c_api *api = arcly_import();        // GIL; NULL with an exception set on failure
 *   arcly_session *session = api->session(object);  // GIL; `object` is an arcly.PublishSession
 *   Py_BEGIN_ALLOW_THREADS
 *   api->publish(session, &frame);
 *   Py_END_ALLOW_THREADS
 *
 * Nothing has to be linked: the functions come out of a capsule.
 */
#ifndef ARCLY_H
#define ARCLY_H

#include <Python.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ARCLY_C_API_VERSION 1

/* Borrowed from a Python object: valid while you hold a reference to that object. */
typedef struct arcly_session arcly_session;
typedef struct arcly_cursor arcly_cursor;

/* What publish and read return. */
enum {
    ARCLY_OK = 0,
    ARCLY_EMPTY = 1,          /* read: nothing new yet */
    ARCLY_ENDED = 2,          /* read: the stream has ended and everything was read */
    ARCLY_CLOSED = -1,        /* publish: the stream or the session has ended */
    ARCLY_UNKNOWN_TRACK = -2, /* publish: the stream has no such track */
    ARCLY_TOO_LARGE = -3,     /* publish: larger than all that the stream may keep */
    ARCLY_INVALID = -4        /* a null pointer where none may be */
};

/* Bits of arcly_frame.flags. */
enum {
    ARCLY_KEY = 1,          /* decoding of the video can begin here */
    ARCLY_DISCONTINUITY = 2 /* does not continue what came before */
};

/* One access unit. H.264: NAL units behind 4-byte big-endian lengths, without parameter sets. AAC: raw, without ADTS. */
typedef struct {
    int64_t pts;         /* ticks of the track's clock: 90 000 Hz for video, the sample rate for audio */
    int64_t dts;         /* the same; strictly increasing within a track */
    const uint8_t *data; /* publish: yours, copied during the call. read: read-only, valid until release */
    size_t size;         /* bytes at data */
    void *owner;         /* read: keeps data alive. publish: ignored */
    uint32_t duration;   /* ticks; 0 when unknown */
    uint8_t track;       /* number of the track within the stream */
    uint8_t flags;       /* ARCLY_KEY | ARCLY_DISCONTINUITY */
} arcly_frame;

typedef struct {
    uint32_t version; /* ARCLY_C_API_VERSION of the library */
    uint32_t size;    /* bytes of this table in the library: later versions only append */

    /* With the GIL. NULL with TypeError set when the object is something else. */
    arcly_session *(*session)(PyObject *publish_session);
    arcly_cursor *(*cursor)(PyObject *cursor);

    /* With or without the GIL, from any thread; two threads on one object take turns. */
    int (*publish)(arcly_session *session, const arcly_frame *frame);
    int (*read)(arcly_cursor *cursor, arcly_frame *frame); /* never waits */
    void (*release)(arcly_frame *frame);                   /* once for every ARCLY_OK of read */
} arcly_c_api;

static inline const arcly_c_api *arcly_import(void)
{
    const arcly_c_api *api = (const arcly_c_api *)PyCapsule_Import("arcly._native._C_API", 0);
    if (api != NULL && (api->version < ARCLY_C_API_VERSION || api->size < sizeof(arcly_c_api))) {
        PyErr_SetString(PyExc_ImportError, "arcly is older than the header that this extension was built with");
        return NULL;
    }
    return api;
}

#ifdef __cplusplus
}
#endif
#endif
