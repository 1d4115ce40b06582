# ruff: noqa: E501  # a sample on one line reads better than Python in pieces
"""Hostile sources, each named after its trick and its row of the catalogue of known cheats, and honest ones."""

from __future__ import annotations

import ast
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve.languages.python_kernels import Kind
from kernelevolve.languages.python_kernels.source import read
from kernelevolve.languages.triton_lang import DIALECT, TritonGate, TritonLanguage
from kernelevolve.languages.triton_lang.names import ATTRIBUTES, BUILTINS, LIBDEVICE, MATH, TL
from kernelevolve.outcome import Rejected

from .honest import HONEST

LANGUAGE = TritonLanguage()
HEAD = "import triton\nimport triton.language as tl\n"


def kernel(body: str, parameters: str = "x, y, n, BLOCK: tl.constexpr", head: str = HEAD) -> str:
    return f"{head}\n\n@triton.jit\ndef k({parameters}):\n    i = tl.arange(0, 16)\n    {body}\n"


def helper(text: str, body: str = "pass") -> str:
    return f"{HEAD}\n{text}\n\n@triton.jit\ndef k(x, y, n):\n    {body}\n"


HOSTILE = {
    # Chains of attributes out of the language's modules.
    "K4 os out of tl.core": ("attribute", kernel("tl.core.os.system('id')")),
    "K4 builtins of a module": ("attribute", kernel("tl.math.__builtins__")),
    "K4 the module's loader": ("attribute", kernel("tl.__loader__.load_module('os')")),
    "K4 the module's globals": ("attribute", kernel("tl.load.__globals__")),
    "K4 a function's code": ("attribute", kernel("tl.load.__wrapped__")),
    "K4 the runtime": ("attribute", kernel("triton.runtime.driver.active.get_current_device()")),
    "K4 the compiler": ("attribute", kernel("triton.compile(k)")),
    "K4 the testing module": ("attribute", kernel("triton.testing.do_bench(k)")),
    "K4 settings": ("assignment", kernel("triton.knobs.compilation.allow_non_constexpr_globals = True")),
    "K4 tl through triton and out": ("attribute", kernel("triton.language.core.builtins.exec('1')")),
    "K4 gluon": ("attribute", kernel("triton.experimental.gluon")),
    "K4 a private name": ("attribute", kernel("tl._experimental_reinterpret_tensor_descriptor(x, [1], tl.int8)")),
    "K4 semantic": ("attribute", kernel("tl.semantic.add(x, y)")),
    "K4 standard": ("attribute", kernel("tl.standard.core.inspect")),
    "K4 random": ("attribute", kernel("tl.random.tl")),
    "K4 a module of libdevice": ("attribute", kernel("tl.extra.cuda.libdevice.core")),
    "K4 the smid": ("attribute", kernel("tl.extra.cuda.smid()")),
    "A9 the global timer": ("attribute", kernel("tl.extra.cuda.globaltimer()")),
    "A9 where it runs": ("attribute", kernel("tl.target_info.is_cuda()")),
    "K4 math's file": ("attribute", kernel("math.__file__", head=HEAD + "import math\n")),
    "K4 math without bounds": ("attribute", kernel("math.factorial(100000)", head=HEAD + "import math\n")),
    "K4 libdevice's imports": (
        "attribute",
        kernel("libdevice.core.builtins", head=HEAD + "from triton.language.extra import libdevice\n"),
    ),
    "K4 a module as a value": ("module-value", kernel("m = tl")),
    "K4 a module as an argument": ("module-value", kernel("tl.load(tl)")),
    "K4 a module in a tuple": ("module-value", kernel("m = (x, tl)")),
    "K4 an inner module as a value": ("module-value", kernel("m = tl.math")),
    "K4 a module by index": ("module-value", kernel("tl['core']")),
    "K4 a function of the language as a value": ("function-value", kernel("f = tl.load")),
    "K4 a function of the language as an argument": ("function-value", kernel("tl.reduce(i, 0, tl.load)")),
    "K4 jit as a value": ("function-value", kernel("f = triton.jit")),
    "K4 jit called": ("call", kernel("triton.jit(x)")),
    "K4 a module that was not imported": ("name", kernel("math.sqrt(2.0)")),
    "K4 libdevice that was not imported": ("name", kernel("libdevice.exp(x)")),
    # Attributes of values at trace time.
    "K4 class of an element type": ("attribute", kernel("x.dtype.__class__")),
    "K4 subclasses": ("attribute", kernel("().__class__.__base__.__subclasses__()")),
    "K4 subclasses of a constant": ("attribute", kernel("BLOCK.__class__.__mro__")),
    "K4 class of a literal": ("attribute", kernel("(1).__class__")),
    "K4 format of a text": ("attribute", kernel("'{0.__class__}'.format(x)")),
    "K4 format of a text in a name": ("attribute", kernel("BLOCK.format(x)")),
    "K4 bytes of an integer": ("attribute", kernel("(1).to_bytes(1, 'big')")),
    "K4 the handle": ("attribute", kernel("x.handle.set_loc(x)")),
    "K4 the interpreter's array": ("attribute", kernel("i.handle.data.tofile(x)")),
    "K4 to_ir with a builder": ("attribute", kernel("x.type.scalar.to_ir(x)")),
    "K4 mangling": ("attribute", kernel("x.dtype.mangle()")),
    "K4 the value of a constexpr": ("attribute", kernel("tl.constexpr(3).value.__class__")),
    "K4 the plain value of a constexpr": ("attribute", kernel("v = BLOCK.value")),
    "K4 an enum of an element type": ("attribute", kernel("x.dtype.SIGNEDNESS.SIGNED.value")),
    "K4 the source of a function": ("attribute", helper("@triton.jit\ndef f(a):\n    return a", "s = f.src")),
    "K4 the type of a function": ("function-value", helper("@triton.jit\ndef f(a):\n    return a", "s = f.type")),
    "K4 the globals of a function": ("attribute", helper("@triton.jit\ndef f(a):\n    return a", "f.__globals__")),
    "K4 warmup of a function": ("attribute", helper("@triton.jit\ndef f(a):\n    return a", "f.warmup(x, grid=(1,))")),
    "K4 launch of a function": ("call", helper("@triton.jit\ndef f(a):\n    return a", "f[(1,)](x)")),
    "K4 run through an alias": ("attribute", kernel("g = x.sum\n    g.__self__")),
    "K4 private attribute": ("attribute", kernel("x._flatten_ir(x)")),
    "K4 attribute after an index": ("attribute", kernel("x[0].__dict__")),
    "K4 attribute after a call": ("attribute", kernel("tl.load(x).__init__")),
    "K4 attribute of a condition": ("attribute", kernel("(x if n else y).__reduce__()")),
    "K4 attribute of a comparison": ("attribute", kernel("(x == y).__class__")),
    # Python's own functions.
    "D6 exec": ("builtin", kernel("exec('1')")),
    "D6 eval as a value": ("builtin", kernel("f = eval")),
    "E4 import by function": ("dunder", kernel("__import__('os')")),
    "K4 builtins by name": ("dunder", kernel("__builtins__")),
    "K4 the module's spec": ("dunder", kernel("s = __spec__")),
    "K4 getattr": ("module-value", kernel("getattr(tl, 'core')")),
    "K4 getattr of a value": ("builtin", kernel("getattr(x, 'handle')")),
    "K4 getattr as a value": ("builtin", kernel("f = getattr")),
    "K4 getattr by another name": ("call", kernel("f = getattr\n    f(x, 'handle')")),
    "K4 getattr that becomes a variable later": ("shadowing", kernel("f = getattr\n    getattr = 1")),
    "K4 getattr as a parameter": ("shadowing", kernel("pass", "x, getattr")),
    "K4 getattr as an argument": ("builtin", kernel("tl.map_elementwise(getattr, x, y)")),
    "K4 hasattr": ("builtin", kernel("hasattr(x, 'handle')")),
    "K4 isinstance": ("builtin", kernel("isinstance(x, tl.float32)")),
    "K4 type": ("builtin", kernel("type(x)")),
    "K4 vars": ("builtin", kernel("vars(x)")),
    "E1 open": ("builtin", kernel("open('f', 'w')")),
    "E3 print": ("builtin", kernel("print('PASS')")),
    "E3 device_print": ("attribute", kernel("tl.device_print('PASS')")),
    "E3 static_print": ("attribute", kernel("tl.static_print('PASS')")),
    "E3 device_assert": ("attribute", kernel("tl.device_assert(n > 0, 'PASS')")),
    "B20 exit": ("builtin", kernel("exit()")),
    "K4 breakpoint": ("builtin", kernel("breakpoint()")),
    "K4 list": ("builtin", kernel("list((1, 2))")),
    "K4 super": ("builtin", kernel("super()")),
    "K4 a name that nothing defines": ("name", kernel("interpreter_builder")),
    "K4 a module that the interpreter has": ("name", kernel("a = np")),
    "K4 a function of a module that the interpreter has": ("attribute", kernel("inspect.getsource(k)")),
    "K4 a call of nothing known": ("call", kernel("system('id')")),
    # Code of another language, and the compiler itself.
    "D6 inline assembly": ("attribute", kernel("tl.inline_asm_elementwise('trap;', '=r', [x], tl.int32, True, 1)")),
    "K4 a private argument": ("internal", kernel("tl.load(x, _semantic=None)")),
    "K4 the old private argument": ("internal", kernel("tl.load(x, _builder=None)")),
    "K4 a private parameter": ("internal", kernel("pass", "x, _semantic")),
    "K4 a private local": ("internal", kernel("_generator = 1")),
    "K4 arguments from a dictionary": ("call", kernel("tl.load(**x)")),
    "K4 arguments from a tuple": ("call", kernel("tl.load(*x)")),
    "B2 a pointer of a number": ("attribute", kernel("p = (0x7f0000001000).to(tl.pointer_type(tl.float32))")),
    "B2 a pointer type": ("attribute", kernel("p = n.to(tl.pointer_type(tl.float32))")),
    "B2 a pointer's type by name": ("attribute", kernel("p = n.to(tl.pi32_t)")),
    "E8 wait on memory for ever": ("attribute", kernel("tl.atomic_poll(x, 1)")),
    # Rebinding and shadowing.
    "E4 tl is rebound": ("shadowing", kernel("tl = x")),
    "E4 tl is a parameter": ("shadowing", f"{HEAD}@triton.jit\ndef k(tl):\n    pass\n"),
    "E4 tl is a loop's variable": ("shadowing", kernel("for tl in range(4):\n        pass")),
    "E4 tl in a tuple": ("shadowing", kernel("a, tl = x, y")),
    "E4 tl is a function": ("shadowing", f"{HEAD}@triton.jit\ndef tl(x):\n    pass\n"),
    "E4 tl is a constant": ("shadowing", f"{HEAD}tl = tl.constexpr(1)\n"),
    "E4 libdevice is rebound without import": ("shadowing", kernel("libdevice = x")),
    "E4 tl by augmented assignment": ("shadowing", kernel("tl += x")),
    "E4 tl by annotation": ("shadowing", kernel("tl: tl.constexpr = 1")),
    "E4 range is rebound": ("shadowing", kernel("range = x")),
    "E4 print is rebound": ("shadowing", kernel("print = x")),
    "E4 a dunder is bound": ("dunder", kernel("__name__ = x")),
    "E4 a dunder parameter": ("dunder", kernel("pass", "x, __builtins__")),
    "E4 a dunder function": ("dunder", f"{HEAD}@triton.jit\ndef __getattr__(name):\n    pass\n"),
    "E4 a dunder constant": ("dunder", f"{HEAD}__all__ = tl.constexpr(1)\n"),
    "E4 a function twice": (
        "redefined",
        f"{HEAD}@triton.jit\ndef k(x):\n    pass\n\n@triton.jit\ndef k(x):\n    pass\n",
    ),
    "E4 a function over a constant": ("redefined", f"{HEAD}k = tl.constexpr(1)\n@triton.jit\ndef k(x):\n    pass\n"),
    "K4 a call of a local value": ("call", kernel("f = x\n    f(y)")),
    "K4 a call of a parameter": ("call", kernel("BLOCK(x)")),
    "K4 a local with the name of a function": (
        "call",
        helper("@triton.jit\ndef f(a):\n    return a", "f = x\n    f(x)"),
    ),
    "K4 a call of a call": ("call", kernel("tl.load(x)(y)")),
    "K4 a call of an index": ("call", kernel("(x, y)[0](x)")),
    "K4 a call of a condition": ("call", kernel("(x if n else y)(x)")),
    "K4 a call of a constexpr": ("call", kernel("tl.constexpr(x)(y)")),
    "K4 a function kept in a variable": ("function-value", helper("@triton.jit\ndef f(a):\n    return a", "g = f")),
    "K4 a function called by a variable": ("call", helper("@triton.jit\ndef f(a):\n    return a", "g = f\n    g(x)")),
    # Statements.
    "E4 import in a kernel": ("statement", kernel("import os")),
    "E4 import from in a kernel": ("statement", kernel("from os import system")),
    "D1 try": ("statement", kernel("try:\n        pass\n    except Exception:\n        pass")),
    "D2 with": ("statement", kernel("with x:\n        pass")),
    "D2 with as tl": ("statement", kernel("with x as tl:\n        pass")),
    "A8 global": ("statement", kernel("global COUNT\n    COUNT = 1")),
    "A8 nonlocal": ("statement", kernel("nonlocal x\n    x = 1")),
    "K4 a class": ("statement", kernel("class C:\n        pass")),
    "K4 a nested function": ("layout", kernel("def f(a):\n        return a")),
    "K4 a nested async function": ("layout", kernel("async def f(a):\n        return a")),
    "K4 del": ("statement", kernel("del x")),
    "K4 raise": ("statement", kernel("raise x")),
    "K4 assert, which prints": ("statement", kernel("assert n > 0, 'PASS'")),
    "K4 match": ("statement", kernel("match x:\n        case tl:\n            pass")),
    "K4 async for": ("statement", kernel("async for a in x:\n        pass")),
    "K4 yield": ("expression", kernel("yield x")),
    "K4 yield from": ("expression", kernel("a = yield from x")),
    "K4 await": ("expression", kernel("await x")),
    "K4 a loop over a tuple": ("loop", kernel("for a in (1, 2):\n        pass")),
    "K4 a loop over a value": ("loop", kernel("for a in x:\n        pass")),
    "K4 a loop over a value's method": ("loop", kernel("for a in x.sum():\n        pass")),
    "K4 a loop over a function of tl": ("loop", kernel("for a in tl.arange(0, 4):\n        pass")),
    "K4 a loop with two variables": ("loop", kernel("for a, b in range(4):\n        pass")),
    "K4 a loop into an attribute": ("loop", kernel("for x.shape in range(4):\n        pass")),
    "K4 a loop with an else": ("loop", kernel("for a in range(4):\n        pass\n    else:\n        pass")),
    "K4 while with an else": ("loop", kernel("while n:\n        pass\n    else:\n        pass")),
    "K4 an unknown option of a loop": ("loop", kernel("for a in tl.range(0, 4, hook=x):\n        pass")),
    "K4 range outside of a loop": ("function-value", kernel("a = tl.range\n    ")),
    "K4 assignment to an attribute": ("assignment", kernel("x.shape = n")),
    "K4 assignment to an element": ("assignment", kernel("x[0] = n")),
    "K4 assignment to a list": ("assignment", kernel("[a, b] = x, y")),
    "K4 assignment to the rest": ("assignment", kernel("a, *b = x, y")),
    "K4 augmented assignment to an attribute": ("assignment", kernel("x.shape += n")),
    "K4 annotation of an attribute": ("assignment", kernel("x.y: tl.constexpr = 1")),
    # Expressions.
    "K4 a list comprehension": ("expression", kernel("a = [b for b in x]")),
    "K4 a comprehension that binds open": ("expression", kernel("a = [open for open in x]\n    open('f')")),
    "K4 a generator": ("expression", kernel("a = tl.load(b for b in x)")),
    "K4 a set": ("expression", kernel("a = {x}")),
    "K4 a dictionary": ("expression", kernel("a = {'x': x}")),
    "K4 lambda": ("expression", kernel("f = lambda: x")),
    "K4 lambda as an argument": ("expression", kernel("tl.reduce(i, 0, lambda a, b: a)")),
    "K4 walrus": ("expression", kernel("a = (b := x)")),
    "K4 walrus over tl": ("expression", kernel("(tl := x)")),
    "D6 an f-string": ("expression", kernel("a = f'{x.__class__}'")),
    "D6 an f-string in an assertion": ("expression", kernel("tl.static_assert(n, f'{x!r}')")),
    "K4 a matrix product sign": ("expression", kernel("a = x @ y")),
    "K4 in": ("expression", kernel("a = x in (1, 2)")),
    "K4 not in": ("expression", kernel("a = x not in (1, 2)")),
    "K4 a slice as an argument": ("syntax", kernel("tl.load(0:1)")),
    "K4 bytes": ("literal", kernel("a = b'x'")),
    "K4 a complex number": ("literal", kernel("a = 1j")),
    "K4 ellipsis": ("literal", kernel("a = ...")),
    "K4 an integer of many digits": ("literal", kernel("a = 123456789012345678901234567890")),
    "K4 an integer of too many digits": ("syntax", kernel("a = " + "9" * 5000)),
    "D6 code in a text": ("string", kernel("tl.load(x, cache_modifier='.cg; trap;')")),
    "D6 code in a long text": ("string", kernel("a = 'a" + "b" * 100 + "'")),
    "D6 a path in a text": ("string", kernel("a = '/etc/passwd'")),
    # Bombs.
    "K4 a power tower": ("power", kernel("a = 10 ** 10 ** 10")),
    "K4 a power of a power": ("power", kernel("a = (10 ** 60) ** 60")),
    "K4 a power by a name": ("power", kernel("a = 10 ** BLOCK")),
    "K4 a large power": ("power", kernel("a: tl.constexpr = BLOCK ** 1000")),
    "K4 a large power by assignment": ("power", kernel("a = 2\n    a **= 10000")),
    "K4 a shift by much": ("power", kernel("a = 1 << 10000000000")),
    "K4 a text repeated": ("operand", kernel("a = 'a' * 1000000000")),
    "K4 a text formatted": ("operand", kernel("a = '' % x")),
    "K4 a tuple repeated": ("operand", kernel("a = (0,) * 1000000000")),
    "K4 a list repeated": ("operand", kernel("a = [0] * 1000000000")),
    "K4 a tuple repeated from the right": ("operand", kernel("a = n * (0,)")),
    "K4 an unroll bomb": ("unroll", kernel("for a in tl.static_range(10**9):\n        x += a")),
    "K4 an unroll bomb with a start": ("unroll", kernel("for a in tl.static_range(1, 1000000, 2):\n        x += a")),
    "K4 an unroll bomb backwards": ("unroll", kernel("for a in tl.static_range(1000000, 0, -1):\n        x += a")),
    "K4 an unroll bomb by a constant": (
        "unroll",
        kernel("for a in tl.static_range(N):\n        x += a", head=HEAD + "N = tl.constexpr(1 << 30)\n"),
    ),
    "K4 an unroll bomb by a local constant": (
        "unroll",
        kernel("N: tl.constexpr = 10**9\n    for a in tl.static_range(N):\n        x += a"),
    ),
    "K4 an unroll bomb by a named argument": ("loop", kernel("for a in tl.static_range(arg1=10**9):\n        x += a")),
    "K4 nested unrolled loops": (
        "unroll",
        kernel("for a in tl.static_range(1000):\n        for b in tl.static_range(1000):\n            x += a"),
    ),
    "K4 copies of a loop": ("unroll", kernel("for a in tl.range(0, n, loop_unroll_factor=1000000):\n        x += a")),
    "K4 stages of a loop": ("unroll", kernel("for a in tl.range(0, n, num_stages=100000):\n        x += a")),
    "K4 calls that double": (
        "unroll",
        HEAD
        + "@triton.jit\ndef f0(x):\n    return x\n"
        + "".join(f"@triton.jit\ndef f{n + 1}(x):\n    return f{n}(f{n}(x))\n" for n in range(16)),
    ),
    "K4 recursion": ("recursion", f"{HEAD}@triton.jit\ndef f(x, N: tl.constexpr):\n    return f(x, N + 1)\n"),
    "K4 recursion over two": (
        "recursion",
        f"{HEAD}@triton.jit\ndef f(x):\n    return g(x)\n@triton.jit\ndef g(x):\n    return f(x)\n",
    ),
    "K4 recursion by a combine function": (
        "recursion",
        f"{HEAD}@triton.jit\ndef f(a, b):\n    return tl.reduce(a, 0, f)\n",
    ),
    "K4 deep nesting of signs": ("depth", kernel("a = " + "-" * 200 + "1")),
    "K4 deep nesting of brackets": ("depth", kernel("a = " + "(1, " * 150 + "1" + ")" * 150)),
    "K4 deeper nesting of brackets": ("syntax", kernel("a = " + "(" * 5000 + "1" + ")" * 5000)),
    "K4 a sum of many": ("depth", kernel("a = " + "x + " * 5000 + "1")),
    "K4 deep nesting of attributes": ("attribute", kernel("a = x" + ".a" * 200)),
    "K4 deep nesting of calls": ("depth", kernel("a = x" + ".sum()" * 200)),
    "K4 deep nesting of blocks": (
        "syntax",
        kernel("pass") + "".join(" " * (4 + d) + "if n:\n" for d in range(120)) + " " * 124 + "pass\n",
    ),
    "K4 too much text": ("size", kernel("pass") + "#" * 70_000),
    # The module.
    "E4 import of another module": ("import", "import os\n" + kernel("pass")),
    "E4 import of two": ("import", "import triton, os\n" + kernel("pass")),
    "E4 import under another name": ("import", "import triton.language as lang\n" + kernel("pass")),
    "E4 os under the name of tl": ("import", "import triton\nimport os as tl\n" + kernel("pass")),
    "E4 tl from elsewhere": ("import", "import triton\nfrom os import path as tl\n" + kernel("pass")),
    "E4 triton.language without its name": ("import", "import triton.language\n" + kernel("pass")),
    "E4 star-import": ("import", "from triton.language import *\n" + kernel("pass")),
    "E4 star-import of libdevice": ("import", "from triton.language.extra import *\n" + kernel("pass")),
    "E4 libdevice of one vendor": ("import", "from triton.language.extra.cuda import libdevice\n" + kernel("pass")),
    "E4 another module as libdevice": (
        "import",
        "from triton.language.extra import cuda as libdevice\n" + kernel("pass"),
    ),
    "E4 libdevice under another name": (
        "import",
        "from triton.language.extra import libdevice as ld\n" + kernel("pass"),
    ),
    "E4 a relative import": ("import", "from . import libdevice\n" + kernel("pass")),
    "E4 a relative import of the right name": (
        "import",
        "from .triton.language.extra import libdevice\n" + kernel("pass"),
    ),
    "E4 the future": ("import", "from __future__ import annotations\n" + kernel("pass")),
    "D7 torch": ("import", "import torch\n" + kernel("pass")),
    "A8 a counter in a module": ("constant", HEAD + "calls = [0]\n" + kernel("pass", head="")),
    "A8 a plain constant": ("constant", HEAD + "N = 4\n" + kernel("pass", head="")),
    "A8 an annotated constant": ("constant", HEAD + "N: tl.constexpr = 4\n" + kernel("pass", head="")),
    "K4 a constant that runs code": ("constant", HEAD + "N = tl.constexpr(exec('1'))\n"),
    "K4 a constant by a method": ("constant", HEAD + "N = tl.constexpr('a'.join(x))\n"),
    "K4 a constant by lambda": ("constant", HEAD + "N = tl.constexpr((lambda: 1)())\n"),
    "K4 a constant by comprehension": ("constant", HEAD + "N = tl.constexpr([i for i in range(9)])\n"),
    "K4 a constant by a dictionary": ("constant", HEAD + "N = tl.constexpr({})\n"),
    "K4 a constant with an f-string": ("constant", HEAD + "N = tl.constexpr(f'{1}')\n"),
    "K4 a constant out of the module": ("attribute", HEAD + "N = tl.constexpr(tl.core.os)\n"),
    "K4 a module as a constant": ("module-value", HEAD + "N = tl.constexpr(tl.math)\n"),
    "K4 a function as a constant": ("constant", HEAD + "N = tl.constexpr(tl.load)\n"),
    "K4 a module's name as a constant": ("constant", HEAD + "N = tl.constexpr(tl)\n"),
    "K4 an alias of the module": ("constant", HEAD + "t = tl\n"),
    "K4 a constant of a later one": ("constant", HEAD + "N = tl.constexpr(M)\nM = tl.constexpr(1)\n"),
    "K4 a constant that is a tower": ("power", HEAD + "N = tl.constexpr(10 ** 10 ** 10)\n"),
    "K4 a constant that is shifted far": ("power", HEAD + "N = tl.constexpr(1 << 10000000000)\n"),
    "K4 a constant that repeats a text": ("constant", HEAD + "N = tl.constexpr('a' * 1000000000)\n"),
    "K4 a constant that repeats a tuple": ("constant", HEAD + "N = tl.constexpr((0,) * 1000000000)\n"),
    "K4 a constant that repeats a named text": (
        "constant",
        HEAD + "A = tl.constexpr('a')\nN = tl.constexpr(A * 1000000000)\n",
    ),
    "K4 constants that double their width": (
        "literal",
        HEAD + "C0 = tl.constexpr(2**60)\n" + "".join(f"C{n + 1} = tl.constexpr(C{n} * C{n})\n" for n in range(40)),
    ),
    "K4 constants of powers": (
        "literal",
        HEAD + "C0 = tl.constexpr(2**60)\n" + "".join(f"C{n + 1} = tl.constexpr(C{n} ** 60)\n" for n in range(9)),
    ),
    "K4 constexpr with a named argument": ("constant", HEAD + "N = tl.constexpr(value=4)\n"),
    "K4 two targets": ("constant", HEAD + "N = M = tl.constexpr(4)\n"),
    "K4 an attribute of a module is set": ("constant", HEAD + "tl.load = tl.constexpr(4)\n"),
    "K4 an element of a module is set": ("constant", HEAD + "tl.__dict__['load'] = tl.constexpr(4)\n"),
    "K4 a statement in a module": ("module", HEAD + "tl.load(1)\n"),
    "K4 an if in a module": ("module", HEAD + "if 1:\n    N = tl.constexpr(4)\n"),
    "K4 a class in a module": ("module", HEAD + "class C:\n    pass\n"),
    "K4 a loop in a module": ("module", HEAD + "while 1:\n    pass\n"),
    "K4 try in a module": ("module", HEAD + "try:\n    import os\nexcept ImportError:\n    pass\n"),
    "K4 del in a module": ("module", HEAD + "del tl\n"),
    "K4 an async function": ("layout", HEAD + "@triton.jit\nasync def k(x):\n    pass\n"),
    "K4 a function in an if": ("layout", HEAD + "if 1:\n    @triton.jit\n    def k(x):\n        pass\n"),
    # Functions: decorators, parameters, annotations, defaults.
    "K4 no decorator": ("decorator", HEAD + "def k(x):\n    pass\n"),
    "K4 another decorator": ("decorator", HEAD + "@print\n@triton.jit\ndef k(x):\n    pass\n"),
    "K4 jit twice": ("decorator", HEAD + "@triton.jit\n@triton.jit\ndef k(x):\n    pass\n"),
    "K4 a decorator that computes": ("decorator", HEAD + "@(lambda f: f)\ndef k(x):\n    pass\n"),
    "K4 a decorator out of a module": ("decorator", HEAD + "@tl.core.builtin\ndef k(x):\n    pass\n"),
    "K4 constexpr_function": ("decorator", HEAD + "@triton.constexpr_function\ndef k(x):\n    return x\n"),
    "K4 jit of no module": ("decorator", HEAD + "@jit\ndef k(x):\n    pass\n"),
    "K4 jit without import": ("name", "import triton.language as tl\n@triton.jit\ndef k(x):\n    pass\n"),
    "A8 autotune": (
        "decorator",
        HEAD + "@triton.autotune(configs=[], key=['n'])\n@triton.jit\ndef k(x):\n    pass\n",
    ),
    "A8 heuristics": (
        "decorator",
        HEAD + "@triton.heuristics({'B': lambda a: 1})\n@triton.jit\ndef k(x, B: tl.constexpr):\n    pass\n",
    ),
    "K4 a hook in the decorator": ("decorator", HEAD + "@triton.jit(launch_metadata=print)\ndef k(x):\n    pass\n"),
    "K4 a name in the decorator": ("decorator", HEAD + "@triton.jit(repr=lambda a: 'n')\ndef k(x):\n    pass\n"),
    "E3 debug, which prints": ("decorator", HEAD + "@triton.jit(debug=True)\ndef k(x):\n    pass\n"),
    "K4 a call in an allowed option": ("decorator", HEAD + "@triton.jit(noinline=print(1))\ndef k(x):\n    pass\n"),
    "K4 options from a dictionary": ("decorator", HEAD + "@triton.jit(**{})\ndef k(x):\n    pass\n"),
    "K4 a function given to jit": ("decorator", HEAD + "@triton.jit(print)\ndef k(x):\n    pass\n"),
    "K4 code in an option's text": (
        "string",
        HEAD + "@triton.jit(do_not_specialize=['__import__(1)'])\ndef k(x):\n    pass\n",
    ),
    "K4 *args": ("parameter", HEAD + "@triton.jit\ndef k(*args):\n    pass\n"),
    "K4 **kwargs": ("parameter", HEAD + "@triton.jit\ndef k(**kwargs):\n    pass\n"),
    "K4 keyword-only": ("parameter", HEAD + "@triton.jit\ndef k(x, *, y):\n    pass\n"),
    "K4 positional-only": ("parameter", HEAD + "@triton.jit\ndef k(x, /):\n    pass\n"),
    "K4 the same parameter twice": ("parameter", HEAD + "@triton.jit\ndef k(x, x):\n    pass\n"),
    "K4 a default that runs code": ("constant", HEAD + "@triton.jit\ndef k(x, y=print(1)):\n    pass\n"),
    "A8 a default that can be changed": ("constant", HEAD + "@triton.jit\ndef k(x, y=[]):\n    pass\n"),
    "K4 a default that is a module": ("constant", HEAD + "@triton.jit\ndef k(x, y=tl):\n    pass\n"),
    "K4 a default that is a function": ("constant", HEAD + "@triton.jit\ndef k(x, y=print):\n    pass\n"),
    "K4 a default that is a lambda": ("constant", HEAD + "@triton.jit\ndef k(x, y=lambda: 1):\n    pass\n"),
    "K4 an annotation that runs code": ("annotation", HEAD + "@triton.jit\ndef k(x: print(1)):\n    pass\n"),
    "D6 an annotation that is a text": ("annotation", HEAD + "@triton.jit\ndef k(x: 'tl.constexpr'):\n    pass\n"),
    "K4 an annotation with an index": ("annotation", HEAD + "@triton.jit\ndef k(x: tl.constexpr[1]):\n    pass\n"),
    "K4 an annotation that leads out": ("attribute", HEAD + "@triton.jit\ndef k(x: tl.core.os):\n    pass\n"),
    "K4 an annotation that is a function": ("annotation", HEAD + "@triton.jit\ndef k(x: tl.load):\n    pass\n"),
    "K4 an annotation with a lambda": ("annotation", HEAD + "@triton.jit\ndef k(x: (lambda: 1)()):\n    pass\n"),
    "K4 a result that runs code": ("annotation", HEAD + "@triton.jit\ndef k(x) -> print(1):\n    pass\n"),
    "K4 a variable's annotation runs code": ("annotation", kernel("a: print(1) = 1")),
    # Text that two tools read differently.
    "E4 another encoding": ("encoding", "# -*- coding: utf-7 -*-\n" + kernel("pass")),
    "E4 another encoding on line two": (
        "encoding",
        "\n# vim: set fileencoding=raw_unicode_escape :\n" + kernel("pass"),
    ),
    "E4 another encoding after empty lines": ("encoding", "\n\n\n# coding=rot13\n" + kernel("pass")),
    "E4 a byte order mark": ("characters", "\ufeff" + kernel("pass")),
    "E4 a form feed": ("characters", HEAD + "\f@triton.jit\ndef k(x):\n    pass\n"),
    "E4 a vertical tab in a comment": ("characters", HEAD + "# a\vimport os\n"),
    "E4 a line separator in a comment": ("characters", HEAD + "# a\u2028import os\n"),
    "E4 a next line in a comment": ("characters", HEAD + "# a\x85import os\n"),
    "E4 a file separator in a text": ("characters", HEAD + '"""a\x1cimport os"""\n'),
    "E4 a lone carriage return": ("characters", HEAD + "# a\rimport os\n"),
    "E4 carriage returns": ("characters", kernel("pass").replace("\n", "\r\n")),
    "E4 a null": ("characters", HEAD + "\0"),
    "E4 half a surrogate pair": ("characters", HEAD + "# \ud800\n"),
    "E4 text that runs backwards": ("characters", HEAD + "# \u202e\n"),
    "E4 a space of no width": ("characters", kernel("a = x\u200b")),
    "E4 full-width letters": ("characters", kernel("a = ｏｓ")),
    "E4 a full-width module": ("characters", "import ｏｓ\n" + kernel("pass")),
    "E4 a full-width attribute": ("characters", kernel("tl.ｃｏｒｅ")),
    "E4 a full-width argument": ("characters", kernel("tl.load(x, ｍask=1)")),
    "E4 a full-width function": ("characters", HEAD + "@triton.jit\ndef ｋ(x):\n    pass\n"),
    "E4 a full-width digit": ("syntax", kernel("a = ١")),
    "E4 a letter that is not ASCII": ("characters", kernel("é = 1")),
    "E4 tabs": ("layout", HEAD + "@triton.jit\ndef k(x):\n\tpass\n"),
    "E4 a function in a docstring": (
        "layout",
        HEAD + '@triton.jit\ndef k(x):\n    """\n    def k(x):\n        evil()\n        """ # """\n    pass\n',
    ),
    "E4 a function in a text of a line": ("layout", HEAD + '@triton.jit\ndef k(x):\n    """\ndef k(x): evil() """\n'),
    "E4 def broken by a backslash": (
        "layout",
        HEAD + '@triton.jit\ndef \\\nk(x):\n    """\ndef k(x):\n    evil()\n    """ # """\n    pass\n',
    ),
    "E4 def and its name apart": ("layout", HEAD + "@triton.jit\ndef  k(x):\n    pass\n"),
    "E4 the bracket of a def apart": ("layout", HEAD + "@triton.jit\ndef k (x):\n    pass\n"),
    "E4 a bracket on the next line": ("layout", HEAD + "@triton.jit\ndef k\\\n(x):\n    pass\n"),
    "E4 broken Python": ("syntax", HEAD + "@triton.jit\ndef k(x:\n    pass\n"),
    "E4 wrong indentation": ("syntax", HEAD + "@triton.jit\ndef k(x):\n        a = 1\n    b = 2\n"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_source_is_refused_by_its_rule(name: str) -> None:
    rule, source = HOSTILE[name]
    with pytest.raises(Rejected) as caught:
        LANGUAGE.gate(source)
    assert caught.value.details["rule"] == rule, caught.value.message
    assert 1 <= caught.value.details["line"] <= source.count("\n") + 1
    assert 10 < len(caught.value.message) < 600


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_kernel_passes(name: str) -> None:
    LANGUAGE.gate(HONEST[name].source)


HONEST_LINES = {
    "a docstring with any words": '"""try: import os; exec, open and __class__ (see https://a.b/c)"""',
    "a text as a comment": '"passes over the row: def, class"\n    pass',
    "two passes in a tuple": "a, b = tl.load(x), tl.load(y)",
    "nested tuples": "(a, b), c = (x, y), n",
    "a chained comparison": "a = 0 <= n",
    "an identity": "a = n if BLOCK is not None else 0",
    "libm by tl.math": "a = tl.math.exp2(x) + tl.math.fdiv(x, y)",
    "element types": "a = x.to(tl.bfloat16).to(tl.float32, bitcast=False)",
    "a test of an element type": "a = x if x.dtype == tl.float16 or x.dtype.is_fp8() else y",
    "a pointer's element type": "a = tl.zeros((16,), x.dtype.element_ty)",
    "a shape": "a = x.shape[0] * len(x.shape)",
    "a transpose": "a = tl.dot(x, tl.trans(y)) + x.T + y.trans(1, 0)",
    "methods": "a = x.sum(0).reshape(4, 4).max(axis=0).to(tl.int32)",
    "infinities": "a = tl.full((16,), float('-inf'), tl.float32) + float('nan')",
    "a small power": "a = n ** 2 + x ** -0.5",
    "a shift by a constant": "a = (1 << BLOCK) | (n >> 3) & ~n",
    "a modest unrolled loop": "for a in tl.static_range(0, BLOCK, step=2):\n        x += a",
    "a pipelined loop": "for a in tl.range(0, n, BLOCK, num_stages=4, flatten=True, disallow_acc_multi_buffer=True):\n        x += a",
    "a break": "while n > 0:\n        n -= 1\n        if n == 3:\n            break",
    "an assertion at compile time": "tl.static_assert(BLOCK % 2 == 0, 'BLOCK must be even: 100 % of it; (see above)')",
    "a scaled product": "a = tl.dot_scaled(x, i, 'e5m2', y, i, 'e4m3')",
    "a hint": "tl.assume(n > 0)\n    m = tl.multiple_of(n, 16)",
    "a propagated nan": "a = tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)",
    "an annotated constant": "half: tl.constexpr = BLOCK // 2\n    a = tl.arange(0, half)",
    "sizes of the next power": "a = tl.arange(0, triton.next_power_of_2(BLOCK)) + triton.cdiv(BLOCK, 2)",
    "a tensor's constant": "a = tl.TRITON_MAX_TENSOR_NUMEL",
    "a thrown-away value": "_, a = tl.max(x, axis=0, return_indices=True)",
    "an early end": "if n == 0:\n        return",
}


@pytest.mark.parametrize("name", HONEST_LINES)
def test_an_honest_line_passes(name: str) -> None:
    LANGUAGE.gate(kernel(HONEST_LINES[name]))


def test_comments_may_hold_letters_of_any_script() -> None:
    LANGUAGE.gate(kernel("a = x  # × – ﬁ 日本語\n    # ｏｓ\tend"))


def test_a_rejection_says_where_and_what_would_be_right() -> None:
    with pytest.raises(Rejected) as caught:
        LANGUAGE.gate(kernel("tl.lode(x)"))
    assert caught.value.details == {"rule": "attribute", "line": 8}
    assert caught.value.message == "line 8: tl.lode is nothing that a kernel may use. Did you mean 'load'?"


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        (kernel("print(x)"), "do not print"),
        (kernel("tl.device_assert(x)"), "tl.static_assert"),
        (kernel("x[0] = 1"), "tl.store(pointer, value)"),
        (HEAD + "N = 4\n", "N = tl.constexpr(…)"),
        (HEAD + "@triton.autotune([], [])\n@triton.jit\ndef k(x):\n    pass\n", "[tune] in the header"),
        (kernel("math.sqrt(2)"), "import math"),
        (kernel("a = block_", "BLOCK: tl.constexpr, block_a"), "Did you mean 'block_a'?"),
    ],
)
def test_what_is_asked_for_often_gets_advice(source: str, advice: str) -> None:
    with pytest.raises(Rejected) as caught:
        LANGUAGE.gate(source)
    assert advice in caught.value.message


PUBLIC = sorted({*TL, *ATTRIBUTES, "core", "__class__", "os", "handle", "value", "builtins", "semantic", "data"})


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PUBLIC) | st.from_regex(r"[a-z_]{1,8}", fullmatch=True), min_size=1, max_size=4))
def test_a_chain_from_tl_passes_only_where_the_tables_have_it(names: list[str]) -> None:
    try:
        LANGUAGE.gate(kernel(f"a = tl.{'.'.join(names)}"))
    except Rejected:
        return
    found, path = TL, list(names)
    while not isinstance(found, Kind):
        found = found[path.pop(0)]
    assert found in (Kind.VALUE, Kind.TYPE)
    assert ATTRIBUTES.issuperset(path)


@settings(max_examples=200, deadline=None)
@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True).filter(str.isidentifier))
def test_an_attribute_that_is_not_in_the_table_is_refused_on_every_value(name: str) -> None:
    if name in ATTRIBUTES:
        return
    for value in ("x", "BLOCK", "tl.load(x)", "(x + y)", "x[0]", "x.shape", "tl.float32"):
        with pytest.raises(Rejected) as caught:
            LANGUAGE.gate(kernel(f"a = {value}.{name}"))
        assert caught.value.details["rule"] in ("attribute", "syntax")


_WORDS = [
    *HEAD.splitlines(keepends=True),
    *(
        "@triton.jit\n",
        "def k(",
        "x",
        "):\n",
        "    ",
        "tl.",
        "load",
        "(",
        ")",
        "[",
        "]",
        ", ",
        "= ",
        "\n",
        "for ",
        "in ",
    ),
    *("range", "'", '"""', "#", "\\", ": ", "tl.constexpr", "é", "\f", "\x85", "{", "}", "lambda ", "if ", "else "),
]


@settings(max_examples=400, deadline=None)
@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from(_WORDS), max_size=40).map("".join)
    | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1"))
)
def test_no_text_makes_the_language_fail_in_another_way_than_rejecting(text: str) -> None:
    for question in (LANGUAGE.gate, LANGUAGE.entries, LANGUAGE.normalize):
        try:
            question(text)
        except Rejected as refused:
            assert refused.details["line"] >= 1  # noqa: PT017  # the exception is optional, its shape is not


NODES = (
    *(ast.Import, ast.ImportFrom, ast.alias, ast.FunctionDef, ast.arguments, ast.arg, ast.keyword),
    *(ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.If, ast.For, ast.While, ast.Return, ast.Pass),
    *(ast.Break, ast.Continue, ast.Name, ast.Constant, ast.Attribute, ast.Call, ast.BinOp, ast.UnaryOp, ast.BoolOp),
    *(ast.Compare, ast.IfExp, ast.Tuple, ast.List, ast.Subscript, ast.Slice),
    *(ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)
MODULES = {"tl", "triton", "math", "libdevice"}
INNER = {"language", "math", "extra", "libdevice", "PropagateNan", "ALL", "NONE", "jit", "constexpr", "tensor", "range"}
KNOWN = {*TL, *ATTRIBUTES, *LIBDEVICE, *MATH, *INNER, "static_range", "cdiv", "next_power_of_2"}


def assert_harmless(source: str) -> None:
    """What must hold of any source that a gate lets through, found in another way than the gate finds it."""
    tree = ast.parse(source)
    bound = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    bound |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    bound |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    assert not bound & MODULES
    for node in tree.body:
        if isinstance(node, ast.Assign):
            assert ast.unparse(node.value).startswith("tl.constexpr(")
        assert not isinstance(node, ast.Expr) or isinstance(node.value, ast.Constant)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module):
            continue
        assert isinstance(node, NODES), ast.dump(node)[:80]
        match node:
            case ast.Name(id=name):
                assert name in bound | MODULES | BUILTINS, name
                assert not name.startswith("__")
            case ast.Attribute(attr=name):
                assert name in KNOWN, name
                assert isinstance(node.ctx, ast.Load)
            case ast.keyword(arg=name):
                assert name is not None
                assert not name.startswith("_")
            case ast.FunctionDef():
                assert [ast.unparse(mark).partition("(")[0] for mark in node.decorator_list] == ["triton.jit"]


FRAGMENTS = [
    *(
        "",
        "(",
        ")",
        "\n",
        "\n    ",
        ".",
        ", ",
        ": ",
        "__class__",
        " = ",
        "lambda: ",
        "tl",
        "tl.core",
        ".value",
        "getattr",
    ),
    *(
        "print",
        "open",
        "import os",
        ".handle",
        "_semantic=",
        "*",
        "**",
        "[",
        "]",
        "'",
        '"""',
        "if ",
        "else ",
        "for ",
        "in ",
    ),
    *("global x\n    ", "def f():\n", "@", "exec", "{", "}", "f'{x}'", ":= ", "x", "1", "~", "return ", "while ", "#"),
]


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(sorted(HONEST)), st.data())
def test_a_mutilated_kernel_is_harmless_or_rejected(name: str, data: st.DataObject) -> None:
    source = HONEST[name].source
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(source)))
        end = data.draw(st.integers(start, min(len(source), start + 12)))
        source = source[:start] + data.draw(st.sampled_from(FRAGMENTS)) + source[end:]
    try:
        LANGUAGE.gate(source)
    except Rejected as refused:
        assert refused.details["rule"]  # noqa: PT017
    else:
        assert_harmless(source)
        LANGUAGE.entries(source)
        LANGUAGE.gate(LANGUAGE.normalize(source))


@pytest.mark.parametrize("name", HONEST)
def test_what_is_found_harmless_is_so_in_another_way(name: str) -> None:
    assert_harmless(HONEST[name].source)


def test_the_gate_looks_at_every_kind_of_node_that_python_has() -> None:
    """A statement or expression that a new Python adds is refused until somebody lists it."""
    gate = TritonGate(read(HEAD))
    listed = {*gate._handlers, *gate._statements}
    refused = {kind for base in (ast.stmt, ast.expr) for kind in base.__subclasses__()} - listed
    assert {"Lambda", "NamedExpr", "ListComp", "Try", "With", "ClassDef", "Global", "Import"} <= {
        kind.__name__ for kind in refused
    }


def test_reading_and_judging_two_hundred_lines_takes_milliseconds() -> None:
    source = "".join(sample.source.replace(HEAD, "") for sample in list(HONEST.values())[:6])
    lines = (HEAD + source).splitlines(keepends=True)
    assert len(lines) >= 200
    text = HEAD + source
    times = []
    for number in range(20):
        fresh = f"{text}# {number}\n"
        started = time.perf_counter()
        LANGUAGE.gate(fresh)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.02  # ten times what it takes: a machine under load must not fail this


def test_the_dialect_reserves_the_names_of_its_modules() -> None:
    assert DIALECT.reserved == {"tl", "triton", "math", "libdevice"}
