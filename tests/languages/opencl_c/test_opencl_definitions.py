import pytest

from kernelevolve.languages.opencl_c import check_definition
from kernelevolve.outcome import Rejected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LANES", 8),
        ("FAST", True),
        ("ACC", "float"),
        ("ACC", "float4"),
        ("STEP", "1.5e3f"),
        ("OFF", "-3"),
        ("F", "native_exp"),
    ],
)
def test_names_and_numbers_can_be_defined(name: str, value: int | bool | str) -> None:
    check_definition(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("D6", 'asm("nop")'),
        ("D6", "asm"),
        ("E7", "__builtin_trap"),
        ("E7", "f(x)"),
        ("A8", "static"),
        ("A8", "1; __global int calls"),
        ("B9", "1\n#include </etc/passwd>"),
        ("LANES", ""),
        ("LANES", "8 8"),
        ("exp", 1),
        ("barrier", 0),
        ("float", "half"),
        ("__global", 1),
        ("if", 1),
        ("printf", 1),
    ],
)
def test_code_and_words_of_the_language_cannot(name: str, value: int | str) -> None:
    with pytest.raises(Rejected, match="tunable") as caught:
        check_definition(name, value)
    assert caught.value.details["rule"] == "tunable"
