"""From a kernel's source to PTX and a binary for one compute capability, without a device.

Numba types and lowers the kernel to LTO-IR (NVVM); helpers that it implements in CUDA C++ (float16 and bfloat16
arithmetic) become LTO-IR too (NVRTC); nvJitLink optimises both together into one PTX text, which is kept, and
assembles that text. This is how numba-cuda itself builds kernels for a device, but for three things:

- the options of fast math are given to the link too, or additions and multiplications would keep subnormal numbers;
- a kernel that limits neither threads nor registers gets its plan's block as launch bounds, so that it never needs more
  registers than a block may have;
- the symbol is the kernel's name instead of a mangled one with a counter in it, so that the same source gives the same
  binary.
"""

from __future__ import annotations

__all__ = ["Built", "build", "execute"]

import importlib
import inspect
import linecache
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final

from attrs import frozen

from kernelevolve.backends._numba.failures import FILENAME, compile_failure, link_failure, own_line, without_paths
from kernelevolve.backends._numba.importing import import_cuda
from kernelevolve.backends._numba.signature import Entry, ptx_types
from kernelevolve.kernel import Value
from kernelevolve.outcome import CompileError, ToolchainError

_ENTRY: Final = re.compile(r"\.entry\s+(\w+)\s*\((.*?)\)", re.DOTALL)
_PARAMETER: Final = re.compile(r"\.param\s+(?:\.align\s+\d+\s+)?\.(\w+)")
#: Names of Numba's that hold a counter of the process: shared arrays and functions that were not inlined.
_COUNTED: Final = re.compile(r"\b(?:_cudapy_\w+|_ZN\w+)")
_USED: Final = re.compile(r"ptxas info\s*: Used (\d+) registers(?:.*?(\d+) bytes smem)?")
_FRAME: Final = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_WARNING: Final = re.compile(r"^.*\bwarning\b.*$", re.MULTILINE | re.IGNORECASE)


@frozen
class Built:
    """One compiled entry."""

    symbol: str
    ptx: bytes
    cubin: bytes
    #: ``registers`` per thread; bytes of spills and of the stack (``private_bytes``) per thread, and of static shared
    #: memory (``static_local_bytes``) per block.
    resources: Mapping[str, int]
    #: Whether its blocks wait for each other, so that all of them must be resident.
    cooperative: bool
    #: Every compiler setting that changes numbers.
    numerics: Mapping[str, bool]
    log: str


def execute(source: str, constants: Mapping[str, Value]) -> dict[str, Any]:
    """Run the source as a module in which `constants` are defined; its names.

    Raises `CompileError` with the line that failed.
    """
    import_cuda()
    namespace: dict[str, Any] = {"__name__": "kernel", **constants}
    linecache.cache[FILENAME] = (len(source), None, source.splitlines(keepends=True), FILENAME)
    try:
        exec(compile(source, FILENAME, "exec", dont_inherit=True), namespace)  # noqa: S102  # gated before, and in a worker
    except Exception as error:
        line = error.lineno if isinstance(error, SyntaxError) else own_line(error.__traceback__)
        reason = f"{type(error).__name__}: {without_paths(str(error))}"
        raise CompileError(f"line {line}: {reason}", stage="module", log=reason, line=line) from None
    namespace.update(constants)  # a tunable outranks a constant of its name
    return namespace


def build(entry: Entry, namespace: Mapping[str, Any], capability: tuple[int, int]) -> Built:
    """Compile one entry. Raises `CompileError`, `ResourceExceeded` or `ToolchainError`."""
    function, options = _kernel(entry, namespace)
    fast = bool(options.get("fastmath"))
    numerics = {"fastmath": fast, "ftz": fast, "prec_div": not fast, "prec_sqrt": not fast, "fma": True}
    optimise = bool(options.get("opt", True))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parts = _intermediate(entry, function, options, capability, optimise=optimise)
    level = "-O3" if optimise else "-O0"
    arch = "-arch=sm_{}{}".format(*capability)
    switches = [f"-{name.replace('_', '-')}={int(value)}" for name, value in numerics.items() if name != "fastmath"]
    text, _ = _link(entry.name, "LTOIR", parts, [arch, "-lto", "-ptx", level, *switches])
    symbol, ptx = _named(entry, text.decode("utf-8").rstrip("\0"))
    bound = [f"-maxrregcount={int(options['max_registers'])}"] if options.get("max_registers") else []
    cooperative = "cudaCGSynchronize" in ptx
    runtime = [_device_runtime()] if cooperative else []
    cubin, log = _link(entry.name, "PTX", [ptx.encode() + b"\0"], [arch, "-verbose", level, *bound], runtime)
    messages = [f"{one.category.__name__}: {one.message}" for one in caught]
    return Built(
        symbol=symbol,
        ptx=ptx.encode(),
        cubin=cubin,
        resources=_resources(entry.name, log),
        cooperative=cooperative,
        numerics=numerics,
        log=without_paths("\n".join([*messages, *_WARNING.findall(log)])),
    )


def _kernel(entry: Entry, namespace: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """The Python function and the options of its decorator."""
    dispatcher = namespace.get(entry.name)
    function, options = getattr(dispatcher, "py_func", None), getattr(dispatcher, "targetoptions", None)
    if function is None or options is None or options.get("device"):
        message = f"{entry.name} is no kernel; decorate the function with @cuda.jit"
        raise CompileError(message, stage="module", log="", line=None)
    names = list(inspect.signature(function).parameters)
    bound = [parameter.name for parameter in entry.parameters]
    if names != bound:
        message = f"{entry.name} takes {', '.join(names)}; the plan binds {', '.join(bound)}"
        raise CompileError(message, stage="module", log="", line=function.__code__.co_firstlineno)
    return function, options


def _intermediate(
    entry: Entry, function: Any, options: Mapping[str, Any], capability: tuple[int, int], *, optimise: bool
) -> list[bytes]:
    """LTO-IR: the kernel's, and that of each helper in CUDA C++."""
    cuda = import_cuda()
    types = cuda.types
    signature = types.void(*(parameter.numba_type(types) for parameter in entry.parameters))
    try:
        with _compiling_for(capability):
            codes, _ = cuda.compile_all(
                function,
                signature,
                debug=False,
                lineinfo=bool(options.get("lineinfo")),
                device=False,
                fastmath=bool(options.get("fastmath")),
                cc=capability,
                opt=optimise,
                abi="numba",
                output="ltoir",
                launch_bounds=_launch_bounds(entry, options),
            )
    except Exception as error:  # Numba's errors, those of the bindings, and whatever its passes stumble over
        raise compile_failure(error) from None
    return [code if isinstance(code, bytes) else bytes(code.code) for code in codes]


def _launch_bounds(entry: Entry, options: Mapping[str, Any]) -> Any:
    """The source's own, or the plan's block. ptxas ignores a limit on registers wherever it has bounds."""
    return options.get("launch_bounds") or (None if options.get("max_registers") else entry.threads)


@contextmanager
def _compiling_for(capability: tuple[int, int]) -> Iterator[None]:
    """Functions that a kernel calls are compiled for what numba-cuda takes for the current device; here it is told."""
    dispatcher: Any = importlib.import_module("numba.cuda.dispatcher")
    asked = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    try:
        yield
    finally:
        dispatcher.get_current_device = asked


def _device_runtime() -> str:
    """CUDA's library of functions that a kernel calls to wait for other blocks."""
    libraries = importlib.import_module("numba.cuda.cudadrv.libs")
    return str(libraries.get_cudalib("cudadevrt", static=True))


def _link(
    entry: str, kind: str, parts: Sequence[bytes], options: Sequence[str], libraries: Sequence[str] = ()
) -> tuple[bytes, str]:
    """What nvJitLink makes of `parts` and `libraries`, and its log."""
    from cuda.bindings import nvjitlink  # noqa: PLC0415  # a toolchain is imported where it is used

    handle = nvjitlink.create(len(options), list(options))
    try:
        for part in parts:
            nvjitlink.add_data(handle, getattr(nvjitlink.InputType, kind), part, len(part), entry)
        for library in libraries:
            nvjitlink.add_file(handle, nvjitlink.InputType.LIBRARY, library)
        nvjitlink.complete(handle)
        what = "ptx" if "-ptx" in options else "cubin"
        output = bytearray(getattr(nvjitlink, f"get_linked_{what}_size")(handle))
        getattr(nvjitlink, f"get_linked_{what}")(handle, output)
        return bytes(output), _log(nvjitlink, handle, "info")
    except nvjitlink.nvJitLinkError as error:
        raise link_failure(entry, _log(nvjitlink, handle, "error") or str(error)) from None
    finally:
        nvjitlink.destroy(handle)


def _log(nvjitlink: Any, handle: Any, which: str) -> str:
    text = bytearray(getattr(nvjitlink, f"get_{which}_log_size")(handle))
    if text:
        getattr(nvjitlink, f"get_{which}_log")(handle, text)
    return text.decode("utf-8", "replace").rstrip("\0")


def _named(entry: Entry, ptx: str) -> tuple[str, str]:
    """The symbol, and the text with names that do not change from one compile to the next.

    Raises `ToolchainError` where the parameters are not those of the layout.
    """
    found = _ENTRY.findall(ptx)
    if len(found) != 1:
        raise ToolchainError(f"the PTX of {entry.name} has {len(found)} kernels; one was expected", log=ptx[:2000])
    mangled, parameters = found[0]
    have, want = [_plain(kind) for kind in _PARAMETER.findall(parameters)], ptx_types(entry)
    if have != want:
        message = (
            f"numba-cuda passes the arguments of {entry.name} as {', '.join(have)}; {', '.join(want)} was expected"
        )
        raise ToolchainError(message, log=ptx[:4000])
    symbol = f"numba_{entry.name}"
    numbers: dict[str, str] = {}
    named = ptx.replace(mangled, symbol)
    return symbol, _COUNTED.sub(lambda one: numbers.setdefault(one[0], f"{symbol}_{len(numbers)}"), named)


def _plain(kind: str) -> str:
    """Signed, unsigned and untyped integers of one size are passed alike."""
    return f"u{kind[1:]}" if kind[0] in "sb" else kind


def _resources(entry: str, log: str) -> dict[str, int]:
    used, frame = _USED.search(log), _FRAME.search(log)
    if used is None or frame is None:
        raise ToolchainError(f"nvJitLink does not say what {entry} uses", log=log[-4000:])
    return {
        "registers": int(used[1]),
        "spill_store_bytes": int(frame[2]),
        "spill_load_bytes": int(frame[3]),
        "private_bytes": int(frame[1]),
        "static_local_bytes": int(used[2] or 0),
    }
