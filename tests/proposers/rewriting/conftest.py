"""Kernels to rewrite, the problems they solve, and the means to run them on a real OpenCL device."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import frozen

from kernelevolve import registry
from kernelevolve.kernel import Configuration, Kernel, parse_kernel
from kernelevolve.languages.opencl_c import OpenCLC
from kernelevolve.plan import BufferArgument, LaunchPlan, LocalArgument, Role, make_plan
from kernelevolve.problem import Problem, ScalarSpec, TensorSpec, Workload

KERNELS = Path(__file__).parent / "kernels"
NUMPY = {"float32": np.float32, "float64": np.float64, "int32": np.int32, "int64": np.int64}
C_NAMES = {"float32": "float", "float64": "double", "int32": "int", "int64": "long"}
FACTS = {"num_units": 4, "warp_size": 8, "max_group_size": 4096}


def _rows(name: str, reference: Callable[..., Any], **extra: Any) -> Problem:
    return Problem(
        name=name,
        axes=("rows", "cols"),
        inputs=(TensorSpec("x", "rows, cols"), *extra.pop("inputs", ())),
        outputs=(TensorSpec("y", extra.pop("shape", "rows, cols")),),
        reference=reference,
        workloads=("rows=5,cols=37",),
        **extra,
    )


def _total(x: torch.Tensor, scale: float) -> torch.Tensor:
    first = x[0]
    return torch.stack([x.sum(), (first / (scale + 2) + scale * 3).max(), (first * scale * 3).min()])


def _scaled(x: torch.Tensor, scale: float) -> torch.Tensor:
    v = x * scale + 0.5
    return torch.where(v < 0, -v * 0.25, v + 1).clamp(min=0.125)


PROBLEMS = {
    "softmax_items": _rows("softmax_items", lambda x: torch.softmax(x, -1), pattern="row_reduction"),
    "rms_norm_items": _rows(
        "rms_norm_items",
        lambda x, weight, eps: x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) * weight,
        inputs=(TensorSpec("weight", "cols"),),
        scalars=(ScalarSpec("eps", 1e-5),),
    ),
    "scaled_sum": _rows("scaled_sum", _scaled, scalars=(ScalarSpec("scale", 1.5),)),
    "total": _rows("total", _total, shape="3", scalars=(ScalarSpec("scale", 1.5),)),
}


@frozen
class Sample:
    """A kernel with its problem, and sizes to run it for."""

    problem: Problem
    kernel: Kernel
    workloads: tuple[Workload, ...]


def _sizes(problem: Problem) -> tuple[Workload, ...]:
    sizes = {
        ("rows", "cols"): ("rows=5,cols=37", "rows=1,cols=1", "rows=9,cols=96"),
        ("m", "n", "k"): ("m=7,n=19,k=13", "m=1,n=1,k=1", "m=24,n=16,k=32"),
        ("count", "size"): ("count=77,size=31", "count=1,size=1", "count=64,size=128"),
    }
    return tuple(Workload.parse(text) for text in sizes[tuple(problem.axes)])


def _samples() -> dict[str, Sample]:
    found = {}
    for name in ("softmax", "rms_norm", "matmul", "map_id"):
        problem = registry.problem(name)
        found[name] = Sample(problem, parse_kernel(problem.seeds["opencl"]), _sizes(problem))
    for name, problem in PROBLEMS.items():
        kernel = parse_kernel((KERNELS / f"{name}.cl").read_text(), name=name)
        found[name] = Sample(problem, kernel, _sizes(problem))
    return found


@pytest.fixture(scope="session")
def samples() -> dict[str, Sample]:
    return _samples()


@frozen
class Machine:
    """Runs plans on a device."""

    context: Any
    queue: Any
    programs: dict[str, Any]

    def run(self, sample: Sample, kernel: Kernel, workload: Workload, configuration: Configuration) -> np.ndarray:
        """The first output, flattened; inputs depend on nothing but the problem and the workload."""
        entries = OpenCLC().entries(kernel.body)
        plan = make_plan(kernel, sample.problem, workload, configuration, entries, FACTS)
        return self._run(plan, inputs(sample.problem, workload))

    def expected(self, sample: Sample, workload: Workload) -> np.ndarray:
        """What the problem's reference says, flattened."""
        values = {name: torch.from_numpy(value) for name, value in inputs(sample.problem, workload).items()}
        scalars = {scalar.name: scalar.value for scalar in sample.problem.scalars}
        known = {**values, **scalars, **workload.axes}
        wanted = inspect.signature(sample.problem.reference).parameters
        result = sample.problem.reference(**{name: known[name] for name in wanted})
        return (result[0] if isinstance(result, tuple) else result).numpy().ravel()

    def _program(self, plan: LaunchPlan) -> Any:
        import pyopencl as cl

        options = [f"-D{name}={value}" for name, value in sorted(plan.configuration.items())]
        options += [f"-D{buffer.name}_t={C_NAMES[buffer.dtype]}" for buffer in plan.buffers]
        key = plan.source + " ".join(options)
        if key not in self.programs:
            self.programs[key] = cl.Program(self.context, plan.source).build(options)
        return self.programs[key]

    def _run(self, plan: LaunchPlan, values: Mapping[str, np.ndarray]) -> np.ndarray:
        import pyopencl as cl

        flags, program, buffers, output = cl.mem_flags, self._program(plan), {}, ""
        for buffer in plan.buffers:
            data = values.get(buffer.name)
            if data is None:
                data = np.frombuffer(b"\xff" * buffer.nbytes, NUMPY[buffer.dtype])
            buffers[buffer.name] = cl.Buffer(self.context, flags.READ_WRITE | flags.COPY_HOST_PTR, hostbuf=data)
            output = buffer.name if buffer.role is Role.OUTPUT and not output else output
        for launch in plan.launches:
            kernel = cl.Kernel(program, launch.entry)
            types = {p.name: p.type for p in OpenCLC().entries(plan.source)[launch.entry]}
            for index, argument in enumerate(launch.arguments):
                if isinstance(argument, BufferArgument):
                    kernel.set_arg(index, buffers[argument.buffer])
                elif isinstance(argument, LocalArgument):
                    kernel.set_arg(index, cl.LocalMemory(argument.nbytes))
                else:
                    kind = np.float32 if "float" in types[argument.parameter] else np.int32
                    kernel.set_arg(index, kind(argument.value))
            sizes = tuple(grid * block for grid, block in zip(launch.grid, launch.block, strict=True))
            cl.enqueue_nd_range_kernel(self.queue, kernel, sizes, launch.block)
        spec = plan.buffer(output)
        result = np.empty(math.prod(spec.shape), NUMPY[spec.dtype])
        cl.enqueue_copy(self.queue, result, buffers[output])
        return result


def inputs(problem: Problem, workload: Workload) -> dict[str, np.ndarray]:
    """Inputs for a workload, the same each time."""
    rng = np.random.default_rng(7)
    if problem.name == "map_id":
        table = np.sort(rng.choice(10 * workload.axes["size"], workload.axes["size"], replace=False))
        values = rng.integers(0, 10 * workload.axes["size"], workload.axes["count"])
        found = {"table": table, "values": values}
    else:
        found = {spec.name: rng.standard_normal(spec.sizes(workload.axes)) * 2 for spec in problem.inputs}
    dtypes = problem.dtypes(workload)
    return {name: np.ascontiguousarray(value, NUMPY[dtypes[name]]) for name, value in found.items()}


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    os.environ["POCL_CACHE_DIR"] = str(tmp_path_factory.mktemp("pocl"))
    cl = pytest.importorskip("pyopencl", reason="needs an OpenCL device; pip install 'pyopencl[pocl]'")
    devices = [device for platform in cl.get_platforms() for device in platform.get_devices()]
    if not devices:
        pytest.skip("needs an OpenCL device; pip install 'pyopencl[pocl]'")
    from kernelevolve.backends._pocl import name_processor

    name_processor(devices[0].int_ptr)
    context = cl.Context(devices[:1])
    return Machine(context, cl.CommandQueue(context), {})
