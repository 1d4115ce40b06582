"""Problems beside the built-in ones, each with a plain seed, and a way to run a kernel on a real device."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest
import torch

from kernelevolve import registry
from kernelevolve.accelerator import BufferSpec, Status
from kernelevolve.kernel import Configuration, Kernel
from kernelevolve.plan import Role, make_plan
from kernelevolve.problem import InputRequest, Problem, ScalarSpec, TensorSpec, Workload

Runner = Callable[[Kernel, Problem, Configuration, list[str]], list[float]]
NUMPY = {"float32": np.float32, "int32": np.int32, "int64": np.int64, "float64": np.float64}


def header(entry: str, grid: str, block: str) -> str:
    lines = ['language = "opencl"', "[[launch]]", f'entry = "{entry}"', f"grid = [{grid}]", f"block = [{block}]"]
    return "\n".join(["// /// kernel", *(f"// {line}" for line in lines), "// ///"])


ROWS = '"cdiv(rows, 64)"'

LAYER_NORM = (
    header("norm", ROWS, '"64"')
    + """
__kernel void norm(__global const float *x, __global const float *w, __global const float *b, __global float *y,
                   int rows, int cols, float eps) {
    int row = get_global_id(0);
    if (row >= rows) return;
    float mean = 0.0f;
    for (int i = 0; i < cols; ++i) mean += x[row * cols + i];
    mean /= cols;
    float var = 0.0f;
    for (int i = 0; i < cols; ++i) {
        float d = x[row * cols + i] - mean;   // centred
        var = fma(d, d, var);
    }
    float scale = 1.0f / sqrt(var / cols + eps);
    for (int i = 0; i < cols; ++i) {
        int at = row * cols + i;
        y[at] = (x[at] - mean) * scale * w[i] + b[i];
    }
}
"""
)

ROW_SUM = (
    header("sums", ROWS, '"64"')
    + """
__kernel void sums(__global const x_t *x, __global y_t *y, int rows, int cols) {
    const size_t row = get_global_id(0);
    if (row < rows) {
        float total = 0.5f;
        for (int i = 0; i < cols; i++) total = total + x[row * cols + i];
        y[row] = total - 0.5f;
    }
}
"""
)

PEAK = (
    header("scale_by_peak", ROWS, '"64"')
    + """
#define MAGNITUDE(v) fabs(v)
__kernel void scale_by_peak(__global const x_t *x, __global y_t *y, int rows, int cols) {
    int row = get_group_id(0) * get_local_size(0) + get_local_id(0);
    if (row >= rows) { return; }
    float m = 1e-6f;
    for (int i = 0; i < cols; i += 1) {
        float v = MAGNITUDE(x[row * cols + i]);
        if (v > m) m = v;
    }
    for (int i = 0; i < cols; i += 1) y[row * cols + i] = x[row * cols + i] / m;
}
"""
)

LOG_SOFTMAX = (
    header("log_softmax", ROWS, '"64"')
    + """
__kernel void log_softmax(__global const float *x, __global float *y, int rows, int cols) {
    const int row = get_global_id(0);
    if (row >= rows) return;
    __global const float *in = x + (size_t)row * cols;
    __global float *out = y + (size_t)row * cols;
    float peak = in[0];
    for (int i = 1; i < cols; i++) peak = max(peak, in[i]);
    float total = 0;
    for (int i = 0; i < cols; i++) total += exp(in[i] - peak);
    const float shift = peak + log(total);
    for (int i = 0; i < cols; i++) out[i] = in[i] - shift;
}
"""
)

SIGMOID = (
    header("gate", '"cdiv(n, 64)"', '"64"')
    + """
__kernel void gate(__global const float *x, __global const float *z, __global float *y, int n, float scale) {
    int i = get_global_id(0);
    if (i >= n) return;
    float s = scale / (1.0f + exp(-x[i]));
    float leak = z[i] > 0.0f ? z[i] : z[i] * 0.1f;
    y[i] = s * fmin(leak, 2.0f);
}
"""
)

BIAS = (
    header("bias_add", '"cdiv(cols, 16)", "cdiv(rows, 4)"', '"16", "4"')
    + """
__kernel void bias_add(__global const x_t *x, __global const b_t *b, __global y_t *y, int rows, int cols) {
    int col = get_global_id(0), row = get_global_id(1);
    if (row >= rows || col >= cols) return;
    y[row * cols + col] = x[row * cols + col] + b[col];
}
"""
)

COLUMN_SUM = (
    header("columns", '"cdiv(cols, 64)"', '"64"')
    + """
__kernel void columns(__global const float *x, __global float *y, int rows, int cols) {
    int col = get_global_id(0);
    if (col >= cols) return;
    float total = 0.0f;
    for (int row = 0; row < rows; row++) total += x[row * cols + col];
    y[col] = total;
}
"""
)

LINEAR = (
    header("linear", '"cdiv(n, 16)", "cdiv(m, 4)"', '"16", "4"')
    + """
__kernel void linear(__global const float *a, __global const float *w, __global const float *b, __global float *c,
                     int m, int n, int k) {
    const int j = get_global_id(0), i = get_global_id(1);
    if (j >= n || i >= m) return;
    float acc = b[j];
    for (int p = 0; p < k; ++p) acc += a[i * k + p] * w[j * k + p];
    c[i * n + j] = fmax(acc, 0.0f);
}
"""
)

DISTANCE = (
    header("farthest", '"m", "n"', '"1", "1"')
    + """
__kernel void farthest(__global const float *a, __global const float *b, __global float *c, int n, int k) {
    const size_t i = get_global_id(0);
    const size_t j = get_global_id(1);
    float far = 0.0f;
    for (int p = 0; p < k; ++p) {
        const float d = fabs(a[i * k + p] - b[p * n + j]);
        far = d > far ? d : far;
    }
    c[i * n + j] = far;
}
"""
)

FLAT = (
    header("product", '"cdiv(m * n, 64)"', '"64"')
    + """
__kernel void product(__global const float *a, __global const float *b, __global float *c, int m, int n, int k) {
    const int id = get_global_id(0);
    if (id >= m * n) return;
    const int row = id / n, col = id % n;
    float sum = 0.0f;
    for (int p = 0; p < k; p++) sum += a[row * k + p] * b[p * n + col];
    c[row * n + col] = sum;
}
"""
)

UPPER_BOUND = (
    header("upper", '"cdiv(n, 64)"', '"64"')
    + """
__kernel void upper(__global const float *x, __global const float *t, __global int *y, int n, int m) {
    int i = get_global_id(0);
    if (i >= n) return;
    float v = x[i];
    int lo = 0, hi = m;
    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (v < t[mid]) hi = mid;
        else lo = mid + 1;
    }
    y[i] = lo;
}
"""
)


def _sorted_table(request: InputRequest) -> Mapping[str, torch.Tensor]:
    table = torch.randn(request.axes["m"], generator=request.rng).sort().values
    x = torch.randn(request.axes["n"], generator=request.rng)
    x[::3] = table[torch.randint(len(table), (len(x[::3]),), generator=request.rng)]
    return {"x": x, "t": table}


def _problem(
    name: str, axes: str, inputs: str, output: TensorSpec, seed: str, workload: str, **more: object
) -> Problem:
    specs = [TensorSpec(*(part.strip() for part in text.split(":"))) for text in inputs.split(";")]
    return Problem(name, tuple(axes.split()), specs, (output,), workloads=(workload,), seeds={"opencl": seed}, **more)


MATRIX = TensorSpec("y", "rows, cols")
X = "x: rows, cols"

PROBLEMS = {
    problem.name: problem
    for problem in (
        _problem(
            "layer_norm", "rows cols", f"{X}; w: cols; b: cols", MATRIX, LAYER_NORM, "rows=97,cols=129",
            reference=lambda x, w, b, eps: torch.nn.functional.layer_norm(x, x.shape[-1:], w, b, eps),
            scalars=(ScalarSpec("eps", 1e-5),),
        ),
        _problem(
            "row_sum", "rows cols", X, TensorSpec("y", "rows"), ROW_SUM, "rows=97,cols=129",
            reference=lambda x: x.sum(-1),
        ),
        _problem(
            "peak", "rows cols", X, MATRIX, PEAK, "rows=97,cols=129",
            reference=lambda x: x / x.abs().amax(-1, keepdim=True).clamp(min=1e-6),
        ),
        _problem(
            "log_softmax", "rows cols", X, MATRIX, LOG_SOFTMAX, "rows=97,cols=129",
            reference=lambda x: torch.log_softmax(x, -1),
        ),
        _problem(
            "sigmoid", "n", "x: n; z: n", TensorSpec("y", "n"), SIGMOID, "n=4097", scalars=(ScalarSpec("scale", 3.0),),
            reference=lambda x, z, scale: scale * torch.sigmoid(x) * torch.where(z > 0, z, z * 0.1).clamp(max=2.0),
        ),
        _problem(
            "bias", "rows cols", f"{X}; b: cols", MATRIX, BIAS, "rows=97,cols=129", reference=lambda x, b: x + b
        ),
        _problem(
            "column_sum", "rows cols", X, TensorSpec("y", "cols"), COLUMN_SUM, "rows=97,cols=129",
            reference=lambda x: x.sum(0),
        ),
        _problem(
            "linear", "m n k", "a: m, k; w: n, k; b: n", TensorSpec("c", "m, n"), LINEAR, "m=64,n=64,k=64",
            reference=lambda a, w, b: torch.relu(a @ w.T + b),
        ),
        _problem(
            "distance", "m n k", "a: m, k; b: k, n", TensorSpec("c", "m, n"), DISTANCE, "m=64,n=64,k=64",
            reference=lambda a, b: (a.unsqueeze(-1) - b.unsqueeze(0)).abs().amax(1),
        ),
        _problem(
            "flat", "m n k", "a: m, k; b: k, n", TensorSpec("c", "m, n"), FLAT, "m=64,n=64,k=64",
            reference=lambda a, b: a @ b,
        ),
        _problem(
            "upper_bound", "n m", "x: n; t: m", TensorSpec("y", "n", "int32"), UPPER_BOUND, "n=4097,m=1000",
            reference=lambda x, t: torch.searchsorted(t, x, right=True), generate=_sorted_table,
        ),
        *(registry.problem(name) for name in ("softmax", "rms_norm", "matmul", "map_id")),
    )
}  # fmt: skip


@pytest.fixture
def problems() -> dict[str, Problem]:
    return PROBLEMS


def inputs(problem: Problem, workload: Workload) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(7)
    request = InputRequest(workload.axes, problem.dtypes(workload), "normal", rng)
    made = dict(problem.generate(request)) if problem.generate else {}
    for spec in problem.inputs:
        made.setdefault(spec.name, torch.randn(spec.sizes(workload.axes), generator=rng))
    return {spec.name: made[spec.name] for spec in problem.inputs}


def expected(problem: Problem, made: Mapping[str, torch.Tensor]) -> np.ndarray:
    given = {name: value.double() if value.is_floating_point() else value for name, value in made.items()}
    scalars = {spec.name: spec.value for spec in problem.scalars}
    result = problem.reference(**given, **scalars)
    assert isinstance(result, torch.Tensor)
    return result.double().numpy()


@pytest.fixture(scope="session")
def run() -> Iterator[Runner]:
    """Largest error, relative to the output's magnitude, for each workload; guards are checked, poison is laid."""
    accelerator = registry.accelerator("opencl")
    devices = accelerator.devices() if accelerator.probe().status is Status.OK else ()
    if not devices:
        pytest.skip("no OpenCL device: pip install 'kernelevolve[opencl]'")
    device = devices[0]
    entries = registry.language("opencl").entries
    with accelerator.open(device) as session:

        def errors(kernel: Kernel, problem: Problem, configuration: Configuration, labels: list[str]) -> list[float]:
            program, found = None, []
            for workload in map(Workload.parse, labels):
                plan = make_plan(kernel, problem, workload, configuration, entries(kernel.body), device.facts)
                program = program or session.load(accelerator.compile(plan, device.target))
                made = inputs(problem, workload)
                buffers = {}
                for spec in plan.buffers:
                    buffers[spec.name] = session.allocate(BufferSpec(spec.nbytes, guard=256))
                    session.fill(buffers[spec.name], 0xFF, guards=True)
                    if spec.role is Role.INPUT:
                        data = np.ascontiguousarray(made[spec.name].numpy().astype(NUMPY[spec.dtype]))
                        session.upload(buffers[spec.name], memoryview(data).cast("B"))
                session.launch(session.bind(program, plan.launches, buffers))
                session.synchronize()
                for spec in plan.buffers:
                    assert set(_guards(session.download(buffers[spec.name], guards=True), spec.nbytes)) <= {0xFF}
                output = plan.buffer(problem.outputs[0].name)
                got = np.frombuffer(session.download(buffers[output.name]), NUMPY[output.dtype]).reshape(output.shape)
                want = expected(problem, made)
                error = np.abs(got.astype(np.float64) - want).max() / max(np.abs(want).max(), 1e-30)
                found.append(math.inf if math.isnan(error) else float(error))
            return found

        yield errors


def _guards(whole: bytes, nbytes: int) -> bytes:
    side = (len(whole) - nbytes) // 2
    return whole[:side] + whole[side + nbytes :]
