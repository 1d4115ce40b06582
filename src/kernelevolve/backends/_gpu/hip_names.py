"""HIP's ABI as AMD documents it: prototypes, enum values, offsets.

From ``hip/hip_runtime_api.h`` and ``hip/driver_types.h`` of ROCm 7.1 ("HIP runtime API reference", rocm.docs.amd.com).
"""

from __future__ import annotations

__all__ = [
    "ARCHITECTURE_OFFSET",
    "ATTRIBUTES",
    "ERRORS",
    "FUNCTION_ATTRIBUTES",
    "KINDS",
    "OPTIONAL",
    "PROPERTIES_SIZE",
    "PROTOTYPES",
]

from collections.abc import Mapping
from ctypes import POINTER, c_char_p, c_float, c_int, c_size_t, c_ubyte, c_uint, c_uint32, c_ulonglong, c_void_p
from typing import Any, Final

from kernelevolve.backends._gpu.driver import Attribute, ErrorKind

_OUT: Final = POINTER(c_void_p)
_NUMBER: Final = POINTER(c_int)
_SIZE: Final = POINTER(c_size_t)
_DIMENSIONS: Final = (c_uint,) * 6
#: Parameter types. Every function returns hipError_t, an int; hipDeviceptr_t, streams, events and such are pointers.
PROTOTYPES: Final[Mapping[str, tuple[Any, ...]]] = {
    "hipInit": (c_uint,),
    "hipDriverGetVersion": (_NUMBER,),
    "hipGetDeviceCount": (_NUMBER,),
    "hipSetDevice": (c_int,),
    "hipSetDeviceFlags": (c_uint,),
    "hipDeviceGetName": (c_char_p, c_int, c_int),
    "hipDeviceTotalMem": (_SIZE, c_int),
    "hipDeviceGetPCIBusId": (c_char_p, c_int, c_int),
    "hipDeviceGetAttribute": (_NUMBER, c_int, c_int),
    "hipGetDevicePropertiesR0600": (c_void_p, c_int),
    "hipMemGetInfo": (_SIZE, _SIZE),
    "hipMalloc": (_OUT, c_size_t),
    "hipExtMallocWithFlags": (_OUT, c_size_t, c_uint),
    "hipFree": (c_void_p,),
    "hipStreamCreateWithFlags": (_OUT, c_uint),
    "hipStreamDestroy": (c_void_p,),
    "hipStreamSynchronize": (c_void_p,),
    "hipStreamWaitValue32": (c_void_p, c_void_p, c_uint32, c_uint, c_uint32),
    "hipMemsetD8Async": (c_void_p, c_ubyte, c_size_t, c_void_p),
    "hipMemsetD32Async": (c_void_p, c_int, c_size_t, c_void_p),
    "hipMemcpyHtoDAsync": (c_void_p, c_void_p, c_size_t, c_void_p),
    "hipMemcpyDtoHAsync": (c_void_p, c_void_p, c_size_t, c_void_p),
    "hipModuleLoadData": (_OUT, c_char_p),
    "hipModuleUnload": (c_void_p,),
    "hipModuleGetFunction": (_OUT, c_void_p, c_char_p),
    "hipFuncGetAttribute": (_NUMBER, c_int, c_void_p),
    "hipModuleLaunchKernel": (c_void_p, *_DIMENSIONS, c_uint, c_void_p, c_void_p, c_void_p),
    "hipModuleLaunchCooperativeKernel": (c_void_p, *_DIMENSIONS, c_uint, c_void_p, c_void_p),
    "hipEventCreateWithFlags": (_OUT, c_uint),
    "hipEventDestroy": (c_void_p,),
    "hipEventRecord": (c_void_p, c_void_p),
    "hipEventQuery": (c_void_p,),
    "hipEventElapsedTime": (POINTER(c_float), c_void_p, c_void_p),
    "hipStreamBeginCapture": (c_void_p, c_int),
    "hipStreamEndCapture": (c_void_p, _OUT),
    "hipGraphInstantiateWithFlags": (_OUT, c_void_p, c_ulonglong),
    "hipGraphDestroy": (c_void_p,),
    "hipGraphUpload": (c_void_p, c_void_p),
    "hipGraphLaunch": (c_void_p, c_void_p),
    "hipGraphExecDestroy": (c_void_p,),
}
#: Functions that older runtimes may lack.
OPTIONAL: Final = frozenset({"hipGraphUpload", "hipStreamWaitValue32", "hipExtMallocWithFlags"})

#: ``hipDeviceAttribute…``
ATTRIBUTES: Final[Mapping[Attribute, int]] = {
    Attribute.UNITS: 63,  # MultiprocessorCount
    Attribute.WARP_SIZE: 87,  # WarpSize
    Attribute.MAX_THREADS_PER_BLOCK: 56,  # MaxThreadsPerBlock
    Attribute.MAX_BLOCK_X: 26,  # MaxBlockDimX
    Attribute.MAX_BLOCK_Y: 27,
    Attribute.MAX_BLOCK_Z: 28,
    Attribute.MAX_GRID_X: 29,  # MaxGridDimX
    Attribute.MAX_GRID_Y: 30,
    Attribute.MAX_GRID_Z: 31,
    Attribute.SHARED_PER_BLOCK: 74,  # MaxSharedMemoryPerBlock
    Attribute.REGISTERS_PER_BLOCK: 71,  # MaxRegistersPerBlock
    Attribute.CACHE: 19,  # L2CacheSize
    Attribute.CLOCK: 5,  # ClockRate
    Attribute.MEMORY_CLOCK: 60,  # MemoryClockRate
    Attribute.MEMORY_BUS: 59,  # MemoryBusWidth
    Attribute.ECC: 0,  # EccEnabled
    Attribute.COOPERATIVE: 10,  # CooperativeLaunch
}
#: ``HIP_FUNC_ATTRIBUTE_…``: NUM_REGS, LOCAL_SIZE_BYTES, SHARED_SIZE_BYTES, MAX_THREADS_PER_BLOCK.
FUNCTION_ATTRIBUTES: Final = (4, 3, 1, 0)
#: sizeof(hipDeviceProp_tR0600), and where its gcnArchName starts (a string of at most 256 bytes).
PROPERTIES_SIZE: Final = 1472
ARCHITECTURE_OFFSET: Final = 1160

#: ``hipError…`` as numbers, where a session must know the meaning or a reader the name.
ERRORS: Final[Mapping[str, int]] = {
    "InvalidValue": 1,
    "OutOfMemory": 2,
    "NotInitialized": 3,
    "Deinitialized": 4,
    "InvalidConfiguration": 9,
    "InsufficientDriver": 35,
    "InvalidDeviceFunction": 98,
    "NoDevice": 100,
    "InvalidDevice": 101,
    "InvalidImage": 200,
    "NoBinaryForGpu": 209,
    "ECCNotCorrectable": 214,
    "InvalidKernelFile": 218,
    "SharedObjectInitFailed": 303,
    "InvalidHandle": 400,
    "NotFound": 500,
    "NotReady": 600,
    "IllegalAddress": 700,
    "LaunchOutOfResources": 701,
    "LaunchTimeOut": 702,
    "ContextIsDestroyed": 709,
    "Assert": 710,
    "LaunchFailure": 719,
    "CooperativeLaunchTooLarge": 720,
    "NotSupported": 801,
    "StreamCaptureUnsupported": 900,
    "StreamCaptureInvalidated": 901,
    "Unknown": 999,
    "RuntimeMemory": 1052,
    "RuntimeOther": 1053,
}
KINDS: Final[Mapping[str, ErrorKind]] = {
    "OutOfMemory": ErrorKind.MEMORY,
    "NoDevice": ErrorKind.LOST,
    "InvalidDevice": ErrorKind.LOST,
    "Deinitialized": ErrorKind.LOST,
    "InvalidImage": ErrorKind.IMAGE,
    "NoBinaryForGpu": ErrorKind.IMAGE,
    "InvalidKernelFile": ErrorKind.IMAGE,
    "SharedObjectInitFailed": ErrorKind.IMAGE,
    "NotSupported": ErrorKind.UNSUPPORTED,
    "ECCNotCorrectable": ErrorKind.FAULT,
    "IllegalAddress": ErrorKind.FAULT,
    "LaunchTimeOut": ErrorKind.FAULT,
    "ContextIsDestroyed": ErrorKind.FAULT,
    "Assert": ErrorKind.FAULT,
    "LaunchFailure": ErrorKind.FAULT,
    "Unknown": ErrorKind.FAULT,
    "RuntimeMemory": ErrorKind.FAULT,
    "RuntimeOther": ErrorKind.FAULT,
}
