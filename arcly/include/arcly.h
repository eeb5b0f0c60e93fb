/* The C API of arcly: look streams up, publish and read frames, without the GIL.
 *
 *   #include <Python.h>
 *   #include "arcly.h"
 *
 *   const arcly_c_api *api = arcly_import();      // GIL; NULL with an exception set on failure
 *   arcly_engine *engine = api->engine(object);   // GIL; `object` is an arcly.Engine
 *   Py_BEGIN_ALLOW_THREADS
 *   arcly_stream *stream = api->find_stream(engine, "live", "cam");
 *   ...
 *   Py_END_ALLOW_THREADS
 *
 * Nothing has to be linked: the functions come out of a capsule. `examples/frame_meter` is a whole extension.
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

typedef struct arcly_engine arcly_engine;
typedef struct arcly_stream arcly_stream;
typedef struct arcly_session arcly_session;
typedef struct arcly_cursor arcly_cursor;

/* What functions return. */
enum {
    ARCLY_OK = 0,
    ARCLY_EMPTY = 1,          /* nothing new yet */
    ARCLY_ENDED = 2,          /* the stream has ended (or the reader was evicted) and everything was read */
    ARCLY_CLOSED = -1,        /* the stream, the session or the engine has ended */
    ARCLY_UNKNOWN_TRACK = -2, /* the stream has no such track */
    ARCLY_TOO_LARGE = -3,     /* larger than all that the stream may keep */
    ARCLY_INVALID = -4,       /* a null pointer where none may be, a name that is not allowed, a broken track */
    ARCLY_NOT_FOUND = -5,     /* there is no such application */
    ARCLY_TAKEN = -6,         /* somebody publishes there */
    ARCLY_LIMIT = -7          /* as many are publishing as may */
};

/* Bits of arcly_frame.flags. */
enum {
    ARCLY_KEY = 1,          /* decoding of the video can begin here */
    ARCLY_DISCONTINUITY = 2 /* does not continue what came before */
};

/* arcly_track.kind */
enum { ARCLY_VIDEO = 0, ARCLY_AUDIO = 1, ARCLY_DATA = 2 };

/* One access unit. H.264: NAL units behind 4-byte big-endian lengths, without parameter sets. AAC: raw, without ADTS. */
typedef struct {
    int64_t pts;         /* ticks of the track's clock: 90 000 Hz for video, the sample rate for audio */
    int64_t dts;         /* the same; strictly increasing within a track */
    const uint8_t *data; /* publish: yours, copied during the call. read: read-only, valid until release */
    size_t size;         /* bytes at data */
    uint64_t owner[4];   /* arcly's: leave it alone, also when you publish */
    uint32_t duration;   /* ticks; 0 when unknown */
    uint8_t track;       /* number of the track within the stream */
    uint8_t flags;       /* ARCLY_KEY | ARCLY_DISCONTINUITY */
    uint8_t owned;       /* arcly's */
} arcly_frame;

/* One elementary stream. set_tracks looks at codec, config, config_size and id. */
typedef struct {
    const char *codec;       /* "H264", "AAC", ...: see arcly.Track */
    const uint8_t *config;   /* the codec's record: see arcly.Track */
    size_t config_size;
    uint32_t clock_rate_hz;  /* of pts, dts and duration */
    uint32_t width, height;  /* pixels; 0 for audio */
    uint32_t sample_rate_hz; /* 0 for video */
    uint8_t id;              /* arcly_frame.track */
    uint8_t kind;            /* ARCLY_VIDEO, ARCLY_AUDIO, ARCLY_DATA */
    uint8_t channels;        /* 0 for video */
} arcly_track;

/* Frames that were read together, all under the same tracks. Everything in it is valid until it is read into again or freed. */
typedef struct {
    const arcly_frame *frames; /* not to be released one by one */
    size_t frames_count;
    const arcly_track *tracks;
    size_t tracks_count;
    uint32_t revision; /* counts the changes of tracks: as long as it is the same, they are */
} arcly_batch;

typedef struct {
    uint32_t version; /* ARCLY_C_API_VERSION of the library */
    uint32_t size;    /* bytes of this table in the library: later versions only append */

    /* With the GIL. Borrowed from the object, valid as long as you hold a reference to it, never to be freed. NULL with
     * TypeError set when the object is something else. */
    arcly_engine *(*engine)(PyObject *engine);
    arcly_stream *(*stream)(PyObject *stream_handle);
    arcly_session *(*session)(PyObject *publish_session);
    arcly_cursor *(*cursor)(PyObject *subscription);

    /* All others: with or without the GIL, from any thread. Two threads on one cursor or session take turns.
     * A cursor that Python reads at the same time takes a caller without the GIL: Python may wait for it, cursor in hand.
     * What these make is yours: free it once. */
    arcly_stream *(*find_stream)(const arcly_engine *engine, const char *app, const char *stream); /* NULL: not there */
    void (*free_stream)(arcly_stream *stream);

    /* A new reader, which begins at the newest key frame. `protocol` names it in events, may be NULL. `max_lag`: frames
     * that it may miss before it is evicted, -1 for what the application says. */
    arcly_cursor *(*subscribe)(const arcly_stream *stream, const char *protocol, int64_t max_lag);
    void (*free_cursor)(arcly_cursor *cursor);

    /* Takes a name for a publisher of your own; freeing the session ends the stream. No authenticator is asked. */
    int (*start_publish)(const arcly_engine *engine, const char *app, const char *stream, const char *protocol,
                         arcly_session **session);
    void (*free_session)(arcly_session *session);
    int (*set_tracks)(const arcly_session *session, const arcly_track *tracks, size_t count); /* before the first frame */
    int (*publish)(const arcly_session *session, const arcly_frame *frame);

    int (*read)(const arcly_cursor *cursor, arcly_frame *frame); /* never waits */
    void (*release)(arcly_frame *frame);                         /* once for every ARCLY_OK of read */

    arcly_batch *(*new_batch)(void);
    void (*free_batch)(arcly_batch *batch);
    int (*read_batch)(const arcly_cursor *cursor, arcly_batch *batch, size_t max); /* never waits; at most 128 at a time */

    /* Waits until read has something to say; ARCLY_EMPTY when `timeout_ns` came first. -1 waits for ever. Not with the GIL. */
    int (*wait)(const arcly_cursor *cursor, int64_t timeout_ns);
    uint64_t (*missed)(const arcly_cursor *cursor); /* frames skipped because this reader was too slow */
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
