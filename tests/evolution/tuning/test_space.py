"""The space enumerates, samples and identifies configurations."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.evolution.tuning import Space

VALUES = st.one_of(
    st.booleans(), st.integers(-8, 64), st.sampled_from([0.5, 1.5]), st.sampled_from(["row", "column", ""])
)
TUNABLES = st.dictionaries(
    st.sampled_from("abcd"), st.lists(VALUES, min_size=1, max_size=4, unique_by=repr), min_size=1, max_size=4
)


@given(TUNABLES)
def test_a_space_of_values_is_their_product(tunables):
    space = Space.from_values(tunables)
    want = {repr(c) for c in itertools.product(*tunables.values())}
    assert {repr(tuple(c[name] for name in tunables)) for c in space} == want
    assert len(space) == len(want)
    assert space.complete


@given(TUNABLES)
def test_encoding_and_decoding_are_inverse(tunables):
    space = Space.from_values(tunables)
    for index in range(len(space)):
        row = space.encode(space[index])
        assert space.index(row) == index
        assert repr(space.decode(row)) == repr(space[index])


@given(TUNABLES)
def test_a_list_of_configurations_gives_the_same_space_in_its_order(tunables):
    configurations = list(Space.from_values(tunables))[::-1]
    space = Space.from_configurations([*configurations, *configurations])
    assert [repr(c) for c in space] == [repr(c) for c in configurations]


def test_the_predicate_filters():
    space = Space.from_values({"x": [1, 2, 4], "y": [1, 2, 4]}, lambda c: c["x"] * c["y"] <= 4)
    assert len(space) == 6
    assert {"x": 4, "y": 4} not in space
    assert {"x": 4, "y": 1} in space


def test_true_and_one_are_different_values_and_one_point_nought_is_one():
    space = Space.from_values({"x": [1, True, 1.0]})
    assert [type(c["x"]) for c in space] == [bool, int]


def test_a_product_over_the_limit_is_sampled_without_repetition_and_within_the_predicate():
    tunables = {name: list(range(10)) for name in "abcdef"}
    space = Space.from_values(tunables, lambda c: c["a"] < c["b"], limit=500, seed=3)
    assert len(space) == 500
    assert not space.complete
    assert all(c["a"] < c["b"] for c in space)
    assert len({tuple(c.values()) for c in space}) == 500
    assert list(space) == list(Space.from_values(tunables, lambda c: c["a"] < c["b"], limit=500, seed=3))


def test_a_sampled_space_knows_valid_configurations_it_did_not_draw():
    tunables = {name: list(range(10)) for name in "abcdef"}
    space = Space.from_values(tunables, lambda c: c["a"] < c["b"], limit=50)
    outside = next(
        c for c in (dict.fromkeys("acdef", 0) | {"b": b} for b in range(1, 10)) if space.index(space.encode(c)) is None
    )
    assert outside in space
    assert outside | {"a": 9} not in space
    near = [space.decode(row) for row in space.unlisted_neighbours(space.codes[0])]
    assert near
    assert all(sum(c[name] != space[0][name] for name in "abcdef") == 1 and c["a"] < c["b"] for c in near)


def test_a_sample_gives_up_where_valid_configurations_are_too_rare():
    space = Space.from_values({n: list(range(30)) for n in "abc"}, lambda c: c["a"] == c["b"] == 0, limit=600)
    assert 1 <= len(space) <= 30


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Space.from_values({"x": []}), ValueError, "tunable 'x' has no values"),
        (lambda: Space.from_values({"x": [1]}, lambda _: False), ValueError, "space over x is empty"),
        (lambda: Space.from_values({"x": range(40_000)}), ValueError, "has 40000 values; 32767 is the most"),
        (lambda: Space.from_values({"x": [1]}, limit=0), ValueError, "limit is 0"),
        (lambda: Space.from_values({"x": [None]}), TypeError, "NoneType"),
        (lambda: Space.from_values({"x": [float("nan")]}), ValueError, "not finite"),
        (lambda: Space.from_configurations([]), ValueError, "at least one configuration"),
        (lambda: Space.from_configurations([{"x": 1}, {"y": 1}]), ValueError, "configuration 1 has tunables ['y']"),
        (lambda: Space.from_values({"x": [1, 2]}).encode({"x": 3}), ValueError, "cannot be 3; its values are 1, 2"),
        (lambda: Space.from_values({"x": [1]}).encode({"y": 1}), ValueError, "the space has ['x']"),
    ],
)
def test_errors_say_what_would_be_right(build, error, message):
    with pytest.raises(error) as caught:
        build()
    assert message in str(caught.value)


def test_a_configuration_outside_a_complete_space_is_an_error():
    space = Space.from_values({"x": [1, 2], "y": [1, 2]}, lambda c: c["x"] != c["y"])
    with pytest.raises(ValueError, match="violates a constraint"):
        space.encode({"x": 1, "y": 1})


def test_a_space_without_tunables_has_one_empty_configuration():
    assert list(Space.from_values({})) == [{}]
