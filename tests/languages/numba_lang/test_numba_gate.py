# ruff: noqa: E501  # a sample on one line reads better than Python in pieces
"""Hostile sources, each named after its trick and its row of the catalogue of known cheats, and honest ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve.languages.numba_lang import DIALECT, NumbaLanguage
from kernelevolve.languages.numba_lang.names import ATTRIBUTES, CUDA
from kernelevolve.languages.python_kernels import Kind
from kernelevolve.outcome import Rejected

from .honest import HONEST

LANGUAGE = NumbaLanguage()
HEAD = "import math\nfrom numba import cuda, float32\n"


def kernel(body: str, parameters: str = "x, y, n", head: str = HEAD, mark: str = "@cuda.jit") -> str:
    return f"{head}\n\n{mark}\ndef k({parameters}):\n    i = cuda.grid(1)\n    {body}\n"


def helper(text: str, body: str = "pass") -> str:
    return f"{HEAD}\n{text}\n\n@cuda.jit\ndef k(x, y, n):\n    {body}\n"


DEVICE = "@cuda.jit(device=True)\ndef f(a):\n    return a"
HOSTILE = {
    # Chains of attributes out of the language's modules.
    "K4 os out of cuda": ("attribute", kernel("cuda.os.system('id')")),
    "K4 sys out of cuda": ("attribute", kernel("cuda.sys.modules")),
    "K4 importlib out of cuda": ("attribute", kernel("cuda.importlib.import_module('os')")),
    "K4 cloudpickle out of cuda": ("attribute", kernel("cuda.cloudpickle.loads(x)")),
    "K4 numpy out of cuda": ("attribute", kernel("cuda.np.load('f')")),
    "K4 the compiler": ("attribute", kernel("cuda.compile_ptx(k, ())")),
    "K4 the driver": ("attribute", kernel("cuda.cudadrv.driver")),
    "K4 the settings": ("attribute", kernel("cuda.config.ENABLE_CUDASIM")),
    "K4 the simulator": ("attribute", kernel("cuda.simulator")),
    "K4 extending": ("attribute", kernel("cuda.extending.overload(len)")),
    "K4 the module's builtins": ("attribute", kernel("cuda.__builtins__")),
    "K4 a function's globals": ("attribute", kernel("cuda.grid.__globals__")),
    "K4 a stub's class": ("attribute", kernel("cuda.atomic.__class__")),
    "K4 the wrapped function": ("attribute", kernel("cuda.shared.array.__wrapped__")),
    "K4 the global of an index": ("attribute", kernel("cuda.threadIdx.__class__")),
    "K4 the types module": ("attribute", kernel("cuda.types.abstract")),
    "K4 math's loader": ("attribute", kernel("math.__loader__")),
    "K4 math without bounds": ("attribute", kernel("math.factorial(100000)")),
    "K4 libdevice's imports": ("attribute", kernel("cuda.libdevice.sys")),
    "K4 a module as a value": ("module-value", kernel("m = cuda")),
    "K4 an inner module as a value": ("module-value", kernel("m = cuda.atomic")),
    "K4 a module as an argument": ("module-value", kernel("len(cuda)")),
    "K4 a function of the language as a value": ("function-value", kernel("f = cuda.grid")),
    "K4 a function of the language as an argument": ("function-value", kernel("len(math.sqrt)")),
    "K4 jit in a kernel": ("call", kernel("cuda.jit(k)")),
    "K4 jit as a value": ("function-value", kernel("f = cuda.jit")),
    "K4 libdevice that was not imported": ("name", kernel("libdevice.expf(x)")),
    "K4 a type that was not imported": ("name", kernel("t = cuda.shared.array(4, int32)")),
    "K4 a cast that was not imported": ("call", kernel("a = int32(x)")),
    # The host.
    "D3 to_device": ("attribute", kernel("cuda.to_device(x)")),
    "D3 device_array": ("attribute", kernel("cuda.device_array(4)")),
    "D3 pinned memory": ("attribute", kernel("cuda.pinned_array(4)")),
    "D3 mapped memory": ("attribute", kernel("cuda.mapped_array(4)")),
    "D3 managed memory": ("attribute", kernel("cuda.managed_array(4)")),
    "A1 a stream": ("attribute", kernel("cuda.stream()")),
    "A2 an external stream": ("attribute", kernel("cuda.external_stream(1)")),
    "A4 an event": ("attribute", kernel("cuda.event()")),
    "A4 the profiler": ("attribute", kernel("cuda.profile_start()")),
    "E12 the context": ("attribute", kernel("cuda.current_context().reset()")),
    "E12 select_device": ("attribute", kernel("cuda.select_device(0)")),
    "E12 close": ("attribute", kernel("cuda.close()")),
    "D3 synchronize": ("attribute", kernel("cuda.synchronize()")),
    "D3 a launch in a kernel": ("call", helper(DEVICE, "f[1, 1](x)")),
    "D3 a launch of itself": ("call", kernel("k[1, 1](x)")),
    "D7 reduce": ("attribute", kernel("cuda.reduce(x)")),
    "B2 an array at an address": ("attribute", kernel("cuda.from_cuda_array_interface(x)")),
    "A8 an array of the host": ("attribute", kernel("t = cuda.const.array_like(TABLE)")),
    "A4 a wait": ("attribute", kernel("cuda.nanosleep(1000)")),
    "K4 literal_unroll": ("attribute", kernel("cuda.literal_unroll((1, 2))")),
    "D6 declare_device": ("constant", HEAD + "f = cuda.declare_device('f', 'int32()')\n"),
    "D6 a linked file": ("constant", HEAD + "f = cuda.CUSource('void f() {}')\n"),
    # Attributes of values.
    "B2 the address of an array": ("attribute", kernel("a = x.ctypes.data")),
    "B2 the interface of an array": ("attribute", kernel("a = x.__cuda_array_interface__")),
    "B2 another view of an array": ("attribute", kernel("a = x.view(float32)")),
    "B2 the base of an array": ("attribute", kernel("a = x.base")),
    "B2 the memory of an array": ("attribute", kernel("a = x.data")),
    "E1 an array to a file": ("attribute", kernel("x.tofile('f')")),
    "K4 class of an array": ("attribute", kernel("x.__class__.__mro__")),
    "K4 class of a number": ("attribute", kernel("(1).__class__")),
    "K4 class of a text": ("attribute", kernel("''.__class__")),
    "K4 class of a shape": ("attribute", kernel("x.shape.__class__")),
    "K4 type of an element type": ("attribute", kernel("x.dtype.type(1)")),
    "K4 format of a text": ("attribute", kernel("'{0.__class__}'.format(x)")),
    "K4 the function behind a dispatcher": ("attribute", helper(DEVICE, "f.py_func(x)")),
    "K4 a dispatcher's compiler": ("attribute", helper(DEVICE, "f.compile(x)")),
    "K4 a dispatcher's globals": ("attribute", helper(DEVICE, "f.__globals__")),
    "K4 an attribute of a tunable": ("attribute", kernel("THREADS.bit_length()")),
    "K4 attribute of an imported type": ("attribute", kernel("float32.cast_python_value(x)")),
    "K4 a type by index": ("call", kernel("float32[:](x)")),
    # Python's own functions.
    "D6 exec": ("builtin", kernel("exec('1')")),
    "E4 import by function": ("dunder", kernel("__import__('os')")),
    "K4 builtins by name": ("dunder", kernel("a = __builtins__")),
    "K4 getattr": ("builtin", kernel("getattr(x, 'base')")),
    "E1 open": ("builtin", kernel("open('f')")),
    "E1 open as a value": ("builtin", kernel("f = open")),
    "E3 print": ("builtin", kernel("print(x)")),
    "K4 enumerate": ("loop", kernel("for a in enumerate(x):\n        pass")),
    "K4 sum": ("builtin", kernel("a = sum(x)")),
    "K4 type": ("builtin", kernel("a = type(x)")),
    "K4 range as a value": ("builtin", kernel("a = range")),
    "K4 a tunable is called": ("call", kernel("MODE(x)")),
    "K4 np, which nothing imports": ("attribute", kernel("np.load('f')")),
    # Rebinding and shadowing.
    "E4 cuda is rebound": ("shadowing", kernel("cuda = x")),
    "E4 cuda is a parameter": ("shadowing", kernel("pass", "cuda")),
    "E4 math is a loop's variable": ("shadowing", kernel("for math in range(4):\n        pass")),
    "E4 an imported type is rebound": ("shadowing", kernel("float32 = x")),
    "E4 an imported type is a constant": ("shadowing", HEAD + "float32 = 4\n"),
    "E4 cuda is a function": ("shadowing", HEAD + "@cuda.jit\ndef cuda(x):\n    pass\n"),
    "E4 range is rebound": ("shadowing", kernel("range = x")),
    "E4 len is rebound": ("shadowing", kernel("len = x")),
    "E4 a dunder constant": ("dunder", HEAD + "__name__ = 4\n"),
    "E4 a function twice": ("redefined", helper(DEVICE + "\n" + DEVICE)),
    "E4 a constant twice": ("redefined", HEAD + "A = 1\nA = 2\n"),
    "K4 a call of a parameter": ("call", kernel("x(1)")),
    "K4 a call of a local": ("call", kernel("f = x\n    f(1)")),
    "K4 a call of an element": ("call", kernel("x[0](1)")),
    "K4 a call of a call": ("call", kernel("cuda.grid(1)(1)")),
    "K4 a function as a value": ("function-value", helper(DEVICE, "g = f")),
    "K4 a function as an argument": ("function-value", helper(DEVICE, "len(f)")),
    "K4 a function as a constant": ("constant", HEAD + DEVICE + "\nA = f\n"),
    # Statements and expressions.
    "E4 import in a kernel": ("statement", kernel("import os")),
    "D1 try": ("statement", kernel("try:\n        pass\n    except Exception:\n        pass")),
    "D6 objmode": ("statement", kernel("with objmode():\n        print(1)")),
    "A8 global": ("statement", kernel("global COUNT\n    COUNT += 1")),
    "A8 a function's attribute": ("assignment", kernel("k.calls = 1")),
    "A8 an attribute of cuda": ("assignment", kernel("cuda.grid = x")),
    "A8 an element of a list in a module": ("constant", HEAD + "COUNT = [0]\n" + kernel("COUNT[0] += 1", head="")),
    "A8 an element of what a call gives": ("assignment", kernel("cuda.shared.array(4, float32)[0] = 1")),
    "A8 an element of an attribute": ("assignment", kernel("x.shape[0] = 1")),
    "K4 del": ("statement", kernel("del x")),
    "K4 raise": ("statement", kernel("raise ValueError")),
    "K4 assert": ("statement", kernel("assert n > 0")),
    "K4 a nested function": ("layout", kernel("def f(a):\n        return a")),
    "K4 a class": ("statement", kernel("class C:\n        pass")),
    "K4 match": ("statement", kernel("match x:\n        case 1:\n            pass")),
    "K4 lambda": ("expression", kernel("f = lambda: x")),
    "K4 a list": ("expression", kernel("a = [1, 2]")),
    "K4 a comprehension": ("expression", kernel("a = [b for b in x]")),
    "K4 a dictionary": ("expression", kernel("a = {}")),
    "K4 walrus": ("expression", kernel("(a := x)")),
    "K4 an f-string": ("expression", kernel("a = f'{x}'")),
    "K4 yield": ("expression", kernel("yield x")),
    "K4 a star in a call": ("call", kernel("len(*x)")),
    "K4 two stars in a call": ("call", kernel("len(**x)")),
    "K4 a private argument": ("internal", kernel("cuda.grid(_semantic=1)")),
    "K4 a private argument that the simulator has": ("internal", kernel("cuda.shared.array(4, float32, __site__=1)")),
    "K4 an annotated variable": ("annotation", kernel("a: print(1) = 1")),
    "K4 an annotated parameter": ("annotation", kernel("pass", "x: print(1)")),
    "K4 an annotated result": ("annotation", HEAD + "@cuda.jit\ndef k(x) -> print(1):\n    pass\n"),
    "K4 a default that runs code": ("constant", kernel("pass", "x=print(1)")),
    "A8 a default that can be changed": ("constant", kernel("pass", "x=[]")),
    "K4 *args": ("parameter", kernel("pass", "*x")),
    "K4 **kwargs": ("parameter", kernel("pass", "**x")),
    "K4 a loop over an array": ("loop", kernel("for a in x:\n        pass")),
    "K4 a loop over a tuple": ("loop", kernel("for a in (1, 2):\n        pass")),
    "K4 a loop with named arguments": ("loop", kernel("for a in range(stop=4):\n        pass")),
    "K4 bytes": ("literal", kernel("a = b''")),
    "K4 an integer of many digits": ("literal", kernel("a = 1 << 3 | 123456789012345678901234567890")),
    "D6 code in a text": ("string", kernel("a = x == 'import os; os.system()'")),
    # Bombs.
    "K4 a power tower": ("power", kernel("a = 10 ** 10 ** 10")),
    "K4 a power by a name": ("power", kernel("a = 10 ** n")),
    "K4 a shift by much": ("power", kernel("a = 1 << 10000000000")),
    "K4 a tuple repeated": ("operand", kernel("a = (0,) * 1000000000")),
    "K4 a constant that is a tower": ("power", HEAD + "A = 10 ** 10 ** 10\n"),
    "K4 a constant of a tunable's power": ("power", HEAD + "A = 2 ** THREADS\n"),
    "K4 a constant that repeats a tuple": ("constant", HEAD + "A = (0,) * 1000000000\n"),
    "K4 constants that double their width": (
        "literal",
        HEAD + "C0 = THREADS * THREADS\n" + "".join(f"C{n + 1} = C{n} * C{n}\n" for n in range(40)),
    ),
    "K4 recursion": ("recursion", HEAD + "@cuda.jit(device=True)\ndef f(a):\n    return f(a)\n"),
    "K4 recursion over two": (
        "recursion",
        HEAD
        + "@cuda.jit(device=True)\ndef f(a):\n    return g(a)\n@cuda.jit(device=True)\ndef g(a):\n    return f(a)\n",
    ),
    # The module.
    "E4 import of os": ("import", "import os\n" + kernel("pass")),
    "E4 numba itself": ("import", "import numba\n" + kernel("pass")),
    "E4 numba.cuda as cuda": ("import", "import numba.cuda as cuda\n" + kernel("pass")),
    "E4 cuda under another name": ("import", "from numba import cuda as c\n" + kernel("pass")),
    "E4 another module as cuda": ("import", "from numba import core as cuda\n" + kernel("pass")),
    "E4 jit for the host": ("import", "from numba import njit\n" + kernel("pass")),
    "E4 objmode": ("import", "from numba import objmode\n" + kernel("pass")),
    "E4 star-import": ("import", "from numba import *\n" + kernel("pass")),
    "E4 star-import of cuda": ("import", "from numba.cuda import *\n" + kernel("pass")),
    "E4 numpy": ("import", "import numpy as np\n" + kernel("pass")),
    "E4 cupy": ("import", "import cupy\n" + kernel("pass")),
    "E4 math under another name": ("import", "import math as m\n" + kernel("pass")),
    "E4 members of math": ("import", "from math import sqrt\n" + kernel("pass")),
    "E4 float16, which numba does not have": ("import", "from numba import float16\n" + kernel("pass")),
    "K4 a statement in a module": ("module", HEAD + "cuda.grid(1)\n"),
    "K4 a launch in a module": ("module", kernel("pass") + "k[1, 1](1, 2, 3)\n"),
    "K4 a call as a constant": ("constant", HEAD + "A = cuda.grid(1)\n"),
    "K4 a module as a constant": ("module-value", HEAD + "A = cuda.atomic\n"),
    "K4 a class of types as a constant": ("attribute", HEAD + "from numba import types\nA = types.Array\n"),
    "K4 an annotated constant": ("constant", HEAD + "A: int = 4\n"),
    "K4 an augmented constant": ("module", HEAD + "A = 4\nA += 1\n"),
    "K4 two constants at once": ("constant", HEAD + "A, B = 1, 2\n"),
    "K4 a class in a module": ("module", HEAD + "class C:\n    pass\n"),
    # Decorators.
    "K4 no decorator": ("decorator", HEAD + "def f(a):\n    return a\n"),
    "K4 another decorator": ("decorator", kernel("pass", mark="@print\n@cuda.jit")),
    "K4 jit twice": ("decorator", kernel("pass", mark="@cuda.jit\n@cuda.jit")),
    "K4 jit of no module": ("decorator", kernel("pass", mark="@jit")),
    "K4 jit without import": ("name", kernel("pass", head="import math\n")),
    "K4 jit for the host by name": ("decorator", kernel("pass", mark="@cuda.vectorize")),
    "D6 a signature as a text": ("decorator", kernel("pass", mark="@cuda.jit('void(float32[:])')")),
    "K4 a signature": ("decorator", kernel("pass", mark="@cuda.jit((float32,))")),
    "D6 link": ("decorator", kernel("pass", mark="@cuda.jit(link=['f.cu'])")),
    "E3 debug": ("decorator", kernel("pass", mark="@cuda.jit(debug=True)")),
    "B9 cache": ("decorator", kernel("pass", mark="@cuda.jit(cache=True)")),
    "K4 extensions": ("decorator", kernel("pass", mark="@cuda.jit(extensions=[x])")),
    "K4 a carve-out": ("decorator", kernel("pass", mark="@cuda.jit(shared_memory_carveout=100)")),
    "K4 lto": ("decorator", kernel("pass", mark="@cuda.jit(lto=True)")),
    "K4 options from a dictionary": ("decorator", kernel("pass", mark="@cuda.jit(**OPTIONS)")),
    "K4 inline by a function": ("decorator", kernel("pass", mark="@cuda.jit(inline=choose)")),
    "K4 inline by another word": ("decorator", kernel("pass", mark="@cuda.jit(inline='sometimes')")),
    "K4 device by a tunable": ("decorator", kernel("pass", mark="@cuda.jit(device=MODE)")),
    "K4 fast mathematics by a set": ("decorator", kernel("pass", mark="@cuda.jit(fastmath={'fast'})")),
    "K4 registers by a call": ("constant", kernel("pass", mark="@cuda.jit(max_registers=print(1))")),
    # Dynamic shared memory.
    "K2 two dynamic arrays": (
        "shared",
        kernel("a = cuda.shared.array(0, float32)\n    b = cuda.shared.array(0, float32)"),
    ),
    "K2 a dynamic array by a constant": (
        "shared",
        kernel(
            "a = cuda.shared.array(NONE, float32)\n    b = cuda.shared.array(shape=0, dtype=float32)",
            head=HEAD + "NONE = 1 - 1\n",
        ),
    ),
    "K2 a dynamic array without a name": ("shared", kernel("a = cuda.shared.array(0, float32)[0]")),
    "K2 a dynamic array with a parameter's name": ("shared", kernel("x = cuda.shared.array(0, float32)")),
    "K2 a dynamic array in a device function": (
        "shared",
        helper("@cuda.jit(device=True)\ndef f(a):\n    t = cuda.shared.array(0, float32)\n    return t[a]"),
    ),
    "K2 a dynamic array of negative size": ("shared", kernel("a = cuda.shared.array(-1, float32)")),
    "K2 a dynamic array by a tuple": ("shared", kernel("a = cuda.shared.array((0,), float32)")),
    # Text that two tools read differently.
    "E4 another encoding": ("encoding", "# coding: utf-7\n" + kernel("pass")),
    "E4 a form feed": ("characters", HEAD + "\f\n"),
    "E4 a line separator": ("characters", HEAD + "# a\u2028import os\n"),
    "E4 full-width letters": ("characters", kernel("ｏｓ = x")),
    "E4 a function in a docstring": ("layout", HEAD + '@cuda.jit\ndef k(x):\n    """\n    def k(x):\n    """\n'),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_source_is_refused_by_its_rule(name: str) -> None:
    rule, source = HOSTILE[name]
    with pytest.raises(Rejected) as caught:
        LANGUAGE.gate(source)
    assert caught.value.details["rule"] == rule, caught.value.message
    assert 1 <= caught.value.details["line"] <= source.count("\n") + 1
    assert 10 < len(caught.value.message) < 1200


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_kernel_passes(name: str) -> None:
    LANGUAGE.gate(HONEST[name].source)


HONEST_LINES = {
    "a tunable": "a = i * THREADS + TILE",
    "a test of a text tunable": "a = x[i] if MODE == 'fast' else y[i]",
    "an element of a row": "x[i][0] += y[i, 0]",
    "parts of arrays": "a = x[0:n, i]",
    "several targets": "a = b = float32(0)",
    "a swap": "a, b = x[0], x[1]\n    a, b = b, a",
    "geometry": "a = cuda.threadIdx.x + cuda.blockIdx.y * cuda.blockDim.z + cuda.gridDim.x + cuda.laneid + cuda.warpsize",
    "two dimensions": "row, col = cuda.grid(2)\n    a = cuda.gridsize(2)[0]",
    "local memory of an element type": "a = cuda.local.array((4, 4), x.dtype)\n    a[0, 0] = 1",
    "vectors": "a = cuda.float32x4(x[0], x[1], x[2], x[3])\n    y[0] = a.x + a.w",
    "atomics": "cuda.atomic.add(y, (i, 0), x[i])\n    a = cuda.atomic.cas(y, i, 0, 1)",
    "warps": "a = cuda.shfl_xor_sync(0xFFFFFFFF, x[i], 1) + cuda.popc(cuda.ballot_sync(cuda.activemask(), x[i] > 0))",
    "half precision": "y[i] = cuda.fp16.hfma(x[i], x[i], x[i])",
    "library functions": "y[i] = math.erf(x[i]) + math.pow(x[i], 1.5) + cuda.libdevice.rsqrtf(x[i]) + math.pi",
    "a small power": "y[i] = x[i] ** 2 + x[i] ** 0.5",
    "a break": "while True:\n        break",
    "an end": "if i >= x.size:\n        return",
    "a name of Python's": "sum = max = input = 0\n    sum += max + input",
}


@pytest.mark.parametrize("name", HONEST_LINES)
def test_an_honest_line_passes(name: str) -> None:
    LANGUAGE.gate(kernel(HONEST_LINES[name]))


@pytest.mark.parametrize(
    "line",
    [
        "from numba import cuda, float32, int32, types",
        "from numba.types import float16, uint8",
        "from numba.cuda import bfloat16, libdevice, fp16, bf16",
        "from numba.cuda.types import bfloat16, float16",
        "from numba.cuda.bf16 import bfloat16, float32_to_bfloat16",
        "N = 4\nM = N * THREADS + 1\nTAPS = (1.0, -2.5, float('inf'))\nROOT = math.sqrt(2.0) / math.pi\nACC = float32",
        "PAD = (TILE + 1) // 2 - TILE % 4",
    ],
)
def test_what_a_module_may_hold_passes(line: str) -> None:
    LANGUAGE.gate(kernel("pass", head=f"{HEAD}{line}\n"))


@pytest.mark.parametrize(
    "mark",
    [
        "@cuda.jit()",
        "@cuda.jit(fastmath=True, opt=True, lineinfo=False)",
        "@cuda.jit(device=True, inline='always', forceinline=True)",
        "@cuda.jit(max_registers=REGISTERS, launch_bounds=(THREADS, 2))",
        "@cuda.jit(max_registers=64)",
    ],
)
def test_options_that_only_say_how_to_compile_pass(mark: str) -> None:
    LANGUAGE.gate(kernel("pass", mark=mark))


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        (kernel("cuda.to_device(x)"), "there is no host code"),
        (kernel("print(x)"), "do not print"),
        (kernel("t = cuda.shared.array(4, int32)"), "write from numba import int32"),
        (kernel("a = float16(x)"), "from numba.types import float16"),
        (HEAD + "def f(a):\n    return a\n", "@cuda.jit(device=True)"),
        (kernel("cuda.syncthread()"), "Did you mean 'syncthreads'?"),
    ],
)
def test_what_is_asked_for_often_gets_advice(source: str, advice: str) -> None:
    with pytest.raises(Rejected) as caught:
        LANGUAGE.gate(source)
    assert advice in caught.value.message


PUBLIC = sorted({*CUDA, *ATTRIBUTES, "os", "sys", "__class__", "compile", "const", "np", "data", "to_device"})


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PUBLIC) | st.from_regex(r"[a-z_]{1,8}", fullmatch=True), min_size=1, max_size=4))
def test_a_chain_from_cuda_passes_only_where_the_tables_have_it(names: list[str]) -> None:
    try:
        LANGUAGE.gate(kernel(f"a = cuda.{'.'.join(names)}"))
    except Rejected:
        return
    found, path = CUDA, list(names)
    while not isinstance(found, Kind):
        found = found[path.pop(0)]
    assert found in (Kind.VALUE, Kind.TYPE)
    assert ATTRIBUTES.issuperset(path)


_WORDS = [
    *HEAD.splitlines(keepends=True),
    *(
        "@cuda.jit\n",
        "def k(",
        "x",
        "):\n",
        "    ",
        "cuda.",
        "(",
        ")",
        "[",
        "]",
        ", ",
        "= ",
        "\n",
        "for ",
        "in ",
        "range",
    ),
    *("'", '"""', "#", "\\", "é", "\f", "lambda ", "if ", "shared.array(0, float32)", "device=True"),
]


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=80) | st.lists(st.sampled_from(_WORDS), max_size=40).map("".join))
def test_no_text_makes_the_language_fail_in_another_way_than_rejecting(text: str) -> None:
    for question in (LANGUAGE.gate, LANGUAGE.entries, LANGUAGE.normalize):
        try:
            question(text)
        except Rejected as refused:
            assert refused.details["line"] >= 1  # noqa: PT017  # the exception is optional, its shape is not


def test_the_dialect_reserves_the_names_of_its_modules() -> None:
    assert DIALECT.reserved == {"cuda", "math", "types", "libdevice", "fp16", "bf16"}
