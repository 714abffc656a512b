/* Stand in for CUDA's driver library: one device, as the environment describes it. It computes nothing.
   Memory, streams and events are those of standin_device.py, which answers for them where it is loaded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_CONTEXT = 201 };
enum { INVALID_HANDLE = 400, POINTER_MEMORY_TYPE = 2, POINTER_DEVICE_ORDINAL = 9, DEVICE_MEMORY = 2 };
enum { INTEGRATED = 18, COMPUTE_CAPABILITY_MAJOR = 75, COMPUTE_CAPABILITY_MINOR = 76 };

static __thread int pushed = 0;

static const char *setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static size_t total_bytes(void) { return strtoull(setting("STANDIN_TOTAL", "8589934592"), NULL, 10); }

int cuInit(unsigned flags) { return flags == 0 ? atoi(setting("STANDIN_CUINIT", "0")) : INVALID_VALUE; }

int cuDriverGetVersion(int *version) {
    *version = atoi(setting("STANDIN_DRIVER", "13000"));
    return SUCCESS;
}

int cuDeviceGetCount(int *count) {
    *count = atoi(setting("STANDIN_COUNT", "1"));
    return SUCCESS;
}

int cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return ordinal == 0 ? SUCCESS : INVALID_DEVICE;
}

int cuDeviceGetName(char *name, int length, int device) {
    snprintf(name, (size_t)length, "%s", setting("STANDIN_DEVICE", "Orin"));
    return device == 0 ? SUCCESS : INVALID_DEVICE;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    int major = 0, minor = 0;
    if (attribute == INTEGRATED) {
        *value = atoi(setting("STANDIN_INTEGRATED", "1"));
        return device == 0 ? SUCCESS : INVALID_DEVICE;
    }
    sscanf(setting("STANDIN_CC", "8.7"), "%d.%d", &major, &minor);
    if (attribute != COMPUTE_CAPABILITY_MAJOR && attribute != COMPUTE_CAPABILITY_MINOR) return INVALID_VALUE;
    *value = attribute == COMPUTE_CAPABILITY_MAJOR ? major : minor;
    return device == 0 ? SUCCESS : INVALID_DEVICE;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    *bytes = total_bytes();
    return device == 0 ? SUCCESS : INVALID_DEVICE;
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    *context = &pushed;
    return device == 0 ? SUCCESS : INVALID_DEVICE;
}

int cuDevicePrimaryCtxRelease_v2(int device) { return device == 0 ? SUCCESS : INVALID_DEVICE; }

int cuCtxSetCurrent(void *context) {
    pushed = context != NULL;
    return SUCCESS;
}

int cuCtxPushCurrent_v2(void *context) {
    if (context == NULL) return INVALID_CONTEXT;
    ++pushed;
    return SUCCESS;
}

int cuCtxPopCurrent_v2(void **context) {
    if (pushed == 0) return INVALID_CONTEXT;
    --pushed;
    if (context != NULL) *context = &pushed;
    return SUCCESS;
}

int cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    if (pushed == 0) return INVALID_CONTEXT;
    char three_quarters[32];
    snprintf(three_quarters, sizeof three_quarters, "%zu", total_bytes() / 4 * 3);
    *total = total_bytes();
    *free_bytes = strtoull(setting("STANDIN_FREE", three_quarters), NULL, 10);
    return SUCCESS;
}

typedef long long (*Answer)(const char *question, unsigned long long one, unsigned long long other);
static Answer answer = NULL;

/* Who answers; a negative answer is a no. */
void standin_answers(Answer function) { answer = function; }

static long long asked(const char *question, const void *one, const void *other) {
    return answer ? answer(question, (unsigned long long)one, (unsigned long long)other) : -1;
}

int cuPointerGetAttribute(void *value, int attribute, unsigned long long pointer) {
    if (asked("has", (void *)pointer, NULL) < 0) return INVALID_VALUE;
    if (attribute != POINTER_MEMORY_TYPE && attribute != POINTER_DEVICE_ORDINAL) return INVALID_VALUE;
    *(int *)value = attribute == POINTER_MEMORY_TYPE ? DEVICE_MEMORY : 0;
    return SUCCESS;
}

int cuEventCreate(void **event, unsigned flags) {
    *event = (void *)asked("create", (void *)(size_t)flags, NULL);
    return (long long)*event < 0 ? INVALID_VALUE : SUCCESS;
}

int cuEventRecord(void *event, void *stream) { return asked("record", event, stream) < 0 ? INVALID_HANDLE : SUCCESS; }

int cuStreamWaitEvent(void *stream, void *event, unsigned flags) {
    if (flags != 0) return INVALID_VALUE;
    return asked("wait", stream, event) < 0 ? INVALID_HANDLE : SUCCESS;
}

int cuEventDestroy_v2(void *event) { return asked("destroy", event, NULL) < 0 ? INVALID_HANDLE : SUCCESS; }

int cuStreamSynchronize(void *stream) { return asked("synchronize", stream, NULL) < 0 ? INVALID_HANDLE : SUCCESS; }

int cuGetErrorName(int status, const char **name) {
    static const struct { int status; const char *name; } names[] = {
        {SUCCESS, "CUDA_SUCCESS"},
        {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
        {NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
        {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"},
        {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
        {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
    };
    for (size_t index = 0; index < sizeof names / sizeof *names; ++index)
        if (names[index].status == status) {
            *name = names[index].name;
            return SUCCESS;
        }
    *name = NULL;
    return INVALID_VALUE;
}
