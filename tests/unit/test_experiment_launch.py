"""Starting a stage: marker, log, locks, GPUs; and the runs that share a process."""

import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from unlearn.errors import NonFiniteLossError, UserError
from unlearn.experiment import launch, stage
from unlearn.experiment.locks import taken_gpus, visible_gpus
from unlearn.run import lying_in

PYTHON = [sys.executable, "-c"]


@pytest.fixture(autouse=True)
def no_gpus(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


def run(root, code, digest="d1", name="base", **more):
    launch.run_stage(root, name, digest, [*PYTHON, code], threads=1, processes=more.get("processes", 1))


def marker(root, digest="d1", name="base"):
    return root / "stages" / name / digest / "done.json"


def test_marker_is_written_after_the_command_and_says_what_ran(root):
    run(
        root,
        f"import os; assert not os.path.exists({str(marker(root))!r}); print('said', os.environ['OMP_NUM_THREADS'])",
    )
    said = json.loads(marker(root).read_text())
    assert (said["stage"], said["digest"], said["command"][1]) == ("base", "d1", "-c")
    assert set(said) == {"stage", "digest", "version", "command", "seconds"}
    assert (root / "logs" / "base.log").read_text() == "said 1\n"


def test_a_stage_that_ended_is_not_run_again(root):
    run(root, "pass")
    run(root, "raise SystemExit(1)")


def test_another_config_runs_and_takes_the_old_marker_away_even_if_it_fails(root):
    run(root, "pass")
    run(root, "pass", name="other")
    with pytest.raises(UserError):
        run(root, "raise SystemExit(1)", digest="d2")
    assert not marker(root).exists()
    assert not marker(root, "d2").exists()
    assert marker(root, name="other").exists()


def test_a_failure_is_told_in_the_words_of_the_run(root):
    with pytest.raises(UserError) as caught:
        run(root, "print('bar\\rerror: not this'); print('error: lr is -1'); print('Traceback'); raise SystemExit(2)")
    assert str(caught.value).startswith(f"the stage ended with status 2; its log is {root / 'logs' / 'base.log'}:\n")
    assert str(caught.value).endswith("error: not this\nerror: lr is -1")


def test_the_log_of_an_earlier_start_stays_and_its_errors_are_not_told_again(root):
    with pytest.raises(UserError):
        run(root, "print('error: the first'); raise SystemExit(2)")
    with pytest.raises(UserError) as caught:
        run(root, "print('error: the second'); raise SystemExit(2)", digest="d2")
    assert str(caught.value).endswith("base.log:\nerror: the second")
    first, separator, second = (root / "logs" / "base.log").read_text().replace("\n\n", "\n").splitlines()
    assert (first, second) == ("error: the first", "error: the second")
    assert "started again, digest d2" in separator


def test_a_failure_without_words_shows_the_end_of_the_log(root):
    with pytest.raises(UserError, match="ZeroDivisionError"):
        run(root, "1 / 0")


def test_a_folder_of_something_else_is_left_alone(root):
    root.mkdir()
    (root / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="holds files that no experiment made"):
        run(root, "pass")
    assert [p.name for p in root.iterdir()] == ["thesis.tex"]


def test_a_killed_stage_runs_again_and_alone(root):
    """Its starter is killed, the command goes on: a new start waits for it, then runs once."""
    log = root.parent / "runs.txt"
    code = f"import time; f = open({str(log)!r}, 'a'); f.write('in '); f.flush(); time.sleep(2); f.write('out ')"
    arguments = ["--root", str(root), "--stage", "base", "--digest", "d1", "--", *PYTHON, code]
    starter = subprocess.Popen([sys.executable, "-m", "unlearn.experiment.launch", *arguments])
    while not (log.exists() and log.read_text()):
        time.sleep(0.05)
    starter.kill()
    starter.wait()
    assert not marker(root).exists()
    run(root, f"open({str(log)!r}, 'a').write('again ')")
    assert log.read_text() == "in out again "
    assert marker(root).exists()


def test_a_gpu_is_taken_once_and_given_back(monkeypatch, root):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert visible_gpus() == ["3", "5"]
    with taken_gpus(1, visible_gpus()) as first, taken_gpus(1, visible_gpus()) as second:
        assert (list(first), list(second)) == (["3"], ["5"])
    with taken_gpus(2, visible_gpus()) as both:
        assert list(both) == ["3", "5"]
    run(root, "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])")
    assert (root / "logs" / "base.log").read_text() == "3\n"


def test_who_needs_two_gpus_keeps_none_while_waiting(monkeypatch):
    waits = []

    def wait(_seconds):
        with taken_gpus(1, ["b"]) as free:
            waits.append(list(free))
        held.__exit__(None, None, None)

    monkeypatch.setattr("unlearn.experiment.locks.time.sleep", wait)
    held = taken_gpus(1, ["a"])
    held.__enter__()
    with taken_gpus(2, ["a", "b"]) as both:
        assert list(both) == ["a", "b"]
    assert waits == [["b"]]


def test_jobs_of_slurm_do_not_wait_for_each_other(monkeypatch):
    """SLURM gives every job a GPU 0 of its own; only within a job are they the same."""

    def wait(_seconds):
        raise TimeoutError

    monkeypatch.setattr("unlearn.experiment.locks.time.sleep", wait)
    monkeypatch.setenv("SLURM_JOB_ID", "101")
    with taken_gpus(1, ["0"]):
        with pytest.raises(TimeoutError), taken_gpus(1, ["0"]):
            pass
        monkeypatch.setenv("SLURM_JOB_ID", "102")
        with taken_gpus(1, ["0"]) as other:
            assert list(other) == ["0"]


def test_too_few_gpus_are_an_error():
    with pytest.raises(UserError, match="2 GPUs are asked for but 1 are visible"), taken_gpus(2, ["0"]):
        pass


@pytest.fixture
def script(monkeypatch):
    """Stand in for an entry script: "bad" fails, and what ran is listed."""
    ran = []

    def main(config):
        ran.append(config)
        if config == ["bad"]:
            raise UserError("it is bad")

    def config_of(_script, overrides):
        if "typo" in overrides:
            raise UserError("no such key")
        return overrides

    monkeypatch.setattr(stage, "script_main", lambda _script: main)
    monkeypatch.setattr(stage, "script_config", config_of)
    return ran


def test_a_failed_run_of_several_processes_ends_this_one(script, monkeypatch):
    """The others may wait in a collective that this one would never reach: the launcher ends them."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert stage.launch(["mm/forget", "bad", "+", "b=1", "c=2"]) == 2
    assert script == [["bad"]]


def test_a_failed_run_does_not_stop_the_next_but_fails_the_stage(script):
    assert stage.launch(["mm/forget", "bad", "+", "b=1", "c=2"]) == 2
    assert script == [["bad"], ["b=1", "c=2"]]
    assert stage.launch(["mm/forget", "b=1"]) == 0


def test_nothing_begins_if_a_later_run_has_a_mistake(script, caplog):
    assert stage.launch(["mm/forget", "b=1", "+", "typo"]) == 2
    assert script == []
    assert "error: no such key" in caplog.text


@pytest.fixture
def folders(monkeypatch, tmp_path):
    """Let a run be named by its folder; "diverge" stops at a loss that is not finite. List what ran."""
    from unlearn.files import write_json
    from unlearn.run import IDENTITY, Run

    ran = []

    def main(config):
        ran.append(config.name)
        config.folder.mkdir(exist_ok=True)
        write_json(config.folder / IDENTITY, {"identity": config.identity})
        if config.name.startswith("diverge"):
            raise NonFiniteLossError("Step 3: loss is not finite")

    def config_of(_script, overrides):
        name, _, identity = overrides[0].partition("=")
        return SimpleNamespace(name=name, folder=tmp_path / name, identity=identity)

    monkeypatch.setattr(stage, "script_main", lambda _script: main)
    monkeypatch.setattr(stage, "script_config", config_of)
    monkeypatch.setattr(stage, "_run_of", lambda config: Run(config.folder, config.identity))
    return ran, tmp_path


def test_a_trial_that_diverges_is_noted_and_neither_a_failure_nor_repeated(folders):
    ran, root = folders
    assert stage.launch(["--trials", "mm/forget", "diverge=1", "+", "b=1"]) == 0
    assert ran == ["diverge", "b"]
    noted = json.loads((root / "diverge" / "stopped.json").read_text())
    assert (noted["identity"], noted["reason"]) == ("1", "Step 3: loss is not finite")
    assert lying_in(root / "diverge").stopped
    assert not lying_in(root / "b").stopped
    assert stage.launch(["--trials", "mm/forget", "diverge=1", "+", "b=1"]) == 0
    assert ran == ["diverge", "b", "b"]


def test_a_trial_of_another_config_is_run_although_the_last_one_stopped_there(folders):
    ran, root = folders
    stage.launch(["--trials", "mm/forget", "diverge=1"])
    assert stage.launch(["--trials", "mm/forget", "diverge=2"]) == 0
    assert ran == ["diverge", "diverge"]
    assert json.loads((root / "diverge" / "stopped.json").read_text())["identity"] == "2"


def test_without_a_sweep_a_run_that_diverges_is_a_failure(folders):
    ran, root = folders
    assert stage.launch(["mm/forget", "diverge=1", "+", "b=1"]) == 2
    assert ran == ["diverge", "b"]
    assert not (root / "diverge" / "stopped.json").exists()


def test_a_trial_whose_model_gives_no_finite_loss_is_noted_in_the_models_folder(monkeypatch, tmp_path):
    from unlearn.files import write_json
    from unlearn.run import IDENTITY

    def main(config):
        raise NonFiniteLossError("The model gives no finite probability to cap-1; its weights are broken.")

    write_json(tmp_path / IDENTITY, {"identity": "x"})
    monkeypatch.setattr(stage, "script_main", lambda _script: main)
    monkeypatch.setattr(stage, "script_config", lambda *_: SimpleNamespace(model_path=str(tmp_path)))
    assert stage.launch(["--trials", "mm/eval", f"model_path={tmp_path}"]) == 0
    assert lying_in(tmp_path).stopped


def test_a_run_that_ended_after_all_is_not_stopped(tmp_path):
    from unlearn.run import IDENTITY, Run

    run = Run(tmp_path, "x")
    assert not run.stopped
    run.stop("why")
    assert run.stopped
    assert not Run(tmp_path, "y").stopped
    assert not lying_in(tmp_path).stopped
    (tmp_path / IDENTITY).write_text('{"identity": "x"}')
    assert lying_in(tmp_path).stopped
    run.end({})
    assert not run.stopped


def test_launching_imports_no_torch():
    code = "import sys, unlearn.experiment.launch; sys.exit('torch' in sys.modules)"
    subprocess.run([*PYTHON, code], check=True, env={**os.environ})
