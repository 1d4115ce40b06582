# ruff: noqa: E501  # a sample on one line reads better than C in pieces
"""Hostile sources, each named after its row of the catalogue of known cheats, and honest ones that must pass."""

import time

import pytest

from kernelevolve.languages.opencl_c import OpenCLC
from kernelevolve.languages.opencl_c.source import parse
from kernelevolve.outcome import Rejected

LANGUAGE = OpenCLC()


def kernel(body: str, parameters: str = "__global const float *x, __global float *y, int n") -> str:
    return f"__kernel void k({parameters}) {{ int i = get_global_id(0); {body} }}"


HOSTILE = {
    "A8 a program-scope counter tells warm from cold": (
        "program-scope",
        "__global int calls = 0;\n" + kernel("y[i] = calls++;"),
    ),
    "A8 a static local counts its calls": ("storage", kernel("static int calls = 0; y[i] = ++calls;")),
    "A8 a static hidden in a macro": ("macro", "#define KEEP static int\n" + kernel("KEEP calls; y[i] = ++calls;")),
    "A8 a plain program-scope array": ("program-scope", "float memory[64];\n" + kernel("y[i] = memory[i];")),
    "B10 a program-scope cache behind a condition": (
        "program-scope",
        "#ifdef CACHE\n__global float cache[64];\n#endif\n" + kernel("y[i] = x[i];"),
    ),
    "B2 an address made of a number": ("pointer", kernel("y[i] = *((__global float *)0x7f0000001000);")),
    "B2 an address made of an integer variable": (
        "pointer",
        kernel("ulong a = 4096; __global float *p = (__global float *)a; y[i] = *p;"),
    ),
    "B2 an address made of a vector component": ("pointer", kernel("ulong2 a = 9; y[i] = *(__global float *)a.x;")),
    "B2 an address in an initialiser": ("pointer", kernel("__global float *p = 4096; y[i] = *p;")),
    "B2 an address by assignment": ("pointer", kernel("__global float *p = y; p = 4096 + i; y[i] = *p;")),
    "B2 an address through a union": ("pointer", "union u { ulong n; __global float *p; };\n" + kernel("y[i] = x[i];")),
    "B2 an address through a pointer to a pointer": (
        "pointer",
        kernel("__global float *p = y; *(ulong *)&p = 4096; y[i] = *p;"),
    ),
    "B2 two stars": ("pointer", kernel("__global float **p; y[i] = **p;")),
    "B2 a difference of pointers is a number": ("pointer", kernel("y[i] = *(__global float *)(y - x + 64);")),
    "B2 an address through a typedef": ("pointer", "typedef __global float *p_t;\n" + kernel("y[i] = *(p_t)4096;")),
    "B2 an address through a macro of a type": ("macro", "#define P __global float *\n" + kernel("y[i] = *(P)4096;")),
    "B2 an address through a macro of a cast": (
        "macro",
        "#define P(n) ((__global float *)(n))\n" + kernel("y[i] = *P(4096);"),
    ),
    "B2 an address through a struct": ("pointer", kernel("struct { __global float *p; } s; s.p = 4096; y[i] = *s.p;")),
    "B2 an address through an array of pointers": (
        "pointer",
        kernel("__global float *p[2]; p[0] = 4096; y[i] = p[0][0];"),
    ),
    "A8 a variable that a macro declares": (
        "program-scope",
        "#define G __global int calls = 0\nG;\n" + kernel("y[i] = calls++;"),
    ),
    "A8 a variable behind a constant in a macro": (
        "macro",
        "#define G int a = 1; __global int\n__constant G calls = 0;\n" + kernel("y[i] = calls++;"),
    ),
    "A8 a variable behind a function in a macro": (
        "program-scope",
        "#define G int f(void) { return 1; } __global int\n__constant G calls = 0;\n" + kernel("y[i] = calls++;"),
    ),
    "A8 a variable behind a qualifier in a macro": (
        "syntax",
        "#define G __global\nG int calls = 0;\n" + kernel("y[i] = calls++;"),
    ),
    "E7 an attribute in a macro": ("macro", "#define A __attribute__((constructor))\n" + kernel("")),
    "B9 a file is read with include": ("include", '#include "/etc/passwd"\n' + kernel("y[i] = x[i];")),
    "B9 include with a comment before its name": ("directive", "/**/ # /* x */ include <opencl-c.h>\n" + kernel("")),
    "B9 include split over two lines": ("directive", "#inc\\\nlude <a.h>\n" + kernel("")),
    "B9 include as a digraph": ("characters", "%:include <a.h>\n" + kernel("")),
    "B9 include as a trigraph": ("characters", "??=include <a.h>\n" + kernel("")),
    "B9 include through embed": ("directive", "#embed </dev/random>\n" + kernel("")),
    "B9 a test for files": ("reserved-name", "#if __has_include(<a.h>)\n#endif\n" + kernel("")),
    "D6 code in a string": ("string", kernel('__constant char *code = "y[i] = 0"; y[i] = x[i];')),
    "D6 code in assembly": ("assembly", kernel('asm volatile ("nop"); y[i] = x[i];')),
    "D6 assembly through a macro": ("assembly", "#define A asm\n" + kernel("A(1);")),
    "D6 assembly split by a backslash": ("characters", kernel("as\\\nm(1);")),
    "D6 a comment swallows the next line": ("characters", "// a \\\nint hidden;\n" + kernel("")),
    "E3 a kernel prints": ("output", kernel('printf("PASS");')),
    "E3 printing through a macro": ("output", "#define SAY printf\n" + kernel("SAY(1);")),
    "E7 a compiler builtin": ("builtin", kernel("y[i] = __builtin_ia32_rdtsc();")),
    "E7 a function of the C library": ("call", kernel("y[i] = getpid();")),
    "E7 a function of the runtime's own": ("call", kernel("y[i] = pocl_private(3);")),
    "E7 an internal name": ("reserved-name", kernel("y[i] = __pocl_exp(3);")),
    "E7 an external function that is declared": ("linkage", "int getpid(void);\n" + kernel("y[i] = getpid();")),
    "E7 an external function declared inside": ("linkage", kernel("int getpid(void); y[i] = 1;")),
    "E7 an external function with extern": ("linkage", "extern int getpid(void);\n" + kernel("y[i] = getpid();")),
    "E7 a call through a macro": ("call", "#define GO(a) system(a)\n" + kernel("GO(1);")),
    "E7 a call of a macro's parameter": ("call", "#define GO(f) f(1)\n" + kernel("GO(exit);")),
    "E7 a call of a parenthesised name": ("call", kernel("(getpid)(); y[i] = 1;")),
    "E7 a function pointer": ("function-pointer", kernel("int (*f)(int); y[i] = 1;")),
    "E7 a dispatch table": ("function-pointer", "typedef int (*f_t)(int);\n" + kernel("y[i] = 1;")),
    "E7 a name is pasted together": ("macro", "#define CAT(a, b) a##b\n" + kernel("CAT(get, pid)();")),
    "E7 a name becomes a string": ("macro", "#define TEXT(a) #a\n" + kernel("")),
    "E7 a word of the language is renamed": ("macro", "#define get_global_id(d) 0\n" + kernel("")),
    "E7 an attribute that links": ("attribute", "void f(void) __attribute__((alias(1))) {}\n" + kernel("")),
    "E7 an attribute that runs early": ("attribute", "__attribute__((constructor)) void f(void) {}\n" + kernel("")),
    "E7 a pragma of the compiler": ("pragma", "#pragma clang attribute push\n" + kernel("")),
    "E8 a jump backwards": ("control-flow", kernel("again: goto again;")),
    "E8 a launch from the device": ("device-queue", kernel("enqueue_kernel(0, 0, 0, 0);")),
    "E11 a pipe": ("object-types", "__kernel void k(read_only pipe int p) {}"),
    "E14 enormous": ("size", kernel("y[i] = 1;" * 20_000)),
    "E14 many tokens": ("size", kernel("i++;" * 8_000)),
    "E14 nested brackets": ("depth", kernel(f"y[i] = {'(' * 5000}1{')' * 5000};")),
    "E14 nested statements without brackets": ("depth", kernel("if (i) " * 3000 + ";")),
    "E14 a chain of operators": ("depth", kernel("y[i] = " + "1+" * 3000 + "1;")),
    "K4 a billion laughs": (
        "macro",
        "#define A0 1+1+1+1+1+1+1+1+1+1\n"
        + "".join(f"#define A{n} {f'A{n - 1}+' * 9}A{n - 1}\n" for n in range(1, 12))
        + kernel("y[i] = A11;"),
    ),
    "K4 a bomb through nested arguments": (
        "macro",
        "#define D(a) a a a a a a a a a a\n" + kernel("D(D(D(D(D(D(D(D(D(i++;)))))))))"),
    ),
    "K4 a macro that refers to itself": ("macro", "#define A B\n#define B A\n" + kernel("y[i] = A;")),
    "K4 unrolled without end": (
        "pragma",
        kernel("\n#pragma unroll 1000000\nfor (int j = 0; j < n; ++j) y[i] += x[j];"),
    ),
    "K4 variadic macro": ("macro", "#define V(...) __VA_ARGS__\n" + kernel("")),
    "K4 unbalanced macro": ("macro", "#define OPEN {\n" + kernel("")),
    "K4 too many macros": ("macro", "".join(f"#define M{n} {n}\n" for n in range(200)) + kernel("")),
    "E14 what may be a cast, over and over": ("size", kernel("y[i] = " + "(i)&(n)*" * 2400 + "1;")),
    "E14 comments that never close": ("characters", "/* " * 30_000),
    "syntax error": ("syntax", kernel("y[i] = ;")),
    "missing brace": ("syntax", "__kernel void k(__global float *y) { y[0] = 1;"),
    "a letter that looks like another": ("characters", kernel("y[i] = \u0445[i];")),
    "a function that takes a built-in's name": (
        "name",
        "float exp(float a) { return a; }\n" + kernel("y[i] = exp(x[i]);"),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refuses(name: str) -> None:
    rule, source = HOSTILE[name]
    with pytest.raises(Rejected) as caught:
        LANGUAGE.gate(source)
    assert caught.value.details["rule"] == rule, caught.value.message
    assert caught.value.details["line"] >= 1


HONEST = {
    "words in comments": kernel("/* asm goto printf include #include static extern */ // stream, try, pass, __builtin_x\ny[i] = x[i];"),
    "vector types": kernel("float4 v = vload4(i, x); v.xy += (float2)(1.0f, v.s3); vstore4(native_exp(v), i, y);"),
    "vector pointers": kernel("__global const float4 *v = (__global const float4 *)x; y[i] = dot(v[i], v[i + 1]);"),
    "pointer arithmetic": kernel("__global float *row = y + i * n; row += 3; *row = x[0]; __global const float *e = &x[n]; y[1] = *e;"),
    "local memory": kernel("__local float tile[64]; tile[i] = x[i]; barrier(CLK_LOCAL_MEM_FENCE); y[i] = tile[63 - i];"),
    "a local parameter": kernel("t[i] = 1; barrier(CLK_LOCAL_MEM_FENCE); y[i] = t[0];", "__global float *y, __local float *t"),
    "atomics": kernel("atomic_add(c, 1); atomic_cmpxchg(c + 1, 0, i);", "volatile __global int *c"),
    "atomic float addition by exchange": kernel(
        "union { uint u; float f; } a, b; do { b.f = *y; a.f = b.f + 1; } while (atomic_cmpxchg((volatile __global uint *)y, b.u, a.u) != b.u);"
    ),
    "helper functions": "static inline float sq(const float v) { return v * v; }\nfloat two(float);\nfloat two(float v) { return sq(v) + sq(v); }\n"
    + kernel("y[i] = two(x[i]);"),
    "one name for a number and a buffer": "float f(float x) { return x; }\n" + kernel("y[i] = f(((__global const float2 *)x)[i].x);"),
    "macros": "#define SQ(v) ((v) * (v))\n#define LOAD(p, i) vload4((i), (p))\n#define LIMIT 4\n" + kernel("y[i] = SQ(x[i]) + LOAD(x, LIMIT).x;"),
    "a macro over several lines": "#define STEP(a) do { \\\n    acc += (a); \\\n  } while (0)\n" + kernel("float acc = 0; STEP(x[i]); y[i] = acc;"),
    "conditional code": "#ifndef VEC\n#define VEC 4\n#endif\n#if VEC > 2 && defined(FAST)\n#define F native_exp\n#else\n#define F exp\n#endif\n"
    + kernel("\n#if VEC == 4\ny[i] = F(x[i]);\n#else\ny[i] = x[i];\n#endif\n"),
    "element types by name": "__kernel void k(__global const x_t *x, __global y_t *y) { int i = get_global_id(0); y[i] = (y_t)((float)x[i] * (x_t)(2)); }",
    "constant tables": "__constant float table[4] = { 1.0f, -2.0f, 3.0f * 2, (float)4 };\n__constant int COUNT = 4;\n" + kernel("y[i] = table[i & (COUNT - 1)];"),
    "structs, enums and typedefs": "typedef struct { float m; float s; } pair_t;\nenum { A, B };\nstruct q { int a; };\n" + kernel("pair_t p = { 1, 2 }; y[i] = p.m + B;"),
    "attributes": "__attribute__((reqd_work_group_size(64, 1, 1)))\n" + kernel("__attribute__((opencl_unroll_hint(4)))\nfor (int j = 0; j < n; ++j) y[i] += x[j];"),
    "pragmas": "#pragma OPENCL EXTENSION cl_khr_fp16 : enable\n" + kernel("\n#pragma unroll UNROLL\nfor (int j = 0; j < n; ++j) y[i] += x[j];"),
    "unprefixed words": "kernel void k(global const float *restrict x, global float *restrict y, local float *t) { private int i = 0; y[i] = x[i]; }",
    "two kernels": kernel("y[i] = x[i];") + "\n__kernel void second(__global float *y) { y[0] = 1; }",
    "empty parameters": "__kernel void k(void) {}\n",
    "while, do, switch": kernel("while (i > 3) { i /= 2; if (i == 5) continue; break; } do { i++; } while (i < 2); switch (i) { case 1: y[i] = 1; break; default: ; }"),
    "a ternary of pointers": kernel("__global const float *p = i ? x : x + n; y[i] = *p;"),
    "conversions": kernel("y[i] = convert_float_rte(convert_int4_sat(vload4(0, x)).x) + as_float(as_uint(x[i]) & 0x7fffffffu);"),
    "work-group functions": kernel("y[i] = work_group_reduce_add(x[i]) + sub_group_reduce_max(x[i]);"),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_accepts(name: str) -> None:
    LANGUAGE.gate(HONEST[name])
    assert LANGUAGE.entries(HONEST[name])


def test_a_rejection_names_the_line() -> None:
    with pytest.raises(Rejected, match=r"^line 3: .*getpid.*neither defined in this file nor a function of OpenCL C"):
        LANGUAGE.gate("// one\n__kernel void k(__global int *y) {\n  y[0] = getpid();\n}\n")


def test_a_bomb_is_refused_in_milliseconds() -> None:
    started = time.perf_counter()
    for name in (
        "K4 a billion laughs",
        "E14 nested brackets",
        "E14 enormous",
        "E14 what may be a cast, over and over",
        "K4 a bomb through nested arguments",
    ):
        with pytest.raises(Rejected):
            LANGUAGE.gate(HOSTILE[name][1])
    assert time.perf_counter() - started < 1


def test_the_tree_keeps_the_place_of_every_node() -> None:
    text = HONEST["attributes"]
    source = parse(text)
    for node in source.walk(source.root):
        if node.type == "identifier":
            assert source.of(node).isidentifier()
    loop = next(node for node in source.walk(source.root) if node.type == "for_statement")
    assert text[source.start(loop) :].startswith("__attribute__((opencl_unroll_hint(4)))")
