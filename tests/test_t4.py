"""T4 files are read to seconds and outcomes; malformed ones are named with what would be right."""

import copy
import gzip
import json

import pytest

from kernelevolve.evolution.tuning import Space
from kernelevolve.t4 import T4Error, T4Outcome, read_t4

GOOD = {
    "schema_version": "1.0.0",
    "metadata": {"timeunit": "miliseconds"},
    "results": [
        {
            "configuration": {"block": 32, "shared": 0},
            "times": {"compilation": 900.0, "runtimes": [3.0, 2.0, 7.0]},
            "invalidity": "correct",
            "measurements": [{"name": "time", "value": 4.0, "unit": ""}],
        },
        {
            "configuration": {"block": 64, "shared": 1},
            "times": {"compilation": 800.0, "runtimes": [1.0, 1.5]},
            "invalidity": "correct",
        },
        {"configuration": {"block": 64, "shared": 0}, "times": {}, "invalidity": "compile"},
        {"configuration": {"block": 32, "shared": 1}, "times": {"runtimes": [0.1]}, "invalidity": "runtime"},
    ],
}


def write(folder, document, name="space_T4.json"):
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def changed(*keys, to):
    document = copy.deepcopy(GOOD)
    place = document
    for key in keys[:-1]:
        place = place[key]
    if to is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = to
    return document


def test_run_times_are_medians_in_seconds(tmp_path):
    file = read_t4(write(tmp_path, GOOD))
    assert [record.seconds for record in file.records] == [
        pytest.approx(0.003),
        pytest.approx(0.00125),
        None,
        None,
    ]
    assert file.records[0].samples == pytest.approx((0.003, 0.002, 0.007))
    assert file.records[0].compile_seconds == pytest.approx(0.9)
    assert file.best.configuration == {"block": 64, "shared": 1}
    assert file.tunables == {"block": (32, 64), "shared": (0, 1)}
    assert file.metadata == {"timeunit": "miliseconds"}


def test_a_failed_configuration_has_no_time_even_where_samples_were_recorded(tmp_path):
    record = read_t4(write(tmp_path, GOOD)).records[3]
    assert record.outcome is T4Outcome.RUNTIME
    assert record.seconds is None
    assert record.samples == ()


def test_a_gzipped_file_reads_the_same_whatever_its_name(tmp_path):
    plain = read_t4(write(tmp_path, GOOD))
    packed = tmp_path / "space.bin"
    packed.write_bytes(gzip.compress(json.dumps(GOOD).encode()))
    assert read_t4(packed).records == plain.records


def test_its_space_has_the_failed_configurations_too(tmp_path):
    space = Space.from_configurations([record.configuration for record in read_t4(write(tmp_path, GOOD)).records])
    assert len(space) == 4
    assert {"block": 64, "shared": 0} in space


def test_the_unit_comes_from_the_measurement_or_the_caller_where_the_metadata_has_none(tmp_path):
    document = changed("metadata", to=None)
    with pytest.raises(T4Error, match="gives no time unit"):
        read_t4(write(tmp_path, document))
    assert read_t4(write(tmp_path, document), timeunit="us").records[0].seconds == pytest.approx(3e-6)
    for result in document["results"]:
        result["measurements"] = [{"name": "time", "unit": "seconds"}]
    assert read_t4(write(tmp_path, document), timeunit="us").records[0].seconds == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is a list; it must be a JSON object with 'results'"),
        ({}, "results: is missing; it must be a list"),
        ({"results": []}, "results: is empty"),
        ({"results": [3]}, "results[0]: is a int; it must be an object with 'configuration'"),
        (changed("results", 1, "configuration", to=None), "results[1].configuration: is missing"),
        (changed("results", 1, "configuration", "block", to=[1]), "results[1].configuration.block: is [1]"),
        (changed("results", 1, "configuration", "extra", to=1), "results[1].configuration: has ['block', 'extra'"),
        (changed("results", 1, "configuration", to={"block": 32, "shared": 0}), "repeats results[0]"),
        (changed("results", 0, "invalidity", to="fine"), "results[0].invalidity: is 'fine'; it must be one of correct"),
        (
            changed("results", 0, "times", "runtimes", to=None),
            "results[0].times.runtimes: is missing; it must be a list of numbers",
        ),
        (changed("results", 0, "times", "runtimes", to=[1, "x"]), "results[0].times.runtimes[1]: is 'x'"),
        (changed("results", 0, "times", "runtimes", to=[-1.0]), "results[0].times.runtimes[0]: is -1.0"),
        (changed("results", 0, "times", "runtimes", to=[]), "results[0].times.runtimes: is empty"),
        (changed("results", 0, "times", "runtimes", to=[0.0]), "median that is not positive"),
        (changed("metadata", "timeunit", to="fortnights"), "metadata.timeunit: has the time unit 'fortnights'"),
    ],
)
def test_a_malformed_file_is_named_with_what_would_be_right(tmp_path, document, message):
    path = write(tmp_path, document)
    with pytest.raises(T4Error) as caught:
        read_t4(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_a_damaged_gzip_file_is_named(tmp_path):
    path = tmp_path / "space_T4.json.gz"
    path.write_bytes(gzip.compress(json.dumps(GOOD).encode())[:-20])
    with pytest.raises(T4Error, match="damaged gzip"):
        read_t4(path)


def test_a_file_without_a_correct_result_has_no_best(tmp_path):
    document = {"results": GOOD["results"][2:3]}
    with pytest.raises(ValueError, match="no configuration is marked 'correct'"):
        _ = read_t4(write(tmp_path, document)).best
