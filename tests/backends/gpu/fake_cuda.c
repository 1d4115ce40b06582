/* A stand-in for libcuda.so.1, compiled with NVIDIA's own header, to be loaded by the package cuda-bindings.
 *
 * Memory is the host's, everything runs at once, and each call is noted as one line of its name and arguments. There is
 * one kernel, "add": out[i] = in[i] + n for the first (grid x block) floats. A kernel of another name does nothing.
 */
#define _GNU_SOURCE
#include <cuda.h>
#include <dlfcn.h>
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

static CUresult note(const char *name, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  used += snprintf(notes + used, sizeof notes - used, "%s ", name);
  used += vsnprintf(notes + used, sizeof notes - used, format, arguments);
  used += snprintf(notes + used, sizeof notes - used, "\n");
  va_end(arguments);
  if (strcmp(name, failing)) return CUDA_SUCCESS;
  failing[0] = 0;
  return (CUresult)failure;
}
#define NOTE(name, ...)                       \
  do {                                        \
    CUresult code_ = note(name, __VA_ARGS__); \
    if (code_) return code_;                  \
  } while (0)

typedef struct { unsigned blocks, threads; float *in, *out; float n; } Launch;
typedef struct { Launch launches[64]; int count; } Graph;
typedef struct { double at; } Event;
static Graph *capturing;
/* Milliseconds that the device has worked: the host's clock would count what else the host does between two records. */
static double device_clock;
static const char *functions[2] = {"add", "other"};

static void run(const Launch *one) {
  for (unsigned i = 0; i < one->blocks * one->threads; i++) one->out[i] = one->in[i] + one->n;
  device_clock += 1e-4;
}

CUresult cuGetProcAddress(const char *symbol, void **function, int version, cuuint64_t flags,
                          CUdriverProcAddressQueryResult *status) {
  static const char *const suffixes[] = {"_v4", "_v3", "_v2", ""};
  *function = 0;
  for (int i = 0; i < 4 && !*function; i++) {
    char name[256];
    snprintf(name, sizeof name, "%s%s", symbol, suffixes[i]);
    *function = dlsym(RTLD_DEFAULT, name);
    if (!*function) {
      void *self = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
      if (self) *function = dlsym(self, name);
    }
  }
  if (status) *status = *function ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
  return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
CUresult cuInit(unsigned flags) { NOTE("cuInit", "%u", flags); return CUDA_SUCCESS; }
CUresult cuDriverGetVersion(int *version) { *version = 12040; return CUDA_SUCCESS; }
CUresult cuDeviceGetCount(int *count) { NOTE("cuDeviceGetCount", ""); *count = 1; return CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice *device, int index) { *device = index + 40; return CUDA_SUCCESS; }
CUresult cuDeviceGetName(char *name, int size, CUdevice device) {
  snprintf(name, size, "NVIDIA H100 80GB HBM3");
  return CUDA_SUCCESS;
}
CUresult cuDeviceTotalMem(size_t *bytes, CUdevice device) { *bytes = 80ull << 30; return CUDA_SUCCESS; }
CUresult cuDeviceGetPCIBusId(char *address, int size, CUdevice device) {
  snprintf(address, size, "0000:17:00.0");
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
  if (device != 40) return CUDA_ERROR_INVALID_DEVICE;
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 132; break;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X: *value = 1021; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y: *value = 1022; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z: *value = 64; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: *value = 2147483647; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y: *value = 65535; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: *value = 65534; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = 49152; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = 232448; break;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK: *value = 65536; break;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE: *value = 50 << 20; break;
    case CU_DEVICE_ATTRIBUTE_MAX_PERSISTING_L2_CACHE_SIZE: *value = 32 << 20; break;
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE: *value = 1980000; break;
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE: *value = 2619000; break;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH: *value = 5120; break;
    case CU_DEVICE_ATTRIBUTE_ECC_ENABLED: *value = 1; break;
    case CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH: *value = 1; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 9; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 0; break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned flags) {
  NOTE("cuDevicePrimaryCtxSetFlags", "%d %d", device, flags == (CU_CTX_SCHED_SPIN | CU_CTX_LMEM_RESIZE_TO_MAX));
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  NOTE("cuDevicePrimaryCtxRetain", "%d", device);
  *context = (CUcontext)0x1100;
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
  NOTE("cuDevicePrimaryCtxRelease", "%d", device);
  return CUDA_SUCCESS;
}
CUresult cuCtxSetCurrent(CUcontext context) { NOTE("cuCtxSetCurrent", "%p", (void *)context); return CUDA_SUCCESS; }
CUresult cuCtxSetLimit(CUlimit limit, size_t value) {
  NOTE("cuCtxSetLimit", "%d %zu", limit == CU_LIMIT_PERSISTING_L2_CACHE_SIZE, value);
  return CUDA_SUCCESS;
}
CUresult cuCtxResetPersistingL2Cache(void) { NOTE("cuCtxResetPersistingL2Cache", ""); return CUDA_SUCCESS; }
CUresult cuMemGetInfo(size_t *available, size_t *total) {
  *available = 5ull << 32, *total = 80ull << 30;
  return CUDA_SUCCESS;
}
CUresult cuMemAlloc(CUdeviceptr *address, size_t size) {
  NOTE("cuMemAlloc", "%zu", size);
  *address = (CUdeviceptr)aligned_alloc(512, (size + 511) / 512 * 512);
  return CUDA_SUCCESS;
}
CUresult cuMemFree(CUdeviceptr address) { NOTE("cuMemFree", ""); free((void *)address); return CUDA_SUCCESS; }
CUresult cuMemHostAlloc(void **address, size_t size, unsigned flags) {
  NOTE("cuMemHostAlloc", "%zu %d", size, flags == CU_MEMHOSTALLOC_DEVICEMAP);
  *address = malloc(size);
  return CUDA_SUCCESS;
}
CUresult cuMemHostGetDevicePointer(CUdeviceptr *address, void *host, unsigned flags) {
  NOTE("cuMemHostGetDevicePointer", "%u", flags);
  *address = (CUdeviceptr)host;
  return CUDA_SUCCESS;
}
CUresult cuMemFreeHost(void *address) { NOTE("cuMemFreeHost", ""); free(address); return CUDA_SUCCESS; }
CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
  NOTE("cuStreamCreate", "%d", flags == CU_STREAM_NON_BLOCKING);
  *stream = (CUstream)0x7123456789abull;
  return CUDA_SUCCESS;
}
CUresult cuStreamDestroy(CUstream stream) { NOTE("cuStreamDestroy", "%p", (void *)stream); return CUDA_SUCCESS; }
CUresult cuStreamSynchronize(CUstream stream) { NOTE("cuStreamSynchronize", "%p", (void *)stream); return CUDA_SUCCESS; }
CUresult cuStreamWaitValue32(CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned flags) {
  NOTE("cuStreamWaitValue32", "%p %d %u %d", (void *)stream, address != 0, value, flags == CU_STREAM_WAIT_VALUE_GEQ);
  return CUDA_SUCCESS;
}
CUresult cuMemsetD8Async(CUdeviceptr address, unsigned char value, size_t count, CUstream stream) {
  NOTE("cuMemsetD8Async", "%u %zu %p", value, count, (void *)stream);
  memset((void *)address, value, count);
  return CUDA_SUCCESS;
}
CUresult cuMemsetD32Async(CUdeviceptr address, unsigned value, size_t count, CUstream stream) {
  NOTE("cuMemsetD32Async", "%x %zu %p", value, count, (void *)stream);
  for (size_t i = 0; i < count; i++) ((unsigned *)address)[i] = value;
  return CUDA_SUCCESS;
}
CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t size, CUstream stream) {
  NOTE("cuMemcpyHtoDAsync", "%zu %p", size, (void *)stream);
  memcpy((void *)to, from, size);
  return CUDA_SUCCESS;
}
CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t size, CUstream stream) {
  NOTE("cuMemcpyDtoHAsync", "%zu %p", size, (void *)stream);
  memcpy(to, (void *)from, size);
  return CUDA_SUCCESS;
}
CUresult cuModuleLoadData(CUmodule *module, const void *image) {
  int text = !memcmp(image, ".version", 8), binary = !memcmp(image, "\177ELF", 4);
  NOTE("cuModuleLoadData", "%s", text ? "ptx" : binary ? "cubin" : "neither");
  if (!text && !binary) return CUDA_ERROR_NO_BINARY_FOR_GPU;
  *module = (CUmodule)0x2200;
  return CUDA_SUCCESS;
}
CUresult cuModuleUnload(CUmodule module) { NOTE("cuModuleUnload", "%p", (void *)module); return CUDA_SUCCESS; }
CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  NOTE("cuModuleGetFunction", "%p %s", (void *)module, name);
  *function = (CUfunction)&functions[strcmp(name, "add") != 0];
  return CUDA_SUCCESS;
}
CUresult cuFuncLoad(CUfunction function) { NOTE("cuFuncLoad", "%s", *(const char **)function); return CUDA_SUCCESS; }
CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction function) {
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_NUM_REGS: *value = 40; break;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES: *value = 8; break;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES: *value = 512; break;
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 256; break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}
CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
  NOTE("cuFuncSetAttribute", "%s %d %d",
       attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES ? "shared"
       : attribute == CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED ? "cluster" : "?",
       value, *(const char **)function == functions[0]);
  return CUDA_SUCCESS;
}
CUresult cuFuncSetCacheConfig(CUfunction function, CUfunc_cache config) {
  NOTE("cuFuncSetCacheConfig", "%d", config == CU_FUNC_CACHE_PREFER_SHARED);
  return CUDA_SUCCESS;
}
static CUresult launch(CUfunction function, unsigned blocks, unsigned threads, void **parameters) {
  if (strcmp(*(const char **)function, "add")) return CUDA_SUCCESS;
  Launch one = {blocks, threads, *(float **)parameters[0], *(float **)parameters[1], *(float *)parameters[2]};
  if (capturing) capturing->launches[capturing->count++] = one;
  else run(&one);
  return CUDA_SUCCESS;
}
CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, CUstream stream, void **parameters, void **extra) {
  NOTE("cuLaunchKernel", "%s %u %u %u %u %u %u %u %p %d", *(const char **)f, gx, gy, gz, bx, by, bz, shared,
       (void *)stream, extra == 0);
  return launch(f, gx * gy * gz, bx * by * bz, parameters);
}
CUresult cuLaunchKernelEx(const CUlaunchConfig *c, CUfunction f, void **parameters, void **extra) {
  char text[256] = "";
  for (unsigned i = 0; i < c->numAttrs; i++) {
    const CUlaunchAttribute *one = &c->attrs[i];
    size_t length = strlen(text);
    if (one->id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
      snprintf(text + length, sizeof text - length, " cluster %u %u %u", one->value.clusterDim.x,
               one->value.clusterDim.y, one->value.clusterDim.z);
    else if (one->id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE)
      snprintf(text + length, sizeof text - length, " cooperative %d", one->value.cooperative);
    else
      snprintf(text + length, sizeof text - length, " attribute %d", (int)one->id);
  }
  NOTE("cuLaunchKernelEx", "%s %u %u %u %u %u %u %u %p%s", *(const char **)f, c->gridDimX, c->gridDimY, c->gridDimZ,
       c->blockDimX, c->blockDimY, c->blockDimZ, c->sharedMemBytes, (void *)c->hStream, text);
  return launch(f, c->gridDimX * c->gridDimY * c->gridDimZ, c->blockDimX * c->blockDimY * c->blockDimZ, parameters);
}
CUresult cuEventCreate(CUevent *event, unsigned flags) {
  NOTE("cuEventCreate", "%d", flags == CU_EVENT_DEFAULT);
  *event = (CUevent)calloc(1, sizeof(Event));
  return CUDA_SUCCESS;
}
CUresult cuEventDestroy(CUevent event) { NOTE("cuEventDestroy", ""); free(event); return CUDA_SUCCESS; }
CUresult cuEventRecord(CUevent event, CUstream stream) {
  NOTE("cuEventRecord", "%p", (void *)stream);
  ((Event *)event)->at = device_clock;
  return CUDA_SUCCESS;
}
CUresult cuEventQuery(CUevent event) {
  static int asked;
  NOTE("cuEventQuery", "");
  return ++asked % 2 ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}
CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
  *milliseconds = (float)(((Event *)end)->at - ((Event *)start)->at);
  return CUDA_SUCCESS;
}
CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode) {
  NOTE("cuStreamBeginCapture", "%p %d", (void *)stream, mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
  capturing = calloc(1, sizeof *capturing);
  return CUDA_SUCCESS;
}
CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
  NOTE("cuStreamEndCapture", "%p", (void *)stream);
  *graph = (CUgraph)capturing, capturing = 0;
  return CUDA_SUCCESS;
}
CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long flags) {
  NOTE("cuGraphInstantiate", "%llu", flags);
  *executable = (CUgraphExec)malloc(sizeof(Graph));
  memcpy(*executable, graph, sizeof(Graph));
  return CUDA_SUCCESS;
}
CUresult cuGraphDestroy(CUgraph graph) { NOTE("cuGraphDestroy", ""); free(graph); return CUDA_SUCCESS; }
CUresult cuGraphUpload(CUgraphExec graph, CUstream stream) {
  NOTE("cuGraphUpload", "%p", (void *)stream);
  return CUDA_SUCCESS;
}
CUresult cuGraphLaunch(CUgraphExec graph, CUstream stream) {
  NOTE("cuGraphLaunch", "%p", (void *)stream);
  for (int i = 0; i < ((Graph *)graph)->count; i++) run(&((Graph *)graph)->launches[i]);
  return CUDA_SUCCESS;
}
CUresult cuGraphExecDestroy(CUgraphExec graph) { NOTE("cuGraphExecDestroy", ""); free(graph); return CUDA_SUCCESS; }
