"""The suite's Triton seeds in the emulator: right on the smoke workload and on small hidden ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernelevolve import registry
from kernelevolve.evaluation.cases import check_plan, expect, make_inputs, tensor_bytes
from kernelevolve.evaluation.correctness import compare
from kernelevolve.kernel import parse_kernel
from kernelevolve.languages.triton_lang import TritonLanguage
from kernelevolve.plan import make_plan, serves

if TYPE_CHECKING:
    from conftest import RunPlan

SUITE = (
    "attention", "batch_event_truncate", "conv1d", "cross_entropy", "embedding_bag", "factorization_machine",
    "layer_norm", "map_id", "matmul", "mbdt", "pffn", "rms_norm", "rms_norm_backward", "rope", "softmax", "swiglu",
)  # fmt: skip
FACTS = {"num_units": 64, "warp_size": 1, "max_group_size": 1024}
HIDDEN = 3


@pytest.mark.parametrize("name", SUITE)
def test_the_triton_seed_is_right(name: str, run_plan: RunPlan) -> None:
    problem = registry.problem(name)
    kernel = parse_kernel(problem.seeds["triton"])
    cases = [case for case in check_plan(problem, 20_26) if serves(kernel, problem, case.workload)]
    smoke = [case for case in cases if "smoke" in case.workload.tags][:1]
    assert smoke
    for case in [*smoke, *[case for case in cases if case not in smoke][:HIDDEN]]:
        entries = TritonLanguage().entries(kernel.body)
        plan = make_plan(kernel, problem, case.workload, kernel.configuration({}), entries, FACTS)
        inputs = make_inputs(case)
        expected = expect(case, inputs)

        given = {key: bytes(tensor_bytes(tensor)) for key, tensor in inputs.items()}
        buffers, traces = run_plan(plan, given)

        for spec in problem.outputs:
            comparison = compare(buffers[spec.name], expected, spec.name)
            assert comparison.ok, (case.label, comparison)
        assert all(buffers[key] == data for key, data in given.items())
        assert [finding.sentence for trace in traces for finding in trace.findings] == []
