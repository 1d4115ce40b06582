"""AMD's driver, against a library compiled with AMD's headers. Nothing here has seen an AMD GPU."""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kernelevolve.accelerator import Artifact, BufferSpec, Realm, Source
from kernelevolve.backends._gpu import hip, hip_names
from kernelevolve.backends._gpu.calls import GpuCall
from kernelevolve.backends._gpu.devices import devices
from kernelevolve.backends._gpu.driver import Attribute, DriverError, ErrorKind, LaunchShape
from kernelevolve.backends._gpu.hip import HipDriver, find_library
from kernelevolve.backends._gpu.session import GpuSession
from kernelevolve.outcome import DeviceFault, LaunchError, OutOfMemory, ToolchainError
from kernelevolve.plan import BufferArgument, PlannedLaunch, ScalarArgument

HERE = Path(__file__).parent
STREAM = "0x7123456789ab"
FUNCTION = "0x7fffffff00020"
ELF = b"\x7fELF\x00\x01\x00rest"


def headers() -> Path:
    found = importlib.util.find_spec("triton")
    folder = Path(found.origin).parent / "backends/amd/include" if found and found.origin else None
    if folder is None or not (folder / "hip/hip_runtime_api.h").exists() or shutil.which("gcc") is None:
        pytest.skip("needs gcc, and AMD's headers from the package triton")
    return folder


def compiled(folder: Path, source: str, name: str) -> Path:
    (folder / "source.c").write_text(source)
    command = ["gcc", "-w", "-shared", "-fPIC", f"-I{headers()}", "-o", name, "source.c"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / name


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("hip"), (HERE / "fake_hip.c").read_text(), "libamdhip64.so")


class Notes:
    """What the stand-in was called with."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.fake_notes.restype = ctypes.c_char_p
        self.clear()

    def clear(self) -> None:
        self._library.fake_clear()

    def fail(self, name: str, code: int) -> None:
        self._library.fake_fail(name.encode(), code)

    def __call__(self, name: str) -> list[str]:
        lines = [line.partition(" ") for line in self._library.fake_notes().decode().splitlines()]
        return [rest for called, _, rest in lines if called == name]


@pytest.fixture
def notes(library: Path) -> Notes:
    return Notes(library)


@pytest.fixture
def driver(library: Path, notes: Notes) -> HipDriver:
    return HipDriver(str(library))


@pytest.fixture
def session(driver: HipDriver) -> Iterator[GpuSession]:
    opened = GpuSession(devices(driver, "triton-rocm")[0], driver)
    yield opened
    opened.close()


def test_every_number_is_the_headers(tmp_path: Path) -> None:
    pairs = {f"hipError{name}": number for name, number in hip_names.ERRORS.items()} | {
        "sizeof(hipDeviceProp_tR0600)": hip_names.PROPERTIES_SIZE,
        "offsetof(hipDeviceProp_tR0600, gcnArchName)": hip_names.ARCHITECTURE_OFFSET,
    }
    cases = "".join(f"case {index}: return {name};" for index, name in enumerate(pairs))
    includes = "#define __HIP_PLATFORM_AMD__\n#include <stddef.h>\n#include <hip/hip_runtime_api.h>\n"
    source = f"{includes}int value(int index) {{ switch (index) {{ {cases} }} return -1; }}"
    value = ctypes.CDLL(str(compiled(tmp_path, source, "numbers.so"))).value
    assert {name: value(index) for index, name in enumerate(pairs)} == pairs


def test_every_meaning_is_of_a_known_error() -> None:
    assert set(hip_names.KINDS) <= set(hip_names.ERRORS)


SIZES = """
#define __HIP_PLATFORM_AMD__
#define __HIP_DISABLE_CPP_FUNCTIONS__
#include <cstddef>
#include <initializer_list>
#include <hip/hip_runtime_api.h>
template <class R, class... P>
constexpr bool same(R (*)(P...), std::initializer_list<size_t> sizes) {
  size_t real[] = {sizeof(P)..., 0}, i = 0;
  if (sizeof(R) != 4 || sizes.size() != sizeof...(P)) return false;
  for (size_t one : sizes)
    if (one != real[i++]) return false;
  return true;
}
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_prototypes_have_as_many_parameters_of_the_same_sizes_as_the_headers(tmp_path: Path) -> None:
    lines = [
        f'static_assert(same(&::{name}, {{{", ".join(str(ctypes.sizeof(one)) for one in types)}}}), "{name}");'
        for name, types in hip_names.PROTOTYPES.items()
    ]
    (tmp_path / "sizes.cpp").write_text(SIZES + "\n".join(lines))
    command = ["g++", "-std=c++17", "-w", "-fsyntax-only", f"-I{headers()}", "sizes.cpp"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_devices_are_described(driver: HipDriver) -> None:
    found = devices(driver, "triton-rocm")
    assert [device.index for device in found] == [0, 1]
    device = found[1]
    assert (device.name, device.target.name, device.realm) == ("AMD Instinct MI300X", "hip:gfx942", Realm.HARDWARE)
    assert device.facts == {"num_units": 304, "warp_size": 64, "max_group_size": 1024}
    assert device.memory == {
        "global": 192 << 30,
        "max_allocation": 192 << 30,
        "local": 65536,
        "cache": 256 << 20,
    }
    assert device.peaks is not None
    assert device.peaks.bytes_per_second == 5.3e12
    assert device.peaks.operations_per_second == pytest.approx(2615e12, rel=0.01)
    assert device.description["pci"] == "0000:c1:00.0"
    assert device.description["ecc"] == "on"
    assert device.description["driver"].startswith("hip 7.")
    assert "bfloat16" in device.dtypes
    assert "float8_e4m3fn" not in device.dtypes


def test_every_attribute_is_asked_by_its_number(driver: HipDriver) -> None:
    found = {attribute: driver.attribute(0, attribute) for attribute in Attribute}
    assert found == {
        Attribute.UNITS: 304,
        Attribute.WARP_SIZE: 64,
        Attribute.MAX_THREADS_PER_BLOCK: 1024,
        Attribute.MAX_BLOCK_X: 1021,
        Attribute.MAX_BLOCK_Y: 1022,
        Attribute.MAX_BLOCK_Z: 1023,
        Attribute.MAX_GRID_X: 2**31 - 1,
        Attribute.MAX_GRID_Y: 65535,
        Attribute.MAX_GRID_Z: 65534,
        Attribute.SHARED_PER_BLOCK: 65536,
        Attribute.SHARED_PER_BLOCK_OPTIN: 65536,
        Attribute.REGISTERS_PER_BLOCK: 65537,
        Attribute.CACHE: 4 << 20,
        Attribute.CLOCK: 2_100_000,
        Attribute.MEMORY_CLOCK: 1_300_000,
        Attribute.MEMORY_BUS: 8192,
        Attribute.ECC: 1,
        Attribute.COOPERATIVE: 1,
    }


def test_an_attribute_that_the_runtime_does_not_know_is_none(driver: HipDriver, notes: Notes) -> None:
    notes.fail("hipDeviceGetAttribute", hip_names.ERRORS["InvalidValue"])
    assert driver.attribute(0, Attribute.CLOCK) is None
    notes.fail("hipDeviceGetAttribute", hip_names.ERRORS["Unknown"])
    with pytest.raises(DriverError, match=r"hipDeviceGetAttribute failed with hipErrorUnknown \(999\)"):
        driver.attribute(0, Attribute.CLOCK)


def test_no_device_is_an_answer(driver: HipDriver, notes: Notes) -> None:
    notes.fail("hipGetDeviceCount", hip_names.ERRORS["NoDevice"])
    assert driver.device_count() == 0
    notes.fail("hipGetDeviceCount", hip_names.ERRORS["NotInitialized"])
    with pytest.raises(DriverError, match="hipErrorNotInitialized"):
        driver.device_count()


def artifact(**entry: object) -> Artifact:
    layout = [
        {"kind": "pointer", "of": "x"},
        {"kind": "pointer", "of": "y"},
        {"kind": "scalar", "of": "n", "type": "fp32"},
    ]
    described = {"symbol": "add", "threads": 4, "shared": 64, "cooperative": False, "layout": layout, **entry}
    return Artifact({"hsaco:add": ELF}, extra={"entries": {"add": described}})


LAUNCH = PlannedLaunch(
    "add", (2, 1), (), (BufferArgument("x", "x"), BufferArgument("y", "y"), ScalarArgument("n", 1.5))
)


def run(session: GpuSession, call: GpuCall) -> None:
    session.launch(call)
    session.synchronize()


def test_a_session_computes_through_the_whole_abi(session: GpuSession, notes: Notes) -> None:
    buffers = {name: session.allocate(BufferSpec(32, 64)) for name in "xy"}
    for buffer in buffers.values():
        session.fill(buffer, 0xFF, guards=True)
    session.upload(buffers["x"], memoryview(np.arange(8, dtype=np.float32)))
    call = session.bind(session.load(artifact()), [LAUNCH], buffers)
    session.launch(call)
    session.synchronize()
    assert np.frombuffer(session.download(buffers["y"]), np.float32).tolist() == [i + 1.5 for i in range(8)]
    assert session.download(buffers["y"], guards=True)[:256] == b"\xff" * 256
    assert notes("hipModuleLaunchKernel") == [f"{FUNCTION} 2 1 1 4 1 1 64 {STREAM} 1"]
    assert notes("hipMalloc") == ["544", "544"]
    assert notes("hipMemsetD8Async")[0] == f"255 544 {STREAM}"
    assert notes("hipMemcpyHtoDAsync") == [f"32 {STREAM}"]
    assert notes("hipStreamCreateWithFlags") == ["1"]
    assert notes("hipSetDeviceFlags") == ["1"]


def test_timing_holds_the_stream_by_a_value_in_signal_memory(session: GpuSession, notes: Notes) -> None:
    buffers = {name: session.allocate(BufferSpec(32)) for name in "xy"}
    call = session.bind(session.load(artifact()), [LAUNCH], buffers)
    session.launch(call)
    notes.clear()
    sample = session.time(call)
    assert sample.source is Source.DEVICE_EVENT
    assert 0 < sample.seconds <= (sample.host_seconds or 0) * 1.05 + 1e-6
    assert notes("hipStreamWaitValue32") == [f"{STREAM} 1 1 1 ffffffff"]
    assert notes("hipEventRecord") == [STREAM, STREAM]


def test_several_launches_go_as_a_graph(session: GpuSession, notes: Notes) -> None:
    buffers = {name: session.allocate(BufferSpec(32)) for name in "xy"}
    session.upload(buffers["x"], memoryview(np.zeros(8, dtype=np.float32)))
    call = session.bind(session.load(artifact()), [LAUNCH, LAUNCH], buffers)
    session.launch(call)
    session.fill(buffers["y"], 0, guards=False)
    session.time(call, launches=3)
    session.time(call, launches=3)
    assert np.frombuffer(session.download(buffers["y"]), np.float32).tolist() == [1.5] * 8
    assert notes("hipStreamBeginCapture") == [f"{STREAM} 1"]
    assert notes("hipGraphUpload") == [f"1 {STREAM}"]
    assert notes("hipGraphLaunch") == [STREAM, STREAM]
    assert len(notes("hipModuleLaunchKernel")) == 2 + 6


def test_the_flush_writes_twice_the_memory_side_cache(session: GpuSession, notes: Notes) -> None:
    session.flush()
    assert notes("hipMemsetD32Async") == [f"9e3779b1 {2 * (256 << 20) // 4} {STREAM}"]


def test_a_cooperative_kernel_is_launched_as_one(session: GpuSession, notes: Notes) -> None:
    buffers = {name: session.allocate(BufferSpec(32)) for name in "xy"}
    session.launch(session.bind(session.load(artifact(cooperative=True)), [LAUNCH], buffers))
    assert notes("hipModuleLaunchCooperativeKernel") == [f"{FUNCTION} 2 1 1 4 1 1 64 {STREAM}"]


def test_clusters_are_refused(session: GpuSession) -> None:
    buffers = {name: session.allocate(BufferSpec(32)) for name in "xy"}
    with pytest.raises(LaunchError, match="a launch in clusters"):
        session.bind(session.load(artifact(cluster=[2, 1, 1])), [LAUNCH], buffers)


def test_what_the_driver_knows_of_a_kernel(driver: HipDriver) -> None:
    found = driver.function_attributes(driver.function(driver.load(ELF), "add"))
    assert (found.registers, found.local_bytes, found.shared_bytes, found.max_threads) == (40, 8, 512, 256)


def test_a_binary_for_another_chip_says_what_is_installed(session: GpuSession) -> None:
    wrong = Artifact({"hsaco:add": b"not a code object"}, extra=artifact().extra)
    with pytest.raises(
        ToolchainError, match=r"the HIP runtime 7\.\d+\.\d+ refused a binary for gfx942 .*NoBinaryForGpu"
    ):
        session.load(wrong)


@pytest.mark.parametrize(
    ("call", "error", "outcome"),
    [
        ("hipStreamSynchronize", "IllegalAddress", DeviceFault),
        ("hipStreamSynchronize", "LaunchFailure", DeviceFault),
        ("hipModuleLaunchKernel", "OutOfMemory", OutOfMemory),
        ("hipModuleLaunchKernel", "InvalidConfiguration", LaunchError),
    ],
)
def test_errors_become_outcomes(
    session: GpuSession, notes: Notes, call: str, error: str, outcome: type[Exception]
) -> None:
    buffers = {name: session.allocate(BufferSpec(32)) for name in "xy"}
    bound = session.bind(session.load(artifact()), [LAUNCH], buffers)
    notes.fail(call, hip_names.ERRORS[error])
    with pytest.raises(outcome, match=f"hipError{error}"):
        run(session, bound)


def test_out_of_memory_says_how_much_was_free(session: GpuSession, notes: Notes) -> None:
    notes.fail("hipMalloc", hip_names.ERRORS["OutOfMemory"])
    with pytest.raises(OutOfMemory, match=rf"100 bytes .*; {5 << 32} of {192 << 30} are free"):
        session.allocate(BufferSpec(100))


def test_an_error_without_a_name_keeps_its_number(driver: HipDriver, notes: Notes) -> None:
    notes.fail("hipFree", 12345)
    with pytest.raises(DriverError, match="hipError 12345") as caught:
        driver.free(0)
    assert caught.value.kind is ErrorKind.OTHER


def test_a_runtime_that_lacks_a_function_says_which_rocm_is_needed(tmp_path: Path) -> None:
    path = compiled(tmp_path, "int hipInit(unsigned flags) { return 0; }", "libamdhip64.so")
    with pytest.raises(DriverError, match=r"has no hipDriverGetVersion; ROCm 6\.0 or newer is needed"):
        HipDriver(str(path)).device_count()


def test_the_runtime_is_found_under_rocm_path(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib").mkdir()
    shutil.copy(library, tmp_path / "lib" / "libamdhip64.so.7")
    monkeypatch.setattr(hip, "_NAMES", ("libamdhip64.so.7",))
    monkeypatch.setenv("ROCM_PATH", str(tmp_path))
    if find_library() == "libamdhip64.so.7":
        pytest.skip("the system has a HIP runtime of its own")
    assert find_library() == str(tmp_path / "lib" / "libamdhip64.so.7")
    assert HipDriver.missing() is None


def test_the_runtime_is_found_in_pytorchs_wheel(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "torch"
    (package / "lib").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('it is looked for, not imported')")
    shutil.copy(library, package / "lib" / "libamdhip64.so")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.delenv("ROCM_PATH", raising=False)
    monkeypatch.delenv("HIP_PATH", raising=False)
    found = find_library()
    if found is not None and not found.startswith(str(tmp_path)):
        pytest.skip("the system has a HIP runtime of its own")
    assert found == str(package / "lib" / "libamdhip64.so")


def test_without_a_runtime_the_answer_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hip, "_NAMES", ("libamdhip64.so.none",))
    sentence = HipDriver.missing()
    assert sentence is not None
    assert "install ROCm 6.0 or newer" in sentence
    assert "ROCM_PATH" in sentence
    with pytest.raises(DriverError, match="hipErrorNoDevice"):
        HipDriver().versions()


def test_the_shape_reaches_the_driver_in_order(driver: HipDriver, notes: Notes) -> None:
    function = driver.function(driver.load(ELF), "add")
    space = (ctypes.c_float * 2000)()
    address = ctypes.c_uint64(ctypes.addressof(space))
    number = ctypes.c_float(0)
    values = (ctypes.c_void_p * 3)(ctypes.addressof(address), ctypes.addressof(address), ctypes.addressof(number))
    shape = LaunchShape((2, 3, 5), (7, 1, 1), 11)
    driver.launcher(function, shape, ctypes.addressof(values), driver.create_stream())()
    assert notes("hipModuleLaunchKernel") == [f"{FUNCTION} 2 3 5 7 1 1 11 {STREAM} 1"]
