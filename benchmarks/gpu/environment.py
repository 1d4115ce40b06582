"""The machine, and its ceilings as PyTorch reaches them: copies and a product of matrices.

Floors are made with the fastest copy. One of the size of a row kernel's tensors shows what starting and ending cost.
"""

from __future__ import annotations

__all__ = ["run"]

from benchmarks.gpu import ceilings
from benchmarks.gpu.call import Call, say
from benchmarks.gpu.text import table


def run(call: Call) -> str:
    """Measure the ceilings on each device that the accelerators' devices are to PyTorch."""
    options = call.options
    rows = [["device", "what", "rate"]]
    for subject in call.subjects:
        baseline = call.torch(subject)
        where = baseline.device.name
        copies = [(ceilings.copy, ceilings.copy_workload(nbytes)) for nbytes in options.copy_bytes]
        product = ceilings.product_workload(options.matrix, options.matrix_dtype)
        for problem, workload in (*copies, (ceilings.product, product)):
            key = f"environment/{where}/{problem.name}/{workload.label}"
            if call.done(key):
                continue
            say(f"{problem.name} {workload.label} on {where}")
            common = {"torch_device": where, "device": subject.device.name, "problem": problem.name}
            call.record(key, common, lambda p=problem, w=workload, b=baseline: ceilings.measure(p, w, b))  # type: ignore[misc]
    for record in call.results.of_kind("environment"):
        if "error" in record:
            rows.append([record["device"], record["workload"], record["error"][:80]])
            continue
        moved = f"{record['bytes_per_second'] / 1e9:.0f} GB/s"
        done = f"{record['operations_per_second'] / 1e12:.3g} Top/s" if record["operations_per_second"] else ""
        rows.append([record["device"], f"{record['problem']} {record['workload']}", done or moved])
    return table(rows)
