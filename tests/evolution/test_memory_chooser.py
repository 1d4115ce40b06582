from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.errors import UnknownNameError
from kernelevolve.evolution.memory import MEMORIES, FixedMemory, MemoryBandit, MemoryChooser, make_memory
from kernelevolve.store import Memory

histories = st.lists(
    st.tuples(st.sampled_from(Memory), st.floats(0, 1), st.floats(0, 100), st.floats(0, 1)), max_size=60
)


def play(chooser: MemoryChooser, pays: dict[Memory, float], steps: int, *, seed: int = 0) -> Counter[Memory]:
    """Let it choose; each memory earns 1 with its own chance. How often each was chosen."""
    rng, chosen = Random(seed), Counter[Memory]()
    for _ in range(steps):
        memory = chooser.choose(rng)
        chosen[memory] += 1
        chooser.record(memory, float(rng.random() < pays[memory]), 1.0)
    return chosen


def test_every_memory_is_tried() -> None:
    assert set(play(MemoryBandit(), dict.fromkeys(Memory, 0.2), 12)) == set(Memory)


@pytest.mark.parametrize("best", Memory)
def test_effort_moves_to_the_memory_that_pays(best: Memory) -> None:
    chosen = play(MemoryBandit(), {memory: 0.6 if memory is best else 0.05 for memory in Memory}, 300)
    assert chosen[best] > 150


def test_it_lets_go_of_a_memory_that_helped_at_the_start_and_anchors_later() -> None:
    chooser = MemoryBandit()
    early = play(chooser, {**dict.fromkeys(Memory, 0.05), Memory.BOTH: 0.6}, 100)
    late = play(chooser, {**dict.fromkeys(Memory, 0.02), Memory.NONE: 0.4}, 150, seed=1)
    assert early[Memory.BOTH] > 50
    assert late[Memory.NONE] > 75


def test_of_memories_that_pay_alike_the_cheaper_prompt_wins() -> None:
    chooser, rng, chosen = MemoryBandit(), Random(0), Counter[Memory]()
    for _ in range(300):
        memory = chooser.choose(rng, [Memory.NONE, Memory.BOTH])
        chosen[memory] += 1
        chooser.record(memory, float(rng.random() < 0.3), 1.0, dollars=0.05 if memory is Memory.BOTH else 0.01)
    assert chosen[Memory.NONE] > 1.5 * chosen[Memory.BOTH]


@given(past=histories, seed=st.integers(0, 1000), available=st.sets(st.sampled_from(Memory)))
def test_the_same_history_and_randomness_give_the_same_choice(
    past: list[tuple[Memory, float, float, float]], seed: int, available: set[Memory]
) -> None:
    one, two = MemoryBandit(), MemoryBandit()
    for chooser in (one, two):
        for memory, reward, seconds, dollars in past:
            chooser.record(memory, reward, seconds, dollars)
    among = tuple(available)
    assert one.choose(Random(seed), among) == two.choose(Random(seed), among)
    assert one.choose(Random(seed), among) in {*available, Memory.NONE}
    assert set(one.scores()) == set(Memory)


def test_a_fixed_memory_shows_what_there_is_of_it() -> None:
    both, rng = FixedMemory(Memory.BOTH), Random(0)
    both.record(Memory.NONE, 1.0, 1.0)
    assert both.choose(rng) is Memory.BOTH
    assert both.choose(rng, [Memory.NONE, Memory.SIBLINGS]) is Memory.SIBLINGS
    assert both.choose(rng, [Memory.NONE]) is Memory.NONE
    assert FixedMemory(Memory.PARENT).choose(rng, [Memory.NONE, Memory.SIBLINGS]) is Memory.NONE


def test_choosers_are_made_by_name() -> None:
    assert MEMORIES == ("bandit", "none", "parent", "siblings", "both")
    assert isinstance(make_memory("bandit"), MemoryBandit)
    assert make_memory("siblings") == FixedMemory(Memory.SIBLINGS)
    assert all(isinstance(make_memory(name), MemoryChooser) for name in MEMORIES)


def test_an_unknown_memory_is_an_error_that_lists_the_names() -> None:
    with pytest.raises(
        UnknownNameError, match=r"there is bandit, none, parent, siblings, both\. Did you mean 'parent'"
    ):
        make_memory("parents")


def test_a_reward_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="a reward is from 0 to 1"):
        MemoryBandit().record(Memory.NONE, 2.0, 1.0)
