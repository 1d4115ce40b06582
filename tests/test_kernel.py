"""Kernel files: what parses, what it means, what it renders to, and what every error says and where."""

from __future__ import annotations

import doctest
import re
import string
from pathlib import Path

import attrs
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernelevolve import registry
from kernelevolve.accelerator import BufferSpec
from kernelevolve.errors import KernelFileError
from kernelevolve.expressions import FUNCTIONS, parse
from kernelevolve.kernel import (
    _LAUNCH,
    _TOP,
    MAX_BYTES,
    Kernel,
    Launch,
    Scratch,
    configuration_label,
    parse_kernel,
    read_kernel,
    render_kernel,
)
from kernelevolve.plan import LocalArgument, ScalarArgument, make_plan
from kernelevolve.problem import DEVICE_FACTS, DTYPES
from kernelevolve.testing import samples
from kernelevolve.testing.accelerator import ReferenceAccelerator

SOFTMAX = """// SPDX-License-Identifier: Apache-2.0
// /// kernel
// language = "opencl"
// when = "cols <= 4096"
// constraints = ["WORK * LANES <= cols"]
// [tune]
// LANES = [8, 1, 4]          # the first is the default
// MODE = ["fast", "exact"]
// UNROLL = [true, false]
//
// [scratch.partial]
// shape = ["rows", "8"]
// dtype = "float64"
// [[launch]]
// entry = "softmax_rows"
// grid = ["cdiv(rows, LANES)", 1]
// block = ["64", "1"]
// args = { stride = "cols + 1", one = 1 }
// local = { tile = { shape = ["LANES", 64], dtype = "float16" } }
// [[launch]]
// entry = "finish"
// grid = ["rows"]
// ///
__kernel void softmax_rows() {}
"""

names = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=8).filter(lambda n: not n[0].isdigit())
expressions = st.sampled_from(
    [
        "rows",
        "cdiv(rows, 4)",
        "-3",
        "2 ** 5",
        "rows",
        "(rows\n+ 1)",
        "dtype(x) == 'float16'",
        "not a",
    ]
).map(parse)
#: Text a person or a model may put into a string: control characters, quotes, emoji, line separators.
odd_text = st.text(
    st.characters(exclude_categories=("Cs",)) | st.sampled_from('"\\\x00\x07\x1f\x7f\x85\u2028é🙂\r\n\t#=')
)
values = st.one_of(
    st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=4, unique=True),
    st.lists(st.booleans(), min_size=1, max_size=2, unique=True),
    st.lists(odd_text, min_size=1, max_size=4, unique=True),
).map(tuple)
shapes = st.lists(expressions, min_size=0, max_size=3).map(tuple)
scratches = st.builds(Scratch, shape=shapes, dtype=st.sampled_from(list(DTYPES)))


@st.composite
def launches(draw):
    dimensions = draw(st.integers(1, 3))
    grid = tuple(draw(st.lists(expressions, min_size=dimensions, max_size=dimensions)))
    block = draw(st.just(()) | st.just(grid))
    bound = draw(st.lists(names, max_size=4, unique=True))
    args = {name: draw(expressions) for name in bound[::2]}
    local = {name: draw(scratches) for name in bound[1::2]}
    return Launch(draw(names), grid, block, args, local)


kernels = st.builds(
    Kernel,
    language=names,
    # A carriage return before a line feed is the one thing that parsing normalizes away.
    body=odd_text.filter(lambda text: "\r\n" not in text),
    launches=st.lists(launches(), min_size=1, max_size=3).map(tuple),
    tunables=st.dictionaries(names, values, max_size=4),
    constraints=st.lists(expressions, max_size=3).map(tuple),
    scratch=st.dictionaries(names, scratches, max_size=3),
    when=st.none() | expressions,
    comment=st.sampled_from(["//", "#"]),
)


@given(kernels)
def test_a_rendered_kernel_parses_to_itself(kernel):
    text = render_kernel(kernel)
    again = parse_kernel(text)
    assert again == kernel
    assert render_kernel(again) == text
    assert again.digest == kernel.digest


@given(kernels)
def test_windows_line_ends_make_no_difference(kernel):
    kernel = attrs.evolve(kernel, body=kernel.body.replace("\r", ""))
    assert parse_kernel(render_kernel(kernel).replace("\n", "\r\n")) == kernel


@given(kernels, st.integers(0, 10_000), st.text(max_size=4), st.integers(0, 3))
@settings(max_examples=200)
def test_no_mutated_kernel_raises_anything_but_an_error_that_names_file_and_line(kernel, position, insert, drop):
    text = render_kernel(kernel)
    position %= len(text) + 1
    check_parse(text[:position] + insert + text[position + drop :])


@given(st.text() | st.text().map(lambda toml: f"# /// kernel\n# {toml}\n# ///\n"))
@example("# /// kernel\n# x = " + "9" * 5000 + "\n# ///\n")
@example("# /// kernel\n# x = " + "[" * 3000 + "\n# ///\n")
@example("# /// kernel\n# x = 2020-13-45\n# ///\n")
@example("# /// kernel\n# \ud800\n# ///\n")
@example("# /// kernel")
@example("# /// kernel\r")
def test_no_text_raises_anything_but_an_error_that_names_file_and_line(text):
    check_parse(text)


def check_parse(text):
    try:
        kernel = parse_kernel(text, name="k.py")
    except KernelFileError as error:
        file, line, sentence = str(error).split(":", 2)
        assert file == "k.py"
        assert 1 <= int(line) <= text.count("\n") + 2
        assert len(sentence) > 10
    else:
        assert parse_kernel(render_kernel(kernel)) == kernel


def test_a_file_means_what_it_says():
    kernel = parse_kernel(SOFTMAX)
    assert kernel == Kernel(
        language="opencl",
        body="// SPDX-License-Identifier: Apache-2.0\n__kernel void softmax_rows() {}\n",
        launches=(
            Launch(
                entry="softmax_rows",
                grid=(parse("cdiv(rows, LANES)"), parse("1")),
                block=(parse("64"), parse("1")),
                args={"stride": parse("cols + 1"), "one": parse("1")},
                local={"tile": Scratch((parse("LANES"), parse("64")), "float16")},
            ),
            Launch(entry="finish", grid=(parse("rows"),)),
        ),
        tunables={"LANES": (8, 1, 4), "MODE": ("fast", "exact"), "UNROLL": (True, False)},
        constraints=(parse("WORK * LANES <= cols"),),
        scratch={"partial": Scratch((parse("rows"), parse("8")), "float64")},
        when=parse("cols <= 4096"),
        comment="//",
    )


def test_str_is_the_file():
    kernel = parse_kernel(SOFTMAX)
    assert str(kernel) == render_kernel(kernel)
    assert str(kernel).startswith('// /// kernel\n// language = "opencl"\n')


def header(*lines, comment="#"):
    return "\n".join(f"{comment} {line}" for line in ("/// kernel", *lines, "///")) + "\nbody\n"


LAUNCH = ("[[launch]]", 'entry = "f"', 'grid = ["1"]')
LANGUAGE = 'language = "x"'


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "no header; a kernel file starts with '# /// kernel'"),
        ("def f(): pass\n", 1, "no header"),
        ("\n# /// kernel\n# language = 1\n", 4, "the header is not closed; end it with the line '# ///'"),
        ("# /// kernel\n# a = 1\nx = 1\n# ///\n", 3, "the header is not closed"),
        (header(LANGUAGE, "tune = "), 3, "the header is not valid TOML"),
        ("\n\n" + header(LANGUAGE, "tune = "), 5, "the header is not valid TOML"),
        (header(*LAUNCH), 2, 'language is missing or no name; write language = "opencl"'),
        (header("language = 3", *LAUNCH), 2, "language is missing or no name"),
        (header('when = "1"', 'language = "o p"', *LAUNCH), 3, "language is missing or no name"),
        (header(LANGUAGE), 2, "no [[launch]]; declare at least one with entry and grid"),
        (header(LANGUAGE, "launch = 3"), 3, "no [[launch]]"),
        (header(LANGUAGE, "[launch]", 'entry = "f"'), 3, "no [[launch]]"),
        (header(LANGUAGE, "[tunes]", "A = [1]", *LAUNCH), 3, "unknown key 'tunes'; a header has language, when, "),
        (header(LANGUAGE, "[tunes]", "A = [1]", *LAUNCH), 3, "Did you mean 'tune'?"),
        (header(LANGUAGE, "tune = 3", *LAUNCH), 3, "tune: a table is needed, not int"),
        (header(LANGUAGE, "[tune]", "A = 3", *LAUNCH), 4, "tune.A: a list of at least one value is needed"),
        (header(LANGUAGE, "[tune]", "A = [1]", "B = []", *LAUNCH), 5, "tune.B: a list of at least one value"),
        (header(LANGUAGE, "[tune]", "A = [1.5]", *LAUNCH), 4, "tune.A: values are whole numbers, true, false or text"),
        (header(LANGUAGE, "[tune]", "A = [1, 1]", *LAUNCH), 4, "tune.A: values must be of one type, each listed once"),
        (header(LANGUAGE, "[tune]", "A = [1, true]", *LAUNCH), 4, "tune.A: values must be of one type"),
        (header(LANGUAGE, "[tune]", '"a-b" = [1]', *LAUNCH), 3, "tune: 'a-b' is no name; use letters, digits and _"),
        (header(LANGUAGE, "[tune]", '"é" = [1]', *LAUNCH), 3, "tune: 'é' is no name"),
        (header(LANGUAGE, "[scratch]", "p = 3", *LAUNCH), 4, "scratch.p: a shape is needed, as in { shape = "),
        (header(LANGUAGE, "[scratch.p]", 'dtype = "int8"', *LAUNCH), 3, "scratch.p: a shape is needed"),
        (header(LANGUAGE, "[scratch.p]", "shape = 3", *LAUNCH), 4, "scratch.p.shape: a list of expressions is needed"),
        (
            header(LANGUAGE, "[scratch.p]", "shape = [1]", "[scratch.q]", 'shape = ["a +"]', *LAUNCH),
            6,
            "scratch.q.shape: expression 'a +' cannot be read",
        ),
        (
            header(LANGUAGE, "[scratch.p]", "shape = [1]", 'dtype = "float12"', *LAUNCH),
            5,
            "scratch.p.dtype: unknown dtype 'float12'; there is float64, float32",
        ),
        (header(LANGUAGE, "[scratch.p]", "shape = [1]", "size = 3", *LAUNCH), 5, "unknown key 'scratch.p.size'"),
        (header(LANGUAGE, "constraints = 3", *LAUNCH), 3, "constraints: a list of expressions is needed"),
        (header(LANGUAGE, "constraints = [1.5]", *LAUNCH), 3, "an expression is text or a whole number, not 1.5"),
        (header(LANGUAGE, "constraints = [true]", *LAUNCH), 3, "an expression is text or a whole number, not True"),
        (
            header(LANGUAGE, 'constraints = ["rows / 2 > 1"]', *LAUNCH),
            3,
            "constraints: expression 'rows / 2 > 1' uses '/'",
        ),
        (header(LANGUAGE, 'when = "eval(1)"', *LAUNCH), 3, "when: expression 'eval(1)': unknown function 'eval'"),
        (header(LANGUAGE, "[[launch]]", 'grid = ["1"]'), 3, "launch[0].entry is missing or no name"),
        (header(LANGUAGE, "[[launch]]", 'grid = ["1"]', "entry = 3"), 5, "launch[0].entry is missing or no name"),
        (header(LANGUAGE, "[[launch]]", 'entry = "f"'), 3, "launch[0].grid: a list of expressions is needed"),
        (header(LANGUAGE, "[[launch]]", 'entry = "f"', "grid = []"), 5, "launch[0].grid has 0 dimensions; 1 to 3 "),
        (header(LANGUAGE, "[[launch]]", 'entry = "f"', "grid = [1, 1, 1, 1]"), 5, "launch[0].grid has 4 dimensions"),
        (header(LANGUAGE, *LAUNCH, "block = [1, 2]"), 6, "launch[0].block has 2 dimensions and grid has 1"),
        (header(LANGUAGE, *LAUNCH, "[[launch]]", 'entry = "g"', 'grid = ["+"]'), 8, "launch[1].grid: expression '+'"),
        (header(LANGUAGE, *LAUNCH, *LAUNCH, "gird = 3"), 9, "unknown key 'launch[1].gird'; a launch has entry, grid"),
        (header(LANGUAGE, *LAUNCH, *LAUNCH, "gird = 3"), 9, "Did you mean 'grid'?"),
        (header(LANGUAGE, *LAUNCH, "args = 3"), 6, "launch[0].args: a table is needed, not int"),
        (header(LANGUAGE, *LAUNCH, "args = { a = 1.5 }"), 6, "launch[0].args.a: an expression is text or"),
        (
            header(LANGUAGE, *LAUNCH, *LAUNCH, "[launch.args]", "a = 1", 'b = "/"'),
            11,
            "launch[1].args.b: expression '/'",
        ),
        (header(LANGUAGE, *LAUNCH, "local = { t = 3 }"), 6, "launch[0].local.t: a shape is needed"),
        (
            header(LANGUAGE, *LAUNCH, "args = { t = 3 }", "local = { t = { shape = [1] } }"),
            7,
            "launch[0].args and launch[0].local both bind 't'; remove one",
        ),
        ("# /// kernel\n# \ud800\n# ///\n", 2, "holds half of a surrogate pair"),
        ("x" * (MAX_BYTES + 1), 1, f"larger than {MAX_BYTES} bytes"),
        (header("a = " + "9" * 5000), 2, "the header cannot be read"),
        (header("a = " + "[" * 3000), 2, "the header is nested too deeply"),
    ],
)
def test_every_error_names_the_file_the_line_and_what_would_be_right(text, line, says):
    with pytest.raises(KernelFileError) as caught:
        parse_kernel(text, name="kernels/softmax.cl")
    assert str(caught.value).startswith(f"kernels/softmax.cl:{line}: ")
    assert says in str(caught.value)


def test_the_default_configuration_takes_the_first_value_of_each_tunable():
    kernel = parse_kernel(SOFTMAX)
    assert kernel.default == {"LANES": 8, "MODE": "fast", "UNROLL": True}
    assert kernel.configuration() == kernel.default
    assert kernel.configuration({"MODE": "exact"}) == {"LANES": 8, "MODE": "exact", "UNROLL": True}


def test_configurations_list_the_whole_product_the_default_first():
    kernel = parse_kernel(SOFTMAX)
    everything = list(kernel.configurations())
    assert len(everything) == 3 * 2 * 2
    assert everything[0] == kernel.default
    assert len({configuration_label(one) for one in everything}) == 12


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"LANE": 1}, "unknown tunable 'LANE'; there is LANES, MODE, UNROLL. Did you mean 'LANES'?"),
        ({"LANES": 2}, "tunable LANES=2 is not offered; the header lists 8, 1, 4"),
        ({"LANES": True}, "tunable LANES=True is not offered"),
        ({"UNROLL": 1}, "tunable UNROLL=1 is not offered"),
    ],
)
def test_a_configuration_holds_only_what_the_header_offers(values, says):
    with pytest.raises(KernelFileError) as caught:
        parse_kernel(SOFTMAX).configuration(values)
    assert says in str(caught.value)


def test_a_configurations_label_is_sorted_and_short():
    assert configuration_label({"WORK": 2, "LANES": 8, "FAST": True}) == "FAST=True,LANES=8,WORK=2"
    assert configuration_label({}) == ""


def test_another_body_keeps_the_header_and_changes_the_digest():
    kernel = parse_kernel(SOFTMAX)
    other = kernel.with_body("void g() {}\n")
    assert other.launches == kernel.launches
    assert other.body == "void g() {}\n"
    assert other.digest != kernel.digest
    assert len(kernel.digest) == 16


class TestReading:
    def test_a_file_is_read_with_its_path_in_errors(self, tmp_path):
        path = tmp_path / "k.cl"
        path.write_text(SOFTMAX, encoding="utf-8")
        assert read_kernel(path) == parse_kernel(SOFTMAX)
        path.write_text("nothing", encoding="utf-8")
        with pytest.raises(KernelFileError, match="no header") as caught:
            read_kernel(path)
        assert str(caught.value).startswith(f"{path}:1: ")

    def test_a_byte_order_mark_and_windows_line_ends_are_fine(self, tmp_path):
        path = tmp_path / "k.py"
        path.write_bytes(b"\xef\xbb\xbf" + header(LANGUAGE, *LAUNCH).replace("\n", "\r\n").encode())
        assert read_kernel(path) == parse_kernel(header(LANGUAGE, *LAUNCH))

    def test_what_cannot_be_read_is_named(self, tmp_path):
        binary, big = tmp_path / "k.bin", tmp_path / "big.py"
        binary.write_bytes(b"\xff\xfe\x00")
        big.write_bytes(b" " * (MAX_BYTES + 1))
        for path, says in [
            (binary, "not UTF-8 text"),
            (big, f"{MAX_BYTES + 1} bytes; a kernel file has at most {MAX_BYTES}"),
            (tmp_path / "absent.py", "cannot be read (No such file or directory); give the path of a kernel file"),
            (tmp_path, "cannot be read (Is a directory)"),
        ]:
            with pytest.raises(KernelFileError) as caught:
                read_kernel(path)
            assert says in str(caught.value)
            assert str(path) in str(caught.value)


class TestReferencePage:
    """The examples of docs/reference/kernel-file.md are what they say."""

    PAGE = Path(__file__).parents[1] / "docs" / "reference" / "kernel-file.md"

    def blocks(self, language):
        return re.findall(
            rf"^```{language}\n(.*?)^```", self.PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )

    def plan(self, text, problem, facts):
        kernel = parse_kernel(text)
        language = registry.language(kernel.language)
        language.gate(kernel.body)
        entries = language.entries(kernel.body)
        return make_plan(kernel, problem, problem.workloads[0], kernel.default, entries, facts)

    def test_the_opencl_example_passes_the_gate_and_binds(self):
        matrix = attrs.evolve(samples.problem(), workloads=("rows=6,cols=10",))
        plan = self.plan(self.blocks("c")[0], matrix, {"max_group_size": 256})
        assert [(one.entry, one.grid, one.block) for one in plan.launches] == [
            ("row_totals", (6,), (64,)),
            ("divide", (1,), (64,)),
        ]
        assert plan.launches[0].arguments[-1] == LocalArgument("partial", 64 * 4)
        assert plan.launches[1].arguments[-1] == ScalarArgument("elements", 60)

    def test_the_reference_example_computes_what_its_source_says(self):
        accelerator = ReferenceAccelerator()
        device = accelerator.devices()[0]
        plan = self.plan(self.blocks("python")[0], samples.problem(), device.facts)
        with accelerator.open(device) as session:
            buffers = {one.name: session.allocate(BufferSpec(one.nbytes)) for one in plan.buffers}
            x = np.arange(4 * 8, dtype=np.float32)
            session.upload(buffers["x"], memoryview(x))
            program = session.load(accelerator.compile(plan, device.target))
            assert session.time(session.bind(program, plan.launches, buffers)).cycles == 4 * 8 * 10
            assert session.download(buffers["y"]) == (2 * x + 1).tobytes()

    def test_the_error_is_quoted_word_for_word(self):
        text = header("[[launch]]", 'entry = "f"', 'grid = ["cdib(rows, 4)"]').replace(
            "kernel\n", f"kernel\n# {LANGUAGE}\n", 1
        )
        with pytest.raises(KernelFileError) as caught:
            parse_kernel(text, name="softmax.py")
        assert str(caught.value) == self.blocks("text")[0].strip()

    def test_the_session_in_python_runs_as_printed(self):
        test = doctest.DocTestParser().get_doctest(self.blocks("pycon")[0], {}, "kernel-file.md", None, 0)
        results = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL).run(test)
        assert (results.failed, results.attempted) == (0, 6)

    @pytest.mark.parametrize("key", [*_TOP, *_LAUNCH, "shape", "dtype", *FUNCTIONS, *DEVICE_FACTS])
    def test_every_key_function_and_fact_is_described(self, key):
        assert re.search(rf"`\[*{key}\b", self.PAGE.read_text(encoding="utf-8"))
