"""Real compiles for every listed target, without a device: stages, resources, numerics, and how kernels are called."""

# ruff: noqa: E501  # kernels in strings read better on one line

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from kernelevolve.accelerator import Artifact, BufferSpec, Target
from kernelevolve.backends._gpu.entries import Pointer, Scalar, Scratch, read_entries
from kernelevolve.backends._gpu.hardware import AmdUnit, unit_of
from kernelevolve.backends._gpu.session import GpuSession
from kernelevolve.backends._triton.base import TritonAccelerator
from kernelevolve.backends.triton_cuda import TritonCUDA
from kernelevolve.backends.triton_rocm import TritonROCm
from kernelevolve.outcome import Rejected
from kernelevolve.plan import LaunchPlan
from kernelevolve.problem import ScalarSpec

from ..gpu.fake_driver import FakeDriver, Kernel, device_of  # noqa: TID252  # shared by the GPU backends
from .conftest import make

CUDA, ROCM = TritonCUDA(), TritonROCm()
STAGES = {"cuda": ["ttir", "ttgir", "llir", "ptx", "cubin"], "hip": ["ttir", "ttgir", "llir", "amdgcn", "hsaco"]}
EVERY = [pytest.param(made, target, id=target.name) for made in (CUDA, ROCM) for target in made.targets()]
SOFTMAX = """@triton.jit
def k(x, y, cols, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    o = tl.arange(0, BLOCK)
    v = tl.load(x + row * cols + o, mask=o < cols, other=-float("inf")).to(tl.float32)
    e = tl.exp(v - tl.max(v, axis=0))
    tl.store(y + row * cols + o, e / (tl.sum(e, axis=0) + eps), mask=o < cols)
"""
MATMUL = """@triton.jit
def k(a, b, c, m, n, k, B: tl.constexpr):
    om = tl.program_id(0) * B + tl.arange(0, B)
    on = tl.program_id(1) * B + tl.arange(0, B)
    acc = tl.zeros((B, B), tl.float32)
    for k0 in range(0, k, 32):
        ok = k0 + tl.arange(0, 32)
        u = tl.load(a + om[:, None] * k + ok[None, :], mask=(om[:, None] < m) & (ok[None, :] < k), other=0.0)
        v = tl.load(b + ok[:, None] * n + on[None, :], mask=(ok[:, None] < k) & (on[None, :] < n), other=0.0)
        acc = tl.dot(u, v, acc)
    tl.store(c + om[:, None] * n + on[None, :], acc.to(c.dtype.element_ty), mask=(om[:, None] < m) & (on[None, :] < n))
"""


def softmax(sizes: str = "rows=64,cols=1000,x:bfloat16,y:bfloat16", **values: Any) -> LaunchPlan:
    header = (
        "[tune]\nBLOCK = [1024]\nnum_warps = [4, 8]\nnum_stages = [2, 3]\nmaxnreg = [128, 32]\nwaves_per_eu = [0, 2]"
    )
    return make(
        SOFTMAX,
        tensors="x:rows,cols;y:rows,cols",
        sizes=sizes,
        grid='"rows"',
        header=header,
        scalars=(ScalarSpec("eps", 1e-9),),
        values=values,
    )


def matmul(dtype: str = "float16", sizes: str = "m=128,n=128,k=64", block: int = 64, **values: Any) -> LaunchPlan:
    header = f"[tune]\nB = [{block}]\nnum_warps = [4, 8]\nnum_ctas = [1, 2]"
    sizes = f"{sizes},a:{dtype},b:{dtype},c:{dtype}"
    return make(
        MATMUL,
        tensors="a:m,k;b:k,n;c:m,n",
        out="c",
        sizes=sizes,
        grid='"cdiv(m, B)", "cdiv(n, B)"',
        header=header,
        values=values,
    )


@pytest.mark.parametrize(("made", "target"), EVERY)
def test_every_target_gives_every_stage_and_plausible_resources(made: TritonAccelerator, target: Target) -> None:
    for plan, least_local in ((softmax(), 16), (matmul(), 4096)):
        artifact = made.compile(plan, target)
        assert list(artifact.stages) == [f"{stage}:k" for stage in STAGES[made.platform]]
        assert artifact.stages[f"{made.binary}:k"].startswith(b"\x7fELF")
        assert b"tt.func public @k" in artifact.stages["ttir:k"]
        used = artifact.resources["k"]
        assert all(isinstance(value, int) for value in used.values())
        assert used["threads"] == 4 * unit_of(target.name).warp_size
        assert used["num_warps"] == 4
        assert used["local_bytes"] >= least_local
        assert used["private_bytes"] == 0
        assert 0 < used["occupancy_percent"] <= 100
        assert used["active_warps"] == used["active_blocks"] * 4
        if made is CUDA:
            assert 16 <= used["registers"] <= 255
            assert (used["spill_store_bytes"], used["spill_load_bytes"]) == (0, 0)
        else:
            assert 8 <= used["vgprs"] <= 512
            assert 8 <= used["sgprs"] <= 106
            assert (used["vgpr_spills"], used["sgpr_spills"]) == (0, 0)
        assert artifact.log == ""


def test_artifacts_do_not_name_the_machine_and_do_not_change() -> None:
    plan = softmax()
    first, second = (CUDA.compile(plan, Target("cuda:sm_90")) for _ in range(2))
    assert first.stages == second.stages
    for name, content in first.stages.items():
        if not name.startswith("cubin"):  # its line table keeps where Triton's own functions are installed
            assert os.fsencode(sys.prefix) not in content
            assert b"/tmp/" not in content


def test_several_targets_and_vendors_in_one_process_do_not_meet() -> None:
    body = (
        "@triton.jit\ndef k(x, y, N: tl.constexpr):\n    o = tl.arange(0, N)\n    tl.store(y + o, tl.load(x + o) * 2)\n"
    )
    plan = make(body, tensors="x:n;y:n", sizes="n=64", header="[tune]\nN = [64]")
    order = [(CUDA, "cuda:sm_90"), (ROCM, "hip:gfx942"), (CUDA, "cuda:sm_80"), (ROCM, "hip:gfx1100")]
    once = {name: made.compile(plan, Target(name)).stages for made, name in order}
    again = {name: made.compile(plan, Target(name)).stages for made, name in reversed(order)}
    assert once == again
    for name in ("cuda:sm_90", "cuda:sm_80"):
        assert f".target {name.partition(':')[2]}".encode() in once[name]["ptx:k"]
    for name in ("hip:gfx942", "hip:gfx1100"):
        assert name.partition(":")[2].encode() in once[name]["amdgcn:k"]


def test_the_environment_does_not_reach_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = matmul("float32")
    plain = CUDA.compile(plan, Target("cuda:sm_80"))
    settings = {
        "TRITON_F32_DEFAULT": "ieee",
        "TRITON_DEFAULT_FP_FUSION": "0",
        "DISABLE_PTXAS_OPT": "1",
        "TRITON_FORCE_DISABLE_FP_FUSION": "1",
        "TRITON_OVERRIDE_ARCH": "sm89",
    }
    monkeypatch.delenv("TRITON_CACHE_DIR", raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert CUDA.compile(plan, Target("cuda:sm_80")).stages == plain.stages
    assert {name: os.environ[name] for name in settings} == settings
    assert "TRITON_CACHE_DIR" not in os.environ
    assert "TRITON_DUMP_PTXAS_LOG" not in os.environ


def test_numerics_are_pinned_recorded_and_part_of_the_key() -> None:
    for made, target in ((CUDA, "cuda:sm_80"), (ROCM, "hip:gfx90a")):
        artifact = made.compile(matmul("float32"), Target(target))
        used = artifact.extra["numerics"]["k"]
        assert used["enable_fp_fusion"] is True
        assert used["float32_dots"] == ({"tf32": 1} if made is CUDA else {"ieee": 1})
        assert used["max_num_imprecise_acc_default"] == 0
        assert made.compile_key(matmul("float32"))["numerics"] == made.numerics
        assert "enable_fp_fusion=True" in made.toolchain()["numerics"]
    assert CUDA.compile(matmul("float16"), Target("cuda:sm_80")).extra["numerics"]["k"]["float32_dots"] == {}


def test_a_pinned_setting_does_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    body = "@triton.jit\ndef k(x, y, N: tl.constexpr):\n    o = tl.arange(0, N)\n    v = tl.load(x + o)\n    tl.store(y + o, v * v + v)\n"
    plan = make(body, tensors="x:n;y:n", sizes="n=64", header="[tune]\nN = [64]")
    key = CUDA.compile_key(plan)
    assert b"fma.rn.f32" in CUDA.compile(plan, Target("cuda:sm_90")).stages["ptx:k"]
    monkeypatch.setattr(TritonCUDA, "numerics", {**TritonCUDA.numerics, "enable_fp_fusion": False})
    assert b"fma.rn.f32" not in CUDA.compile(plan, Target("cuda:sm_90")).stages["ptx:k"]
    assert CUDA.compile_key(plan) != key


def test_triton_prints_no_warning_about_its_defaults() -> None:
    code = (
        "from kernelevolve.backends.triton_cuda import TritonCUDA\n"
        "from kernelevolve.backends._triton.compiling import known_options\n"
        "from kernelevolve.accelerator import Target\n"
        "print(sorted(known_options(Target('cuda:sm_90')))[0])\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_launch_options_reach_the_compiler_and_others_are_left_out() -> None:
    plain, wide = (CUDA.compile(softmax(num_warps=n), Target("cuda:sm_90")) for n in (4, 8))
    assert [one.resources["k"]["threads"] for one in (plain, wide)] == [128, 256]
    assert [one.extra["entries"]["k"]["threads"] for one in (plain, wide)] == [128, 256]
    tight = CUDA.compile(softmax(maxnreg=32), Target("cuda:sm_90"))
    assert tight.resources["k"]["registers"] <= 32
    assert b".maxnreg 32" in tight.stages["ptx:k"]
    other = CUDA.compile(softmax(waves_per_eu=2), Target("cuda:sm_90"))
    assert other.stages == plain.stages
    hinted = ROCM.compile(softmax(waves_per_eu=2), Target("hip:gfx942"))
    assert b'"amdgpu-waves-per-eu"="2' in hinted.stages["llir:k"]


def test_spills_are_seen() -> None:
    header = "[tune]\nBLOCK = [16384]\nnum_warps = [4]\nmaxnreg = [40]"
    plan = make(
        SOFTMAX,
        tensors="x:rows,cols;y:rows,cols",
        sizes="rows=4,cols=16384",
        grid='"rows"',
        header=header,
        scalars=(ScalarSpec("eps", 0.0),),
    )
    used = CUDA.compile(plan, Target("cuda:sm_90")).resources["k"]
    assert used["registers"] <= 40
    assert used["spill_store_bytes"] > 0
    assert used["spill_load_bytes"] > 0
    assert used["private_bytes"] > 0


def test_clusters_are_launched_as_such() -> None:
    body = "@triton.jit\ndef k(x, y, N: tl.constexpr):\n    o = tl.arange(0, N)\n    tl.store(y + o, tl.load(x + o))\n"
    plan = make(body, tensors="x:n;y:n", sizes="n=1024", header="[tune]\nN = [1024]\nnum_ctas = [2]")
    entry = CUDA.compile(plan, Target("cuda:sm_90")).extra["entries"]["k"]
    assert entry["cluster"] == [2, 1, 1]
    assert "cluster" not in CUDA.compile(softmax(), Target("cuda:sm_90")).extra["entries"]["k"]


def test_registers_agree_with_nvidias_own_reader(tmp_path: Any) -> None:
    knobs = pytest.importorskip("triton").knobs
    artifact = CUDA.compile(matmul(), Target("cuda:sm_90"))
    binary = tmp_path / "kernel.cubin"
    binary.write_bytes(artifact.stages["cubin:k"])
    done = subprocess.run(
        [knobs.nvidia.cuobjdump.path, "-res-usage", str(binary)], capture_output=True, text=True, check=False
    )
    match = re.search(r"REG:(\d+) STACK:(\d+) SHARED:(\d+)", done.stdout + done.stderr)
    assert match, done
    used = artifact.resources["k"]
    assert (int(match[1]), int(match[2])) == (used["registers"], used["private_bytes"])
    assert int(match[3]) in (used["static_local_bytes"], used["static_local_bytes"] + 1024)  # 1 KiB is the driver's


@pytest.mark.parametrize("target", ["hip:gfx90a", "hip:gfx942", "hip:gfx950"])
def test_occupancy_by_registers_agrees_with_llvms(target: str) -> None:
    """LLVM writes waves per SIMD as a comment; it does not know dynamic LDS, so registers must be what limits."""
    artifact = ROCM.compile(matmul(block=128), Target(target))
    match = re.search(rb"; Occupancy: (\d+)", artifact.stages["amdgcn:k"])
    assert match
    unit = unit_of(target)
    assert isinstance(unit, AmdUnit)
    from kernelevolve.backends._gpu.occupancy import occupancy

    used = artifact.resources["k"]
    alone = occupancy(target, threads=used["threads"], registers=used["vgprs"], scalars=used["sgprs"])
    assert alone.warps == int(match[1]) * unit.simds
    assert used["active_warps"] <= alone.warps


# ruff: noqa: ISC004  # one kernel, two lines
KERNELS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "scalars of every kind": (
        "@triton.jit\ndef k(x, h, y, n, big, eps, small: tl.int8, wide: tl.uint64, d: tl.float64, N: tl.constexpr):\n    o = tl.arange(0, N)\n"
        "    v = tl.load(x + o, mask=o < n) + eps + d.to(tl.float32)\n    tl.store(y + o, v + tl.load(h + o).to(tl.float32) + (big + small + wide.to(tl.int64)).to(tl.float32), mask=o < n)\n",
        {
            "tensors": "x:n;h:n;y:n",
            "sizes": "n=60,x:bfloat16,h:float8_e5m2",
            "header": '[tune]\nN = [64]\n[[launch]]\nentry = "k"\ngrid = ["1"]\nargs = { big = "2 ** 40 + n", small = "3", wide = "4" }',
            "scalars": (ScalarSpec("eps", 0.5), ScalarSpec("d", 0.25)),
        },
    ),
    "unused parameters": (
        "@triton.jit\ndef k(x, unused, y, n):\n    tl.store(y, 1.0)\n",
        {"tensors": "x:n;unused:n;y:n", "sizes": "n=64"},
    ),
    "no constants": (
        "@triton.jit\ndef k(x, y):\n    tl.store(y, tl.load(x))\n",
        {"tensors": "x:n;y:n", "sizes": "n=1"},
    ),
    "tensor descriptors": (
        "@triton.jit\ndef k(x, y, n):\n    d = tl.make_tensor_descriptor(x, [n, n], [n, 1], [16, 16])\n    e = tl.make_tensor_descriptor(y, [n, n], [n, 1], [16, 16])\n    e.store([0, 0], d.load([0, 0]))\n",
        {"tensors": "x:n,n;y:n,n", "sizes": "n=64"},
    ),
    "every small type": (
        "@triton.jit\ndef k(a, b, c, d, y, N: tl.constexpr):\n    o = tl.arange(0, N)\n    tl.store(y + o, tl.load(a + o).to(tl.int64) + tl.load(b + o) + tl.load(c + o) + tl.load(d + o))\n",
        {
            "tensors": "a:n;b:n;c:n;d:n;y:n",
            "sizes": "n=64,a:bool,b:int8,c:uint8,d:int16,y:int64",
            "header": "[tune]\nN = [64]",
        },
    ),
}


@pytest.mark.parametrize("target", ["cuda:sm_80", "cuda:sm_90", "cuda:sm_100", "hip:gfx942", "hip:gfx1100"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_layout_is_what_the_binary_declares(kernel: str, target: str) -> None:
    """Read here with another eye than the module's: PTX's ``.param`` list, AMD's ``.args``."""
    body, named = KERNELS[kernel]
    plan = make(body, **named)
    made = CUDA if target.startswith("cuda") else ROCM
    artifact = made.compile(plan, Target(target))
    entry = read_entries(artifact.extra)["k"]
    arguments = [one.parameter for one in plan.launches[0].arguments if one.parameter != "N"]
    assert [one.of for one in entry.layout if isinstance(one, Pointer | Scalar)] == arguments
    passed = [_size(one) for one in entry.layout]
    assert passed == (_of_ptx(artifact) if made is CUDA else _of_amdgcn(artifact))
    scratch = [one for one in entry.layout if isinstance(one, Scratch)]
    assert entry.layout[-2:] == tuple(scratch)
    wanted = kernel == "tensor descriptors" and target in ("cuda:sm_90", "cuda:sm_100")
    assert (scratch[0].bytes_per_block, scratch[0].align) == ((256, 128) if wanted else (0, 1))
    assert scratch[1].bytes_per_block == 0


def test_a_session_launches_as_the_binary_wants() -> None:
    body, named = KERNELS["scalars of every kind"]
    plan = make(body, **named)
    artifact = CUDA.compile(plan, Target("cuda:sm_90"))
    types = ("pointer", "pointer", "pointer", "i32", "i64", "fp32", "i8", "u64", "fp64", "pointer", "pointer")
    driver = FakeDriver(Kernel("k", types))
    session = GpuSession(device_of(driver), driver)
    program = session.load(evolve(artifact, stages={"cubin:k": b"FAKE:k"}))
    buffers = {one.name: session.allocate(BufferSpec(one.nbytes, 64)) for one in plan.buffers}
    session.launch(session.bind(program, plan.launches, buffers))
    session.synchronize()
    ((symbol, values, shape),) = driver.launches
    addresses = tuple(buffers[name].address for name in ("x", "h", "y"))
    assert symbol == "k"
    assert values == (*addresses, 60, 2**40 + 60, 0.5, 3, 4, 0.25, 0, 0)
    assert (shape.grid, shape.block, shape.cluster) == ((1, 1, 1), (128, 1, 1), None)
    assert shape.shared == artifact.extra["entries"]["k"]["shared"]
    session.close()


_SIZES = {"i8": 1, "i16": 2, "i32": 4, "i64": 8, "u64": 8, "fp32": 4, "fp64": 8}


def _size(item: Any) -> tuple[str, int]:
    return ("value", _SIZES[item.type]) if isinstance(item, Scalar) else ("pointer", 8)


def _of_ptx(artifact: Artifact) -> list[tuple[str, int]]:
    head = artifact.stages["ptx:k"].decode().split(".visible .entry k(")[1].split(")")[0]
    found = []
    for line in head.strip().splitlines():
        words = line.split()
        assert words[0] == ".param"
        found.append(("pointer" if ".ptr" in words else "value", int(words[1].lstrip(".usfb")) // 8))
    return found


def _of_amdgcn(artifact: Artifact) -> list[tuple[str, int]]:
    metadata = artifact.stages["amdgcn:k"].decode().split(".amdgpu_metadata")[1]
    arguments = metadata.split(".args:")[1].split(".group_segment_fixed_size")[0]
    kinds = re.findall(r"\.value_kind:\s+(\S+)", arguments)
    sizes = [int(size) for size in re.findall(r"\.size:\s+(\d+)", arguments)]
    assert all(kind in ("global_buffer", "by_value") for kind in kinds)
    return [("pointer" if kind == "global_buffer" else "value", size) for kind, size in zip(kinds, sizes, strict=True)]


def test_several_entries_give_several_binaries() -> None:
    body = "@triton.jit\ndef first(x, t):\n    tl.store(t, tl.load(x))\n\n\n@triton.jit\ndef second(t, y, n):\n    tl.store(y, tl.load(t) + n)\n"
    header = '[scratch.t]\nshape = ["1"]\n[[launch]]\nentry = "first"\ngrid = ["1"]\n[[launch]]\nentry = "second"\ngrid = ["1"]\n[[launch]]\nentry = "second"\ngrid = ["2"]'
    plan = make(body, tensors="x:n;y:n", sizes="n=4", header=header)
    artifact = ROCM.compile(plan, Target("hip:gfx942"))
    assert sorted(artifact.resources) == ["first", "second"]
    assert [name for name in artifact.stages if name.startswith("hsaco")] == ["hsaco:first", "hsaco:second"]
    assert {name: one.symbol for name, one in read_entries(artifact.extra).items()} == {
        "first": "first",
        "second": "second",
    }


def test_a_text_reaches_a_compile_time_parameter() -> None:
    body = (
        "@triton.jit\ndef k(x, y, N: tl.constexpr, POLICY: tl.constexpr):\n    o = tl.arange(0, N)\n"
        "    tl.store(y + o, tl.load(x + o, eviction_policy=POLICY))\n"
    )
    header = '[tune]\nN = [64]\nPOLICY = ["evict_first", "evict_last"]'
    made = [
        CUDA.compile(make(body, tensors="x:n;y:n", sizes="n=64", header=header, values=values), Target("cuda:sm_90"))
        for values in ({"N": 64, "POLICY": "evict_first"}, {"N": 64, "POLICY": "evict_last"})
    ]
    assert [b"L1::evict_first" in one.stages["ptx:k"] for one in made] == [True, False]
    assert [b"L1::evict_last" in one.stages["ptx:k"] for one in made] == [False, True]


def test_a_text_fits_no_parameter_of_the_run_time() -> None:
    body = "@triton.jit\ndef k(x, y, POLICY):\n    tl.store(y, tl.load(x))\n"
    with pytest.raises(Rejected, match="gets a text; make it constexpr"):
        make(body, tensors="x:n;y:n", sizes="n=64", header='[tune]\nPOLICY = ["evict_first"]')


GLUON = """import triton.experimental.gluon.language as gl
from triton.experimental import gluon


@gluon.jit
def k(x, y, n, BLOCK: gl.constexpr):
    lanes: gl.constexpr = gl.BlockedLayout([4], [32], [gl.num_warps()], [0])
    i = gl.program_id(0) * BLOCK + gl.arange(0, BLOCK, lanes)
    gl.store(y + i, gl.load(x + i, mask=i < n) * 2, mask=i < n)
    gl.barrier()
"""
GLUON_PRODUCT = """import triton.experimental.gluon.language as gl
from triton.experimental import gluon
from triton.experimental.gluon.language.nvidia.hopper import fence_async_shared, warpgroup_mma


@gluon.jit
def k(x, y):
    lanes: gl.constexpr = gl.BlockedLayout([1, 4], [4, 8], [4, 1], [1, 0])
    shared: gl.constexpr = gl.NVMMASharedLayout(128, 32, 2)
    r = gl.arange(0, 64, gl.SliceLayout(1, lanes))
    c = gl.arange(0, 32, gl.SliceLayout(0, lanes))
    tile = gl.allocate_shared_memory(gl.float32, [64, 32], shared, gl.load(x + r[:, None] * 32 + c[None, :]))
    fence_async_shared()
    out: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, 64, 8])
    product = warpgroup_mma(tile, tile.permute((1, 0)), gl.zeros([64, 64], gl.float32, out))
    rows = gl.arange(0, 64, gl.SliceLayout(1, out))
    gl.store(y + rows[:, None] * 64 + gl.arange(0, 64, gl.SliceLayout(0, out))[None, :], product)
"""


@pytest.mark.parametrize("target", CUDA.targets(), ids=lambda one: one.name)
def test_gluon_that_names_no_chip_compiles_for_every_one_of_the_vendor(target: Target) -> None:
    plan = make(GLUON, tensors="x:n;y:n", sizes="n=4096", header="[tune]\nBLOCK = [512]\nnum_warps = [4]")
    artifact = CUDA.compile(plan, target)
    stages = [one.removesuffix(":k") for one in artifact.stages]
    assert [one for one in stages if one != "glir"] == STAGES["cuda"][1:]  # Triton 3.6 has no glir
    assert artifact.resources["k"]["threads"] == 128
    assert "bar.sync" in artifact.stages["ptx:k"].decode()


def test_a_gluon_product_of_float32_is_reported_as_tf32() -> None:
    plan = make(GLUON_PRODUCT, tensors="x:m,k;y:m,m", sizes="m=64,k=32", header="[tune]\nnum_warps = [4]")
    artifact = CUDA.compile(plan, Target("cuda:sm_90"))
    assert artifact.extra["numerics"]["k"]["float32_dots"] == {"tf32": 1}
    assert ".tf32.tf32" in artifact.stages["ptx:k"].decode()
