/* Prints the newest masks of a shm:// sink of edgeseg: number, size, and pixels of every class.
 *
 *     cc -O2 -o read_masks deploy/read_masks.c && ./read_masks masks 10
 *
 * The layout is told in edgeseg/runtime/shared_ring.py. Nothing is copied: what was read counts
 * only if the slot's guard is the same afterwards.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct ring { uint64_t magic, slots, slot_bytes, published, is_ended, writer, reserved[10]; };
struct slot {
    uint64_t guard, sequence, captured_ns, arrived_ns, width, height, pitch, data_bytes, source;
    char format[16];
    uint64_t colour, reserved[4];
    uint8_t data[];
};
_Static_assert(sizeof(struct ring) == 128 && sizeof(struct slot) == 128, "headers are 128 bytes");

static const struct ring *map(const char *name, struct stat *status) {
    char path[256];
    snprintf(path, sizeof path, "/dev/shm/%s", name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, status) < 0) { perror(path); exit(1); }
    const struct ring *ring = mmap(NULL, (size_t)status->st_size, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (ring == MAP_FAILED) { perror(path); exit(1); }
    if ((size_t)status->st_size < sizeof *ring || memcmp(&ring->magic, "EDGESHM2", 8) != 0) {
        fprintf(stderr, "%s is not laid out as EDGESHM2: run the edgeseg that this program was compiled for\n", path);
        exit(1);
    }
    return ring;
}

/* A larger mask or a new writer replaces the file: whether the name means another one now. */
static int is_replaced(const char *name, const struct stat *mapped) {
    char path[256];
    struct stat now;
    snprintf(path, sizeof path, "/dev/shm/%s", name);
    return stat(path, &now) == 0 && (now.st_ino != mapped->st_ino || now.st_dev != mapped->st_dev);
}

/* Counts the classes of picture `number`; 0 where the writer took the slot meanwhile. */
static int count(const struct ring *ring, uint64_t number, uint64_t pixels[256], struct slot *head) {
    const struct slot *slot =
        (const void *)((const char *)ring + sizeof *ring + (number - 1) % ring->slots * ring->slot_bytes);
    if (__atomic_load_n(&slot->guard, __ATOMIC_ACQUIRE) != 2 * number) return 0;
    *head = *slot;
    if (strncmp(head->format, "MASK", sizeof head->format) != 0) { fprintf(stderr, "it holds frames\n"); exit(1); }
    if (head->data_bytes > ring->slot_bytes - sizeof *slot || head->pitch * head->height > head->data_bytes) return 0;
    memset(pixels, 0, 256 * sizeof *pixels);
    for (uint64_t y = 0; y < head->height; y++)
        for (uint64_t x = 0; x < head->width; x++) pixels[slot->data[y * head->pitch + x]]++;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&slot->guard, __ATOMIC_RELAXED) == 2 * number;
}

int main(int words, char **word) {
    if (words != 3) { fprintf(stderr, "usage: %s NAME COUNT\n", word[0]); return 2; }
    struct stat status;
    const struct ring *ring = map(word[1], &status);
    uint64_t pixels[256], seen = 0;
    for (int left = atoi(word[2]); left > 0;) {
        struct slot head;
        uint64_t published = __atomic_load_n(&ring->published, __ATOMIC_ACQUIRE);
        if (published && published != seen && count(ring, published, pixels, &head)) {
            seen = published;
            left--;
            printf("%llu %llux%llu", (unsigned long long)head.sequence, (unsigned long long)head.width,
                   (unsigned long long)head.height);
            for (int label = 0; label < 256; label++)
                if (pixels[label]) printf(" %d:%llu", label, (unsigned long long)pixels[label]);
            printf("\n");
            fflush(stdout);
        } else if (is_replaced(word[1], &status)) {
            munmap((void *)ring, (size_t)status.st_size);
            ring = map(word[1], &status);
            seen = 0;
        } else if (ring->is_ended) {
            return 0;
        } else {
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
    }
    return 0;
}
