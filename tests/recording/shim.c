/* A disk that does not answer: while the file that HANG names exists, writes to recordings do not return.
 * A clock that is set: the file that CLOCK names has the seconds by which the time of day is off. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int hangs(int descriptor) {
    const char *flag = getenv("HANG");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (flag == NULL || length < 4) return 0;
    path[length] = 0;
    return strcmp(path + length - 4, ".mp4") == 0 && access(flag, F_OK) == 0;
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
    static ssize_t (*next)(int, const void *, size_t);
    if (next == NULL) next = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    while (hangs(descriptor)) usleep(10000);
    return next(descriptor, bytes, count);
}

ssize_t writev(int descriptor, const struct iovec *pieces, int count) {
    static ssize_t (*next)(int, const struct iovec *, int);
    if (next == NULL) next = (ssize_t (*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev");
    while (hangs(descriptor)) usleep(10000);
    return next(descriptor, pieces, count);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*next)(clockid_t, struct timespec *);
    if (next == NULL) next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = next(clock, now);
    const char *path = getenv("CLOCK");
    FILE *file = clock == CLOCK_REALTIME && path != NULL ? fopen(path, "r") : NULL;
    long off_s = 0;
    if (file != NULL) {
        if (fscanf(file, "%ld", &off_s) == 1) now->tv_sec += off_s;
        fclose(file);
    }
    return result;
}
