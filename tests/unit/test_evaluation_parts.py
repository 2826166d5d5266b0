"""Part files, cost and batches: what an interrupted evaluation leaves, and what the next start makes of it."""

import pytest
import torch

from unlearn.cost import Cost, Meter
from unlearn.errors import UserError
from unlearn.evaluation.items import Item
from unlearn.evaluation.parts import Finished, Parts
from unlearn.evaluation.plan import assigned, make_batches
from unlearn.evaluation.results import cost


def finished(**changes):
    values = {
        "fingerprint": "f", "task": "t", "batch": 0, "attempt": 0, "rank": 0, "seconds": 1.0, "forwards": 3,
        "peak_memory_bytes": 10, "records": [{"uid": "a"}],
    }  # fmt: skip
    return Finished(**{**values, **changes})


def item(uid, answer="yes", question="q?"):
    return Item(uid, "g", question, None, answer, None, ("no",))


@pytest.fixture
def parts(tmp_path):
    (tmp_path / "parts").mkdir()
    return Parts(tmp_path / "parts", "f")


def test_batches_of_all_ranks_are_read_back(parts):
    one, two = finished(), finished(batch=1, rank=1, records=[{"uid": "é\u2028b"}])
    parts.append(one)
    parts.append(two)
    parts.check()
    assert parts.read() == {("t", 0): one, ("t", 1): two}


def test_a_cut_off_line_loses_its_batch_alone(parts, caplog):
    parts.append(finished())
    parts.append(finished(batch=1))
    path = parts.folder / "rank0.jsonl"
    path.write_text(path.read_text()[:-20])
    parts.check()
    assert set(parts.read()) == {("t", 0)}
    assert "cut off" in caplog.text


def test_after_tidying_nothing_is_appended_to_a_cut_off_line(parts):
    parts.append(finished())
    parts.append(finished(batch=1))
    path = parts.folder / "rank0.jsonl"
    path.write_text(path.read_text()[:-20])
    parts.tidy()
    parts.append(finished(batch=1, attempt=1))
    assert set(parts.read()) == {("t", 0), ("t", 1)}
    parts.tidy()
    assert [p.name for p in parts.folder.iterdir()] == ["kept.jsonl"]
    assert set(parts.read()) == {("t", 0), ("t", 1)}


def test_tidying_drops_other_evaluations_and_stale_kept_files(parts):
    parts.append(finished(fingerprint="g"))
    parts.tidy()
    assert list(parts.folder.iterdir()) == []


def test_a_batch_that_two_processes_wrote_counts_once(parts):
    parts.append(finished())
    parts.append(finished(rank=1))
    assert len(parts.read()) == 1


def test_parts_of_another_evaluation_are_refused_and_stay(parts):
    parts.append(finished(fingerprint="g"))
    before = (parts.folder / "rank0.jsonl").read_bytes()
    with pytest.raises(UserError, match=r"interrupted evaluation .* \(fingerprint g, now f\).*overwrite_dir=true"):
        parts.check()
    assert (parts.folder / "rank0.jsonl").read_bytes() == before


def test_wall_time_is_the_slowest_process_of_each_start_and_starts_add_up():
    parts = [
        finished(seconds=1.0), finished(batch=1, seconds=2.0), finished(batch=2, rank=1, seconds=2.5),
        finished(batch=3, attempt=1, seconds=4.0, peak_memory_bytes=99),
    ]  # fmt: skip
    assert cost(parts) == {"wall_seconds": 7.0, "peak_memory_bytes": 99, "forwards": 12}


def test_batches_hold_neighbours_in_length_longest_first_whatever_the_order_given():
    items = [item(f"u{n}", "x" * n) for n in (3, 9, 1, 7, 5)]
    batches = make_batches({"t": items}, 2)
    assert {k: [i.uid for i in v] for k, v in batches.items()} == {
        ("t", 0): ["u9", "u7"], ("t", 1): ["u5", "u3"], ("t", 2): ["u1"],
    }  # fmt: skip
    assert make_batches({"t": items[::-1]}, 2) == batches
    equal = [item("b"), item("a"), item("c")]
    assert make_batches({"t": equal}, 2) == make_batches({"t": equal[::-1]}, 2)


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_processes_share_the_batches_without_overlap(processes):
    keys = [("t", i) for i in range(5)]
    shares = [assigned(keys, rank, processes) for rank in range(processes)]
    assert sorted(key for share in shares for key in share) == keys
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_meter_counts_forwards_since_the_start_and_leaves_no_hook():
    model = torch.nn.Linear(2, 2)
    with Meter(model) as meter:
        model(torch.zeros(1, 2))
        meter.start(Cost())
        model(torch.zeros(1, 2))
        model(torch.zeros(1, 2))
        assert meter.forwards == 2
        assert meter.seconds() >= 0
        assert meter.peak_memory() > 1_000_000 or torch.cuda.is_available()
    model(torch.zeros(1, 2))
    assert meter.forwards == 2


def test_the_meter_counts_on_from_what_an_earlier_start_spent():
    model = torch.nn.Linear(2, 2)
    with Meter(model) as meter:
        model(torch.zeros(1, 2))
        meter.start(Cost(wall_seconds=1000.0, peak_memory_bytes=2**60, forwards=30))
        model(torch.zeros(1, 2))
    cost = meter.cost()
    assert (cost.forwards, cost.peak_memory_bytes) == (31, 2**60)
    assert cost.wall_seconds >= 1000
