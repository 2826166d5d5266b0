"""Wrong input: one sentence, status 2, before any weight is read, and nothing on disk changed.

Through the scripts themselves for what the command line decides, through their main(cfg) for what data and folders do.
"""

import hashlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from unlearn.config.scripts import EvalConfig, FinetuneConfig, ForgetConfig
from unlearn.entry import launch
from unlearn.errors import UserError

PROJECT = Path(__file__).parents[2]
SCHEMAS = {"finetune": FinetuneConfig, "forget": ForgetConfig, "eval": EvalConfig}
TRAIN = ("lr=1e-3", "batch_size=2", "num_epochs=1")


def snapshot(folder):
    """Every file and folder below `folder`, with the content's hash and the time of its last change."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None,
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def refused(script, tmp_path, monkeypatch):
    """Run a script that must refuse; return its sentence after looking at the disk."""

    def run(name, *given, data=None, save_dir=None):
        folder = save_dir or tmp_path / "run"
        before = snapshot(tmp_path)
        monkeypatch.setattr("unlearn.models.loading.load_model", lambda *_: pytest.fail("weights were read"))
        with pytest.raises(UserError) as error:
            script(name, f"save_dir={folder}", *given, **({"data": data} if data else {}))
        assert snapshot(tmp_path) == before
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 700
        return str(error.value)

    return run


def in_process(monkeypatch, capsys, name, *arguments):
    """Run a script's launch(); return status and stderr."""
    monkeypatch.setattr(sys, "argv", [f"mm/{name}.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        launch(f"mm/{name}", SCHEMAS[name], lambda _cfg: pytest.fail("main was run"))
    return stop.value.code, capsys.readouterr().err


COMMAND_LINE = [
    ("forget", ["lrr=1"], ['Unknown key "lrr"', 'Did you mean "lr"?']),
    ("forget", ["+lrr=1"], ['Unknown key "lrr"', 'Did you mean "lr"?']),
    ("finetune", ["LoRA.rank=1"], ['Unknown key "LoRA.rank"', '"LoRA.r"']),
    ("finetune", ["lr=fast"], ["lr", "fast"]),
    ("finetune", ["overwrite_dir=perhaps"], ["overwrite_dir", "perhaps"]),
    ("finetune", ["num_epochs=1.5"], ["num_epochs", "1.5"]),
    ("finetune", ["forget_modality=sound"], ["forget_modality", "sound"]),
    ("finetune", ["lr=-1"], ["lr is -1.0; allowed is above 0"]),
    ("finetune", ["LoRA.dropout=0.5"], ["LoRA.dropout is 0.5 but LoRA.r is 0"]),
    ("finetune", ["merge_adapter=true"], ["merge_adapter is true but LoRA.r is 0"]),
    ("forget", ["forget_loss=npoo"], ['Unknown forget_loss "npoo"', "grad_ascent", 'Did you mean "npo"?']),
    ("forget", ["forget_loss.betta=1"], ['"forget_loss.betta"', 'Did you mean "forget_loss.beta"?']),
    ("forget", ["forget_loss.retain_term=mse"], ["retain_term", "mse"]),
    ("eval", ["model_family=mini_lava"], ['Unknown model_family "mini_lava"', 'Did you mean "mini_llava"?']),
    ("eval", ["data=claer"], ['Unknown data "claer"', 'Did you mean "clear"?']),
    ("eval", ["preset=clear_lava"], ["clear_lava", "clear_llava"]),
    ("eval", ["tasks=[]"], ["tasks is empty"]),
    ("eval", ["model_path=null"], ["save_dir is null for the pretrained model"]),
    ("forget", ["-m", "forget_loss=npo,npoo"], ['Unknown forget_loss "npoo"']),
    ("forget", ["-m", "lr=1e-3,-1"], ["lr is -1.0"]),
    ("forget", ["--cfg"], ['Unknown option "--cfg"', "--help"]),
]


@pytest.mark.parametrize(
    ("name", "arguments", "parts"), COMMAND_LINE, ids=lambda v: v[0] if isinstance(v, list) else None
)
def test_a_wrong_command_line_is_one_sentence(name, arguments, parts, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    status, text = in_process(monkeypatch, capsys, name, *arguments)
    assert status == 2
    for part in parts:
        assert part in text
    assert text.startswith("error: ")
    assert len(text.strip().splitlines()) == 1
    assert "Traceback" not in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "arguments", "part"),
    [
        ("mm/finetune.py", ["lrr=1"], 'Did you mean "lr"?'),
        ("mm/forget.py", ["model_path=nowhere"], 'model_path "nowhere" does not exist'),
        ("mm/eval.py", ["tasks=[forget_caption]"], 'Did you mean "forget_captions"?'),
        ("aggregate_eval_stat.py", ["retain_result=nowhere.json"], "nowhere.json is absent"),
    ],
)
def test_the_scripts_themselves_leave_with_status_2(file, arguments, part, tmp_path):
    done = subprocess.run(
        [sys.executable, str(PROJECT / file), *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "given", "parts"),
    [
        ("finetune", ["split=retain9"], ['Unknown split "retain9"', "retain90", "Did you mean"]),
        ("forget", ["forget_split=forget20"], ['Unknown forget_split "forget20"', "forget01, forget05, forget10"]),
        ("forget", ["retain_split=retain95"], ["forget_split=forget10 goes with retain_split=retain90", "retain95"]),
        ("eval", ["retain_split=retain95"], ["forget_split=forget10 goes with retain_split=retain90"]),
        ("eval", ["tasks=[forget_name]"], ['Unknown task "forget_name"', 'Did you mean "forget_names"?']),
        ("forget", ["model_path=nowhere"], ['model_path "nowhere" does not exist']),
        ("finetune", ["model_family.hub_id=/no/where"], ['"/no/where" does not exist']),
        ("finetune", ["data.path=no/such/folder/here"], ["no/such/folder/here"]),
        ("forget", ["forget_data_path=no/such/folder/here"], ["no/such/folder/here"]),
    ],
    ids=lambda v: v[0] if isinstance(v, list) else None,
)
def test_names_that_do_not_exist(name, given, parts, refused):
    sentence = refused(name, *(TRAIN if name != "eval" else ()), *given)
    for part in parts:
        assert part in sentence


def changed_data(folder, write_data, change):
    write, default = write_data
    rows = default()
    change(rows)
    write(folder, rows)
    return folder


def test_a_missing_column(refused, write_data, tmp_path):
    def drop(rows):
        rows["forget10"] = [{k: v for k, v in row.items() if k != "name"} for row in rows["forget10"]]

    data = changed_data(tmp_path / "data", write_data, drop)
    sentence = refused("forget", *TRAIN, data=data)
    assert "has no column name; it has image, caption" in sentence
    assert '"forget10"' in sentence


def test_an_empty_data_set(refused, write_data, tmp_path):
    data = changed_data(tmp_path / "data", write_data, lambda rows: rows.update(forget10=[]))
    assert 'Config "forget10"' in (sentence := refused("forget", *TRAIN, data=data))
    assert "is empty" in sentence


def test_a_config_that_the_data_set_lacks(refused, write_data, tmp_path):
    data = changed_data(tmp_path / "data", write_data, lambda rows: rows.pop("retain90+tofu"))
    sentence = refused("forget", *TRAIN, data=data)
    assert '"retain90+tofu"; allowed are: forget10, forget10+tofu, full' in sentence


@pytest.mark.parametrize("script_name", ["finetune", "forget"])
@pytest.mark.parametrize("broken", ["noise", "cut"])
def test_a_picture_that_does_not_decode(script_name, broken, refused, write_data, tmp_path):
    def spoil(rows):
        for config in ("full", "retain90"):
            whole = rows[config][-1]["image"]["bytes"]
            spoilt = b"no picture" if broken == "noise" else whole[: len(whole) // 2]
            rows[config][-1] = {**rows[config][-1], "image": {"bytes": spoilt, "path": None}}

    data = changed_data(tmp_path / "data", write_data, spoil)
    sentence = refused(script_name, *TRAIN, data=data)
    # sha256 of the last caption and name, as in every split.
    uid = "cap-" + hashlib.sha256("\x1f".join(("Ed reads a book.", "Ed")).encode()).hexdigest()[:12]
    assert f"The image of {uid} does not decode" in sentence


def test_a_cut_jpeg_is_found_too():
    from PIL import Image

    from unlearn.data.pictures import check_pictures

    file = io.BytesIO()
    Image.effect_noise((300, 200), 90).convert("RGB").save(file, "JPEG")
    check_pictures([("a", file.getvalue()), ("b", None)])
    with pytest.raises(UserError, match="The image of b does not decode"):
        check_pictures([("a", file.getvalue()), ("b", file.getvalue()[:-2000])])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "is no checkpoint"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x08" + b"\0" * 30), "damaged or cut short"),
    ],
)
@pytest.mark.parametrize("name", ["forget", "finetune"])
def test_a_damaged_checkpoint(name, damage, message, refused, tiny_llava, tmp_path):
    shutil.copytree(tiny_llava, tmp_path / "base")
    damage(tmp_path / "base")
    assert message in refused(name, *TRAIN, f"model_path={tmp_path / 'base'}")


@pytest.mark.parametrize("name", ["finetune", "forget"])
def test_a_folder_that_holds_another_run(name, script, refused, tmp_path):
    out = script("finetune", f"save_dir={tmp_path / 'run'}", *TRAIN)
    sentence = refused(name, *TRAIN, "seed=1", save_dir=out)
    assert f"save_dir={out} already holds another run" in sentence
    assert "overwrite_dir=true" in sentence


def test_a_folder_with_anything_else_in_it(refused, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    assert "already holds another run or other files" in refused("finetune", *TRAIN, save_dir=tmp_path / "mine")


def test_a_save_dir_that_is_a_file(refused, tmp_path):
    (tmp_path / "file").write_text("text")
    assert "is a file; set save_dir to a folder" in refused("finetune", *TRAIN, save_dir=tmp_path / "file")


@pytest.mark.parametrize("text", ['{"forget_captions": {"avg_gt_loss": {"0": 1.0', "", "[1, 2]", "{}"])
def test_a_truncated_evaluation_log(text, tmp_path):
    log = tmp_path / "eval_log_aggregated.json"
    log.write_text(text)
    before = snapshot(tmp_path)
    done = subprocess.run(
        [sys.executable, str(PROJECT / "aggregate_eval_stat.py"), f"retain_result={log}", f"ckpt_result={log}",
         "save_file=row.csv"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "eval_log_aggregated.json" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert snapshot(tmp_path) == before
