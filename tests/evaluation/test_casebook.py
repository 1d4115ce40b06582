"""The secret cases of one run: prepared once, the same for one secret, different for another."""

from __future__ import annotations

import pytest
import torch
from attrs import evolve

from kernelevolve import Workload, registry
from kernelevolve.accelerator import Realm
from kernelevolve.evaluation.casebook import TIMED, CaseBook, default_workload
from kernelevolve.evaluation.cases import tensor_bytes
from kernelevolve.outcome import WrongResult
from kernelevolve.testing import samples

WORKLOAD = Workload.parse("rows=16,cols=32")


def book(secret: int = 1, dtypes: tuple[str, ...] = ("float32",)) -> CaseBook:
    return CaseBook(samples.problem(), secret, limit_bytes=1 << 20, dtypes=dtypes)


def test_one_secret_gives_the_same_cases_and_another_gives_others() -> None:
    drawn = [[case.staged.inputs["x"] for case in book(secret).checks()] for secret in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_timed_inputs_can_be_the_same_in_every_run_while_checks_stay_secret() -> None:
    one, other = (
        CaseBook(samples.problem(), secret, limit_bytes=1 << 20, dtypes=("float32",), timed=0) for secret in (1, 2)
    )
    timed = [[case.staged.inputs["x"] for case in book_.rotations(WORKLOAD, 2)] for book_ in (one, other)]
    checked = [[case.staged.inputs["x"] for case in book_.checks()] for book_ in (one, other)]
    assert timed[0] == timed[1]
    assert checked[0] != checked[1]


def test_an_emulated_device_times_what_is_tagged_for_it() -> None:
    device = registry.accelerator("reference").devices()[0]
    plain = samples.problem()
    assert default_workload(plain, device) == plain.workloads[0]
    smoke = evolve(plain, workloads=(*plain.workloads, Workload.parse("rows=9,cols=9", ["smoke"])))
    assert default_workload(smoke, device).label == "rows=9,cols=9"
    tagged = evolve(smoke, workloads=(*smoke.workloads, Workload.parse("rows=8,cols=8", ["emulated"])))
    assert default_workload(tagged, device).label == "rows=8,cols=8"
    assert default_workload(tagged, evolve(device, realm=Realm.INTERPRETED)).label == "rows=9,cols=9"


def test_cases_are_prepared_once() -> None:
    one = book()
    assert one.checks() is one.checks()
    assert one.rotations(WORKLOAD, 3)[1] is one.rotations(WORKLOAD, 2)[1]


def test_staged_keys_never_collide() -> None:
    one = book()
    cases = [*one.checks(), *one.rotations(WORKLOAD, 3), *one.rotations(Workload.parse("rows=4,cols=8"), 3)]
    assert len({case.staged.key for case in cases}) == len(cases)


def test_rotations_hold_different_normal_inputs_of_the_workloads_size() -> None:
    cases = book().rotations(WORKLOAD, 3)
    assert len({case.staged.inputs["x"] for case in cases}) == 3
    for case in cases:
        assert case.case.distribution == TIMED
        assert case.inputs["x"].shape == (16, 32)
        assert bytes(tensor_bytes(case.inputs["x"])) == case.staged.inputs["x"]


def test_cases_whose_types_the_device_lacks_are_left_out() -> None:
    half = evolve(samples.problem(), hidden=("rows=3,cols=5", "rows=2,cols=2,x:float16,y:float16"))
    labels = {
        dtypes: {case.workload.label for case in CaseBook(half, 1, limit_bytes=1 << 20, dtypes=dtypes).checks()}
        for dtypes in (("float32",), ("float32", "float16"))
    }
    assert labels["float32", "float16"] - labels["float32",] == {"rows=2,cols=2,x:float16,y:float16"}


def test_the_right_bytes_pass_and_one_wrong_element_is_named() -> None:
    case = book().rotations(WORKLOAD, 1)[0]
    right = 2 * case.inputs["x"] + 1
    case.check("y", bytes(tensor_bytes(right)))
    right[3, 4] += 1
    with pytest.raises(WrongResult) as caught:
        case.check("y", bytes(tensor_bytes(right)))
    assert (caught.value.details["first_bad_index"], caught.value.details["count"]) == ([3, 4], 1)


def test_the_reference_runs_on_the_cases_own_inputs() -> None:
    case = book().rotations(WORKLOAD, 1)[0]
    (found,) = book().run_reference(case)
    assert torch.equal(found, 2 * case.inputs["x"] + 1)
