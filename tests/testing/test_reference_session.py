"""The reference session is strict with its caller, asynchronous, and has a clock that can be computed by hand."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from kernelevolve.accelerator import BufferSpec, Source
from kernelevolve.outcome import DeviceFault, DeviceLost, LaunchError, Outcome, OutOfMemory, Rejected
from kernelevolve.testing import samples
from kernelevolve.testing.accelerator import ReferenceAccelerator
from kernelevolve.testing.memory import ContractError

from .conftest import GUARD, compiled


def row_kernel(*statements: str, constants: str = "") -> str:
    body = "\n".join(f"    {statement}" for statement in statements)
    return samples.kernel_text(f"{constants}\n\n\ndef affine(x, y, rows, cols):\n{body}\n")


def test_a_launch_returns_before_it_ran_and_synchronize_raises_what_it_failed_with(bench):
    made = bench(row_kernel("y[rows * cols] = 1.0"))
    assert made.session.launch(made.call) is None
    with pytest.raises(DeviceFault, match=r"affine, line 7: IndexError: index 32 is out of bounds"):
        made.session.synchronize()


@pytest.mark.parametrize("statement", ["fault()", "lose_device()", "assert rows < 0", "store(y, 10**9, 1.0)"])
def test_a_device_fault_sticks_to_the_session_but_buffers_can_still_be_freed(bench, statement):
    made = bench(row_kernel(statement))
    made.session.launch(made.call)
    with pytest.raises((DeviceFault, DeviceLost)) as first:
        made.session.synchronize()
    for use in (made.session.synchronize, lambda: made.session.download(made.buffers["y"]), made.run):
        with pytest.raises(type(first.value)) as again:
            use()
        assert again.value is first.value
    assert made.session.free(made.buffers["y"]) is None


def test_a_launch_failure_is_not_sticky(bench):
    text = samples.kernel_text(samples._ROW, tune="MANY = [1, 16777216]").replace('["rows"]', '["rows", "MANY"]')
    made = bench(text, configuration={"MANY": 2**24})
    with pytest.raises(LaunchError) as caught:
        made.session.launch(made.call)
    assert caught.value.details == {"code": "INVALID_GRID"}
    assert made.session.synchronize() is None


def test_groups_see_their_place_in_the_grid_and_the_grids_size(bench):
    text = samples.kernel_text(
        """def affine(x, y, rows, cols):
    place = program_id(0) * num_programs(1) + program_id(1)
    y[place] = 100 * num_programs(0) + 10 * num_programs(1) + num_programs(2) + program_id(2)
"""
    ).replace('["rows"]', '["rows", "cols"]')
    assert bench(text).run().tolist() == [400 + 80 + 1] * 32


def test_a_kernel_that_counts_on_the_order_of_groups_differs_from_run_to_run(bench):
    made = bench(row_kernel("y[:] = program_id(0)"))
    assert [made.run()[0] for _ in range(3)] == [3.0, 0.0, 3.0]


def test_local_memory_arrives_poisoned_for_every_group(bench):
    text = samples.kernel_text(
        """def affine(x, y, rows, cols, tile):
    scratch = tile.view(np.int32)
    y[program_id(0)] = scratch[0]
    scratch[0] = 7
"""
    ).replace('["rows"]', '["rows"]\n# local = { tile = { shape = ["cols"], dtype = "int32" } }')
    assert bench(text).run()[:4].tolist() == [-1.0] * 4


def test_tunables_are_constants_of_the_module_and_text_stays_text(bench):
    text = samples.kernel_text(
        """def affine(x, y):
    y[:] = LANES if MODE == "fast" else -1
""",
        tune='LANES = [3, 4]\nMODE = ["slow", "fast"]',
    )
    assert bench(text, configuration={"LANES": 4, "MODE": "fast"}).run()[0] == 4.0
    assert bench(text).run()[0] == -1.0


def test_unchecked_loads_read_the_guard_zone_that_the_core_filled(bench):
    made = bench(row_kernel("y[0] = load(y, -1)", "y[1] = load(y[2:], -2)"))
    got = made.run()
    assert got[:1].tobytes() == b"\xab" * 4
    assert got[1] == got[0] or np.isnan(got[0])


def test_memory_starts_as_noise_that_differs_between_buffers(bench):
    made = bench(samples.GOOD)
    x, y = (made.session.download(made.buffers[name], guards=True) for name in ("x", "y"))
    assert len(x) == len(y) == 4 * 8 * 4 + 2 * GUARD
    assert len({*x}) > 50
    assert x != y


def test_fill_reaches_the_guards_only_when_asked_to(bench):
    made = bench(samples.GOOD)
    made.session.fill(made.buffers["y"], 1, guards=True)
    made.session.fill(made.buffers["y"], 2, guards=False)
    assert made.session.download(made.buffers["y"], guards=True) == b"\1" * GUARD + b"\2" * 128 + b"\1" * GUARD


def test_memory_runs_out_and_freeing_gives_it_back(bench):
    session = bench(samples.GOOD).session
    session.device = attrs.evolve(session.device, memory={"global": 4096})
    kept = session.allocate(BufferSpec(2000, 0))
    with pytest.raises(OutOfMemory) as caught:
        session.allocate(BufferSpec(2000, 0))
    assert caught.value.details == {"needed": 2 * (128 + 2 * GUARD) + 4000, "limit": 4096}
    session.free(kept)
    assert session.allocate(BufferSpec(2000, 0)).spec == BufferSpec(2000, 0)


def test_say_prints_on_the_process_own_standard_output(bench, capfd):
    bench(row_kernel('say("hello")')).run()
    assert capfd.readouterr().out == "hello\n" * 4


class TestClock:
    def test_a_time_is_the_declared_cycles_of_a_gigahertz_clock(self, bench):
        made = bench(samples.GOOD)
        sample = made.session.time(made.call, launches=3)
        assert (sample.cycles, sample.launches, sample.source) == (4 * 8 * 10, 3, Source.EMULATED_CYCLES)
        assert sample.seconds == 320e-9
        assert sample.host_seconds is None

    def test_the_default_cost_counts_launches_groups_and_bytes(self, bench):
        made = bench(samples.TWO_LAUNCHES)
        assert made.session.time(made.call).cycles == 2 * (1000 + 2 * 4 * 8 * 4 // 8) + 20 * 4 + 20 * 8

    def test_the_cost_sees_tunables_and_device_facts(self, bench):
        text = samples.kernel_text(
            'COST = "LANES * 1000 + num_units + items"\n\n\ndef affine(x):\n    pass\n', tune="LANES = [3]"
        )
        assert bench(text).session.device.facts["num_units"] == 4
        made = bench(text)
        assert made.session.time(made.call).cycles == 3000 + 4 + 4

    def test_each_entry_can_have_its_own_cost(self, bench):
        text = samples.TWO_LAUNCHES.replace("import numpy as np\n", 'COST = {"double": "100", "increment": "7"}\n')
        made = bench(text)
        assert made.session.time(made.call).cycles == 107

    def test_a_kernel_with_a_warm_price_pays_the_cold_one_once_per_flush(self, bench):
        made = bench(row_kernel("pass", constants='COST = "1000"\nWARM = "100"'))
        session, call = made.session, made.call
        assert [session.time(call).cycles for _ in range(3)] == [1000, 100, 100]
        session.flush()
        assert session.time(call, launches=4).cycles == (1000 + 3 * 100) / 4

    def test_noise_stays_in_its_range_and_repeats_in_a_new_session(self, bench):
        text = samples.GOOD.replace("COST", "NOISE = 0.1\nCOST")
        first, second = bench(text), bench(text)
        cycles = [first.session.time(first.call).cycles for _ in range(30)]
        assert cycles == [second.session.time(second.call).cycles for _ in range(30)]
        assert len(set(cycles)) > 10
        assert all(288 <= one <= 352 for one in cycles)

    def test_timing_really_runs_the_kernel(self, bench):
        made = bench(samples.GOOD)
        made.session.upload(made.buffers["x"], memoryview(made.x))
        made.session.time(made.call)
        assert made.session.download(made.buffers["y"]) == made.want.tobytes()

    def test_a_cost_without_a_value_is_a_launch_error(self, bench):
        with pytest.raises(LaunchError, match="divides by zero"):
            bench(row_kernel("pass", constants='COST = "rows // (cols - 8)"'))


class TestMisuse:
    def refuses(self, says, use):
        with pytest.raises(ContractError, match=says):
            use()

    def test_nothing_works_after_closing(self, bench):
        made = bench(samples.GOOD)
        made.session.close()
        for use in (made.session.synchronize, made.run, lambda: made.session.time(made.call), made.session.flush):
            self.refuses("the session is closed", use)
        self.refuses("the session is closed", lambda: made.session.free(made.buffers["x"]))
        self.refuses("the session is closed", lambda: made.session.launch(made.call))

    def test_leaving_the_context_closes(self):
        accelerator = ReferenceAccelerator()
        with accelerator.open(accelerator.devices()[0]) as session:
            session.synchronize()
        self.refuses("the session is closed", session.synchronize)

    def test_uploads_have_exactly_the_payloads_size(self, bench):
        made = bench(samples.GOOD)
        for size in (127, 129):
            self.refuses(
                f"{size} bytes into a payload of 128",
                lambda size=size: made.session.upload(made.buffers["x"], memoryview(bytes(size))),
            )
        self.refuses("data is a bytes", lambda: made.session.upload(made.buffers["x"], bytes(128)))

    def test_freed_buffers_cannot_be_used(self, bench):
        made = bench(samples.GOOD)
        made.session.free(made.buffers["y"])
        self.refuses("was freed", lambda: made.session.free(made.buffers["y"]))
        self.refuses("was freed", lambda: made.session.download(made.buffers["y"]))
        self.refuses("was freed", lambda: made.session.fill(made.buffers["y"], 0, guards=False))
        self.refuses("was freed", lambda: made.session.bind(made.program, made.plan.launches, made.buffers))
        self.refuses("was freed after it was bound", lambda: made.session.launch(made.call))
        self.refuses("was freed after it was bound", lambda: made.session.time(made.call))

    def test_a_buffer_that_a_queued_launch_uses_cannot_be_freed(self, bench):
        made = bench(samples.GOOD)
        made.session.launch(made.call)
        self.refuses("has not run; synchronize first", lambda: made.session.free(made.buffers["y"]))
        made.session.synchronize()
        assert made.session.free(made.buffers["y"]) is None

    def test_things_of_another_session_are_foreign(self, bench):
        one, other = bench(samples.GOOD), bench(samples.GOOD)
        self.refuses("allocated by another session", lambda: one.session.download(other.buffers["x"]))
        self.refuses(
            "allocated by another session", lambda: one.session.bind(one.program, one.plan.launches, other.buffers)
        )
        self.refuses(
            "loaded by another session", lambda: one.session.bind(other.program, one.plan.launches, one.buffers)
        )
        self.refuses("bound by another session", lambda: one.session.launch(other.call))
        self.refuses("bound by another session", lambda: one.session.time(other.call))
        self.refuses("bound by another session", lambda: one.session.launch(one.program))

    def test_launches_are_bound_as_they_were_planned(self, bench):
        made = bench(samples.GOOD)
        launch = made.plan.launches[0]

        def bind(buffers=made.buffers, **changes):
            return lambda: made.session.bind(made.program, [attrs.evolve(launch, **changes)], buffers)

        self.refuses("no entry 'other'", bind(entry="other"))
        self.refuses("in the wrong order", bind(arguments=launch.arguments[::-1]))
        self.refuses(r"the grid is \(0,\)", bind(grid=(0,)))
        self.refuses(r"the grid is \(\)", bind(grid=()))
        self.refuses("has more than 256 items", bind(block=(257,)))
        self.refuses("no buffer 'y' was given", bind(buffers={"x": made.buffers["x"]}))
        odd = made.session.allocate(BufferSpec(127))
        self.refuses("x is no whole float32", bind(buffers={**made.buffers, "x": odd}))

    def test_numbers_out_of_range_are_refused(self, bench):
        made = bench(samples.GOOD)
        self.refuses("0 launches", lambda: made.session.time(made.call, launches=0))
        self.refuses("pattern 256 is no byte", lambda: made.session.fill(made.buffers["x"], 256, guards=False))
        self.refuses("a buffer of 0 bytes", lambda: made.session.allocate(BufferSpec(0)))

    def test_artifacts_of_others_do_not_load(self, bench):
        session, artifact = bench(samples.GOOD).session, compiled(samples.GOOD)
        wrong = {
            "no artifact of this accelerator": {"extra": {}},
            "compiled for reference:2": {"extra": {**artifact.extra, "target": "reference:2"}},
            "compiled by another toolchain": {"toolchain": {**artifact.toolchain, "reference": "0"}},
        }
        for says, changes in wrong.items():
            self.refuses(says, lambda changes=changes: session.load(attrs.evolve(artifact, **changes)))
        with pytest.raises(Rejected):
            session.load(attrs.evolve(artifact, stages={"program": b"import os"}))


def test_every_typed_failure_of_a_kernel_has_a_sentence(bench):
    made = bench(samples.FAILING[Outcome.DEVICE_LOST])
    with pytest.raises(DeviceLost, match="the device dropped off the bus"):
        made.run()
