"""Rows D1 to D9: files that would compute something without being a kernel."""

from __future__ import annotations

import pytest

from kernelevolve import parse_kernel, registry
from kernelevolve.errors import KernelFileError
from kernelevolve.evaluation.cache import CompileCache
from kernelevolve.outcome import Outcome, Rejected

from .conftest import ROW, Judge, X, Y, affine, file, open_evaluator

OPENCL = {
    "D1-try": "try { y[0] = x[0]; } catch (...) { y[0] = 1; }",
    "D3-library-beside-a-kernel": "y[0] = x[0]; cblas_sgemm(0);",
    "D5-vendor-library": "clblasSgemm(0);",
    "D6-code-in-a-string": '__constant char *code = "eW91"; y[0] = x[0];',
    "D6-inline-assembly": 'asm("nop");',
    "D8-shell": "system(0);",
}
PYTHON = {
    "D1-try": "def k(x, y):\n    try:\n        y[0] = x[0]\n    except Exception:\n        y[0] = 1\n",
    "D2-suppressed-errors": "from contextlib import suppress\n\ndef k(x, y):\n    y[0] = 1\n",
    "D4-compiled-reference": "import torch\n\nk = torch.compile(lambda x: x)\n",
    "D5-vendor-library": "from ctypes import CDLL\n\ndef k(x, y):\n    CDLL('libcublas.so')\n",
    "D6-exec": "def k(x, y):\n    exec('y[0] = 1')\n",
    "D6-eval": "def k(x, y):\n    y[0] = eval('1')\n",
    "D6-base64": "import base64\n\ndef k(x, y):\n    y[0] = 1\n",
    "D7-library-in-a-wrapper": "import torch\n\ndef k(x, y):\n    y[:] = torch.softmax(x)\n",
    "D8-install": "import pip\n\ndef k(x, y):\n    pip.main(['install', 'fast'])\n",
    "D8-subprocess": "import subprocess\n\ndef k(x, y):\n    subprocess.run('pip install fast')\n",
}


@pytest.mark.parametrize("name", OPENCL)
def test_opencl_sources_hold_device_code_only(name: str) -> None:
    with pytest.raises(Rejected) as caught:
        registry.language("opencl").gate(f"__kernel void k({X}, {Y}) {{ {OPENCL[name]} }}")
    assert caught.value.details["rule"] in {"syntax", "call", "string", "assembly"}


@pytest.mark.parametrize("name", PYTHON)
def test_python_sources_hold_device_code_only(name: str) -> None:
    with pytest.raises(Rejected) as caught:
        registry.language("reference").gate(PYTHON[name])
    assert caught.value.details["line"] >= 1


@pytest.mark.parametrize("key", ["fallback", "library", "wrapper", "host"], ids=["D1", "D5", "D7", "D3"])
def test_the_header_has_no_place_for_a_fallback_library_or_wrapper(key: str) -> None:
    with pytest.raises(KernelFileError, match=key):
        parse_kernel(file(ROW, header=f'{key} = "torch.softmax"'))


@pytest.mark.opencl
def test_d2_a_kernel_that_does_not_compile_is_an_error_and_not_a_slow_success(judge: Judge) -> None:
    found = judge(file("y[0] = undeclared;"))
    assert (found.outcome, found.fitness) == (Outcome.COMPILE_ERROR, 0.0)
    assert "undeclared" in found.message


@pytest.mark.opencl
def test_d3_a_decorative_launch_changes_no_verdict(judge: Judge) -> None:
    decorated = file("if (cols < 0) y[0] = x[0];") + f"__kernel void unused({X}, {Y}, int cols) {{ {ROW} }}\n"
    assert judge(decorated).outcome is Outcome.WRONG_RESULT


@pytest.mark.opencl
def test_d9_a_kernel_never_runs_as_the_binary_of_an_earlier_one(judge: Judge) -> None:
    right, wrong = file(ROW), file(ROW.replace("+ 1", "+ 2"))
    found = [judge(text).outcome for text in (right, wrong, right, wrong)]
    assert found == [Outcome.CORRECT, Outcome.WRONG_RESULT] * 2


@pytest.mark.opencl
def test_d9_tunables_are_part_of_what_a_binary_is(affine_evaluator) -> None:
    text = file(ROW.replace("+ 1", "+ ONE"), header="[tune]\nONE = [1, 2]")
    kernel = parse_kernel(text)
    found = [affine_evaluator.evaluate(kernel, {"ONE": value}).outcome for value in (1, 2, 1)]
    assert found == [Outcome.CORRECT, Outcome.WRONG_RESULT, Outcome.CORRECT]


@pytest.mark.opencl
def test_d9_a_cache_on_disk_serves_the_same_source_only(tmp_path) -> None:
    for text, outcome in ((file(ROW), Outcome.CORRECT), (file(ROW.replace("+ 1", "+ 2")), Outcome.WRONG_RESULT)):
        with open_evaluator(affine()) as evaluator:
            evaluator.runner.cache = CompileCache(tmp_path)
            assert evaluator.evaluate(parse_kernel(text)).outcome is outcome
    assert len(list(tmp_path.iterdir())) == 2
