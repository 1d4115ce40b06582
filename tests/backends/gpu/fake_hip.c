/* A stand-in for libamdhip64, compiled with AMD's own headers: an ABI that differs from them does not get through.
 *
 * Memory is the host's, everything runs at once, and each call is noted as one line of its name and arguments. The one
 * kernel is "add": out[i] = in[i] + n for the first (grid x block) floats.
 */
#define __HIP_PLATFORM_AMD__
#include <hip/hip_runtime_api.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char notes[1 << 20];
static size_t used;
static char failing[64];
static int failure;

const char *fake_notes(void) { return notes; }
void fake_clear(void) { used = 0, notes[0] = 0; }
void fake_fail(const char *name, int code) { snprintf(failing, sizeof failing, "%s", name), failure = code; }

static hipError_t note(const char *name, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  used += snprintf(notes + used, sizeof notes - used, "%s ", name);
  used += vsnprintf(notes + used, sizeof notes - used, format, arguments);
  used += snprintf(notes + used, sizeof notes - used, "\n");
  va_end(arguments);
  if (strcmp(name, failing)) return hipSuccess;
  failing[0] = 0;
  return (hipError_t)failure;
}
#define NOTE(...)                                 \
  do {                                            \
    hipError_t code_ = note(__func__, __VA_ARGS__); \
    if (code_) return code_;                      \
  } while (0)

typedef struct { unsigned blocks, threads; float *in, *out; float n; } Launch;
typedef struct { Launch launches[64]; int count; } Graph;
typedef struct { double at; } Event;
static Graph *capturing;
/* Milliseconds that the device has worked: the host's clock would count what else the host does between two records. */
static double device_clock;

static void run(const Launch *one) {
  for (unsigned i = 0; i < one->blocks * one->threads; i++) one->out[i] = one->in[i] + one->n;
  device_clock += 1e-4;
}

hipError_t hipInit(unsigned int flags) { NOTE("%u", flags); return hipSuccess; }
hipError_t hipDriverGetVersion(int *version) { NOTE(""); *version = HIP_VERSION; return hipSuccess; }
hipError_t hipGetDeviceCount(int *count) { NOTE(""); *count = 2; return hipSuccess; }
hipError_t hipSetDevice(int index) { NOTE("%d", index); return hipSuccess; }
hipError_t hipSetDeviceFlags(unsigned flags) { NOTE("%u", flags == hipDeviceScheduleSpin); return hipSuccess; }
hipError_t hipDeviceGetName(char *name, int size, hipDevice_t device) {
  NOTE("%d %d", size, device);
  snprintf(name, size, "AMD Instinct MI300X");
  return hipSuccess;
}
hipError_t hipDeviceTotalMem(size_t *bytes, hipDevice_t device) {
  NOTE("%d", device);
  *bytes = 192ull << 30;
  return hipSuccess;
}
hipError_t hipDeviceGetPCIBusId(char *address, int size, int device) {
  NOTE("%d %d", size, device);
  snprintf(address, size, "0000:c1:00.0");
  return hipSuccess;
}
hipError_t hipDeviceGetAttribute(int *value, hipDeviceAttribute_t attribute, int device) {
  NOTE("%d %d", attribute, device);
  switch (attribute) {
    case hipDeviceAttributeMultiprocessorCount: *value = 304; break;
    case hipDeviceAttributeWarpSize: *value = 64; break;
    case hipDeviceAttributeMaxThreadsPerBlock: *value = 1024; break;
    case hipDeviceAttributeMaxBlockDimX: *value = 1021; break;
    case hipDeviceAttributeMaxBlockDimY: *value = 1022; break;
    case hipDeviceAttributeMaxBlockDimZ: *value = 1023; break;
    case hipDeviceAttributeMaxGridDimX: *value = 2147483647; break;
    case hipDeviceAttributeMaxGridDimY: *value = 65535; break;
    case hipDeviceAttributeMaxGridDimZ: *value = 65534; break;
    case hipDeviceAttributeMaxSharedMemoryPerBlock: *value = 65536; break;
    case hipDeviceAttributeMaxRegistersPerBlock: *value = 65537; break;
    case hipDeviceAttributeL2CacheSize: *value = 4194304; break;
    case hipDeviceAttributeClockRate: *value = 2100000; break;
    case hipDeviceAttributeMemoryClockRate: *value = 1300000; break;
    case hipDeviceAttributeMemoryBusWidth: *value = 8192; break;
    case hipDeviceAttributeEccEnabled: *value = 1; break;
    case hipDeviceAttributeCooperativeLaunch: *value = 1; break;
    default: return hipErrorInvalidValue;
  }
  return hipSuccess;
}
hipError_t hipGetDeviceProperties(hipDeviceProp_t *properties, int device) { /* R0600 by the header's macro */
  NOTE("%d", device);
  memset(properties, 0x5a, sizeof *properties);
  strcpy(properties->gcnArchName, "gfx942:sramecc+:xnack-");
  return hipSuccess;
}
hipError_t hipMemGetInfo(size_t *available, size_t *total) {
  NOTE("");
  *available = 5ull << 32, *total = 192ull << 30;
  return hipSuccess;
}
hipError_t hipMalloc(void **address, size_t size) {
  NOTE("%zu", size);
  *address = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
  return hipSuccess;
}
hipError_t hipExtMallocWithFlags(void **address, size_t size, unsigned flags) {
  NOTE("%zu %d", size, flags == hipMallocSignalMemory);
  *address = malloc(size);
  return hipSuccess;
}
hipError_t hipFree(void *address) { NOTE(""); free(address); return hipSuccess; }
hipError_t hipStreamCreateWithFlags(hipStream_t *stream, unsigned flags) {
  NOTE("%d", flags == hipStreamNonBlocking);
  *stream = (hipStream_t)0x7123456789abull;
  return hipSuccess;
}
hipError_t hipStreamDestroy(hipStream_t stream) { NOTE("%p", (void *)stream); return hipSuccess; }
hipError_t hipStreamSynchronize(hipStream_t stream) { NOTE("%p", (void *)stream); return hipSuccess; }
hipError_t hipStreamWaitValue32(hipStream_t stream, void *address, uint32_t value, unsigned flags, uint32_t mask) {
  NOTE("%p %d %u %d %x", (void *)stream, address != 0, value, flags == hipStreamWaitValueGte, mask);
  return hipSuccess;
}
hipError_t hipMemsetD8Async(hipDeviceptr_t address, unsigned char value, size_t count, hipStream_t stream) {
  NOTE("%u %zu %p", value, count, (void *)stream);
  memset(address, value, count);
  return hipSuccess;
}
hipError_t hipMemsetD32Async(hipDeviceptr_t address, int value, size_t count, hipStream_t stream) {
  NOTE("%x %zu %p", (unsigned)value, count, (void *)stream);
  for (size_t i = 0; i < count; i++) ((int *)address)[i] = value;
  return hipSuccess;
}
hipError_t hipMemcpyHtoDAsync(hipDeviceptr_t to, const void *from, size_t size, hipStream_t stream) {
  NOTE("%zu %p", size, (void *)stream);
  memcpy(to, from, size);
  return hipSuccess;
}
hipError_t hipMemcpyDtoHAsync(void *to, hipDeviceptr_t from, size_t size, hipStream_t stream) {
  NOTE("%zu %p", size, (void *)stream);
  memcpy(to, from, size);
  return hipSuccess;
}
hipError_t hipModuleLoadData(hipModule_t *module, const void *image) {
  NOTE("%02x%.3s", *(const unsigned char *)image, (const char *)image + 1);
  if (memcmp(image, "\177ELF", 4)) return hipErrorNoBinaryForGpu;
  *module = (hipModule_t)0x7fffffff00010ull;
  return hipSuccess;
}
hipError_t hipModuleUnload(hipModule_t module) { NOTE("%p", (void *)module); return hipSuccess; }
hipError_t hipModuleGetFunction(hipFunction_t *function, hipModule_t module, const char *name) {
  NOTE("%p %s", (void *)module, name);
  if (strcmp(name, "add")) return hipErrorNotFound;
  *function = (hipFunction_t)0x7fffffff00020ull;
  return hipSuccess;
}
hipError_t hipFuncGetAttribute(int *value, hipFunction_attribute attribute, hipFunction_t function) {
  NOTE("%p", (void *)function);
  switch (attribute) {
    case HIP_FUNC_ATTRIBUTE_NUM_REGS: *value = 40; break;
    case HIP_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES: *value = 8; break;
    case HIP_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES: *value = 512; break;
    case HIP_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 256; break;
    default: return hipErrorInvalidValue;
  }
  return hipSuccess;
}
static hipError_t launch(unsigned blocks, unsigned threads, void **parameters) {
  Launch one = {blocks, threads, *(float **)parameters[0], *(float **)parameters[1], *(float *)parameters[2]};
  if (capturing) capturing->launches[capturing->count++] = one;
  else run(&one);
  return hipSuccess;
}
hipError_t hipModuleLaunchKernel(hipFunction_t f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                 unsigned bz, unsigned shared, hipStream_t stream, void **parameters, void **extra) {
  NOTE("%p %u %u %u %u %u %u %u %p %d", (void *)f, gx, gy, gz, bx, by, bz, shared, (void *)stream, extra == 0);
  return launch(gx * gy * gz, bx * by * bz, parameters);
}
hipError_t hipModuleLaunchCooperativeKernel(hipFunction_t f, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                            unsigned by, unsigned bz, unsigned shared, hipStream_t stream,
                                            void **parameters) {
  NOTE("%p %u %u %u %u %u %u %u %p", (void *)f, gx, gy, gz, bx, by, bz, shared, (void *)stream);
  return launch(gx * gy * gz, bx * by * bz, parameters);
}
hipError_t hipEventCreateWithFlags(hipEvent_t *event, unsigned flags) {
  NOTE("%d", flags == hipEventDefault);
  *event = (hipEvent_t)calloc(1, sizeof(Event));
  return hipSuccess;
}
hipError_t hipEventDestroy(hipEvent_t event) { NOTE(""); free(event); return hipSuccess; }
hipError_t hipEventRecord(hipEvent_t event, hipStream_t stream) {
  NOTE("%p", (void *)stream);
  ((Event *)event)->at = device_clock;
  return hipSuccess;
}
hipError_t hipEventQuery(hipEvent_t event) { NOTE("%d", event != 0); return hipSuccess; }
hipError_t hipEventElapsedTime(float *milliseconds, hipEvent_t start, hipEvent_t end) {
  NOTE("");
  *milliseconds = (float)(((Event *)end)->at - ((Event *)start)->at);
  return hipSuccess;
}
hipError_t hipStreamBeginCapture(hipStream_t stream, hipStreamCaptureMode mode) {
  NOTE("%p %d", (void *)stream, mode == hipStreamCaptureModeThreadLocal);
  capturing = calloc(1, sizeof *capturing);
  return hipSuccess;
}
hipError_t hipStreamEndCapture(hipStream_t stream, hipGraph_t *graph) {
  NOTE("%p", (void *)stream);
  *graph = (hipGraph_t)capturing, capturing = 0;
  return hipSuccess;
}
hipError_t hipGraphInstantiateWithFlags(hipGraphExec_t *executable, hipGraph_t graph, unsigned long long flags) {
  NOTE("%llu", flags);
  *executable = (hipGraphExec_t)malloc(sizeof(Graph));
  memcpy(*executable, graph, sizeof(Graph));
  return hipSuccess;
}
hipError_t hipGraphDestroy(hipGraph_t graph) { NOTE(""); free(graph); return hipSuccess; }
hipError_t hipGraphUpload(hipGraphExec_t graph, hipStream_t stream) {
  NOTE("%d %p", graph != 0, (void *)stream);
  return hipSuccess;
}
hipError_t hipGraphLaunch(hipGraphExec_t graph, hipStream_t stream) {
  NOTE("%p", (void *)stream);
  for (int i = 0; i < ((Graph *)graph)->count; i++) run(&((Graph *)graph)->launches[i]);
  return hipSuccess;
}
hipError_t hipGraphExecDestroy(hipGraphExec_t graph) { NOTE(""); free(graph); return hipSuccess; }
