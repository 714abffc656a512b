/* Leaves moving grey frames for a shm:// source of edgeseg, as a camera's program would leave its own.
 *
 *     cc -O2 -o write_frames deploy/write_frames.c && ./write_frames camera 640 480 300
 *     edgeseg run net.engine shm://camera masks.jsonl
 *
 * The layout is told in edgeseg/runtime/shared_ring.py. Replace fill() by what your camera gives, and GRAY8 by its
 * format; a program that stops takes the name away, one that is killed leaves it, and readers see the difference.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 4, FPS = 30 };
struct ring { uint64_t magic, slots, slot_bytes, published, is_ended, writer, reserved[10]; };
struct slot {
    uint64_t guard, sequence, captured_ns, arrived_ns, width, height, pitch, data_bytes, source;
    char format[16];
    uint64_t colour, reserved[4];
    uint8_t data[];
};
_Static_assert(sizeof(struct ring) == 128 && sizeof(struct slot) == 128, "heads are 128 bytes");

static volatile sig_atomic_t is_stopped;
static void stop(int number) { (void)number; is_stopped = 1; }

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fail(const char *path) { perror(path); exit(1); }

/* A ring that takes the name when it is whole. The file stays open, and so locked, until the process ends. */
static struct ring *create(const char *path, const char *temporary, uint64_t data_bytes) {
    uint64_t slot_bytes = sizeof(struct slot) + (data_bytes + 127) / 128 * 128;
    off_t size = (off_t)(sizeof(struct ring) + SLOTS * slot_bytes);
    int old = open(path, O_RDWR | O_CLOEXEC);
    if (old >= 0 && flock(old, LOCK_EX | LOCK_NB) < 0) { fprintf(stderr, "%s has a writer\n", path); exit(1); }
    if (old >= 0) close(old);
    int file = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0 || flock(file, LOCK_EX | LOCK_NB) < 0) fail(temporary);
    errno = posix_fallocate(file, 0, size); /* a hole would kill us by SIGBUS where memory is full */
    if (errno) { unlink(temporary); fail(path); }
    struct ring *ring = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (ring == MAP_FAILED) fail(temporary);
    memcpy(&ring->magic, "EDGESHM2", 8);
    ring->slots = SLOTS;
    ring->slot_bytes = slot_bytes;
    while (!ring->writer)
        if (getrandom(&ring->writer, sizeof ring->writer, 0) < 0) fail("getrandom");
    if (rename(temporary, path) < 0) fail(path);
    return ring;
}

/* Your camera: here a grey that moves on by one with every frame. */
static void fill(uint8_t *data, uint64_t bytes, uint64_t number) { memset(data, (int)(number & 255), bytes); }

static void publish(struct ring *ring, uint64_t width, uint64_t height) {
    uint64_t number = ring->published + 1;
    struct slot *slot = (void *)((char *)ring + sizeof *ring + (number - 1) % ring->slots * ring->slot_bytes);
    __atomic_store_n(&slot->guard, 2 * number - 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* nothing of the picture before the guard */
    slot->sequence = number - 1;
    slot->captured_ns = slot->arrived_ns = now_ns();
    slot->width = slot->pitch = width;
    slot->height = height;
    slot->data_bytes = width * height;
    memcpy(slot->format, "GRAY8", 6);
    fill(slot->data, slot->data_bytes, slot->sequence);
    __atomic_store_n(&slot->guard, 2 * number, __ATOMIC_RELEASE);
    __atomic_store_n(&ring->published, number, __ATOMIC_RELEASE);
}

int main(int words, char **word) {
    if (words != 5) { fprintf(stderr, "usage: %s NAME WIDTH HEIGHT COUNT\n", word[0]); return 2; }
    char path[256], temporary[300];
    snprintf(path, sizeof path, "/dev/shm/%s", word[1]);
    snprintf(temporary, sizeof temporary, "/dev/shm/.%s-%d", word[1], (int)getpid());
    uint64_t width = strtoull(word[2], NULL, 10), height = strtoull(word[3], NULL, 10);
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    struct ring *ring = create(path, temporary, width * height);
    printf("ready\n");
    fflush(stdout);
    for (long left = atol(word[4]); left > 0 && !is_stopped; left--) {
        publish(ring, width, height);
        nanosleep(&(struct timespec){.tv_nsec = 1000000000 / FPS}, NULL);
    }
    ring->is_ended = 1;
    unlink(path);
    return 0;
}
