"""Records -> log -> what the metrics read, and every way in which a log or its manifest can be wrong."""

import json
import math
from pathlib import Path

import pytest
import yaml
from hand_made import provenance, rows, unlearned

from unlearn.errors import UserError
from unlearn.metrics.logs import FURTHER, NEEDED, aggregated_from_records, read_log
from unlearn.metrics.manifest import FOREIGN_TASKS, FORMAT, Rows
from unlearn.metrics.provenance import Family, Samples

TOFU_KEYS = {
    "avg_gt_loss",
    "gt_loss",
    "num_token_gt",
    "generated_text",
    "rouge1_recall",
    "rougeL_recall",
    "average_perturb_loss",
    "avg_paraphrased_loss",
    "truth_ratio",
    "paraphrased_loss",
    "perturb_loss",
    "num_token_paraphrased",
    "num_token_perturb",
}


def answer(text, *logp):
    return {
        "text": text,
        "logp": list(logp),
        "mu": [0.0] * len(logp),
        "sigma": [1.0] * len(logp),
        "hit": [1] * len(logp),
    }


def record(uid="cap-1", paraphrase=True, generated="Ann Lee smiles", wrong=2):
    answers = {
        "true": answer("Ann Lee smiles", -1.0, -2.0, -3.0),
        "paraphrase": answer("A smile of Ann Lee", -1.0, -2.0) if paraphrase else None,
        "wrong": [answer("Bo Lee smiles", -4.0, -2.0), answer("No", -5.0), answer("Never ever", -1.0)][:wrong],
    }
    return {
        "uid": uid,
        "group": "Ann Lee",
        "prompt_hash": "0",
        "answers": answers,
        "prompt": "Who?",
        "generated": generated,
    }


def test_a_record_becomes_the_keys_of_tofu():
    entry = aggregated_from_records([record()])
    assert {key for key in entry if key not in ("uid", "group", *FURTHER)} == TOFU_KEYS
    values = {key: items["0"] for key, items in entry.items()}
    assert (values["avg_gt_loss"], values["gt_loss"], values["num_token_gt"]) == (2.0, 6.0, 3)
    assert (values["avg_paraphrased_loss"], values["paraphrased_loss"], values["num_token_paraphrased"]) == (
        1.5,
        3.0,
        2,
    )
    assert values["average_perturb_loss"] == [3.0, 5.0]
    assert (values["perturb_loss"], values["num_token_perturb"]) == ([6.0, 5.0], [2, 1])
    # 1/R = exp(loss of the paraphrase - mean loss of the wrong answers) = exp(1.5 - 4)
    assert values["truth_ratio"] == pytest.approx(math.exp(-2.5))
    assert (values["rougeL_recall"], values["rouge1_recall"]) == (1.0, 1.0)
    assert values["generated_text"] == ["Who?", "Ann Lee smiles", "Ann Lee smiles"]
    assert (values["uid"], values["group"]) == ("cap-1", "Ann Lee")


def test_the_true_answer_takes_the_place_of_an_absent_paraphrase():
    values = aggregated_from_records([record(paraphrase=False, generated="Lee")])
    assert (values["avg_paraphrased_loss"]["0"], values["num_token_paraphrased"]["0"]) == (2.0, 3)
    assert values["truth_ratio"]["0"] == pytest.approx(math.exp(2.0 - 4.0))
    assert values["rougeL_recall"]["0"] == pytest.approx(1 / 3)


def test_a_blind_answer_has_its_own_rouge():
    values = aggregated_from_records([{**record(), "generated_blind": "Lee"}])
    assert (values["rougeL_recall"]["0"], values["rougeL_recall_blind"]["0"]) == (1.0, pytest.approx(1 / 3))
    assert "rougeL_recall_blind" not in aggregated_from_records([record()])


def test_items_are_numbered_in_the_order_of_the_records():
    entry = aggregated_from_records(record(uid) for uid in ("b", "a", "c"))
    assert entry["uid"] == {"0": "b", "1": "a", "2": "c"}
    assert aggregated_from_records([]) == {}


def test_a_log_is_strict_json_even_for_a_ruined_model():
    ruined = record()
    ruined["answers"]["paraphrase"] = answer("x", -1e6)
    assert json.loads(json.dumps(aggregated_from_records([ruined]), allow_nan=False))["truth_ratio"]["0"] > 1e300


def write(folder, content, manifest=None):
    path = folder / "eval_log_aggregated.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    if manifest is not None:
        (folder / "manifest.json").write_text(manifest if isinstance(manifest, str) else json.dumps(manifest))
    return path


def good_log():
    return {"forget_captions": aggregated_from_records([record("a", wrong=3), record("b", paraphrase=False, wrong=1)])}


def good_manifest():
    task = {"version": 1, "role": "forget", "choice": False, "modality": "image", "label": "Forget Captions"}
    task |= {"expected": 2, "scored": 2}
    return {
        "format": FORMAT,
        "metrics_version": 1,
        "metrics": "correct",
        "forget_split": "forget10",
        "retain_split": "retain90",
        "forget_modality": "both",
        "seed": 0,
        "tasks": {"forget_captions": {**task, "fingerprint": "f", "rows": rows("forget_captions")}},
        "provenance": provenance(unlearned()),
        "cost": {"wall_seconds": 1.5, "peak_memory_bytes": 2097152, "forwards": 7},
    }


def test_a_log_with_ragged_wrong_answers_is_read_back(tmp_path):
    log = read_log(write(tmp_path, good_log(), good_manifest()))
    task = log.tasks["forget_captions"]
    assert not log.foreign
    assert (task.items, task.by_uid) == (("a", "b"), True)
    assert [list(w) for w in task.wrong_losses] == [[3.0, 5.0, 1.0], [3.0]]
    assert list(task.loss) == [2.0, 2.0]
    assert list(task.paraphrase_loss) == [1.5, 2.0]
    # "Ann Lee smiles": two bigrams, one trigram.
    assert list(task.further["generation_entropy"]) == [pytest.approx(1 / 3)] * 2
    assert log.manifest.tasks["forget_captions"].label == "Forget Captions"
    assert log.manifest.cost["forwards"] == 7


def test_people_are_named_by_the_log_or_by_their_place(tmp_path):
    named = read_log(write(tmp_path, good_log(), good_manifest())).tasks["forget_captions"]
    assert named.groups == ("Ann Lee", "Ann Lee")

    def foreign(numbers):
        entry = good_log()["forget_captions"]
        keys = {key: dict(zip(numbers, entry[key].values(), strict=True)) for key in NEEDED}
        return read_log(write(tmp_path, dict.fromkeys(FOREIGN_TASKS, keys))).tasks

    (tmp_path / "manifest.json").unlink()
    tasks = foreign(["19", "20"])
    # Item k of TOFU's own authors is about author k // 20 of its set; elsewhere every row stands alone.
    authors = {"eval_log.json": ("eval_log.json 0", "eval_log.json 1")}
    authors["eval_log_forget.json"] = ("eval_log_forget.json 0", "eval_log_forget.json 1")
    for name, task in tasks.items():
        assert task.groups == authors.get(name, (f"{name} 19", f"{name} 20"))
    assert foreign(["299", "x"])["eval_log.json"].groups == ("eval_log.json 299", "eval_log.json x")


def without_wrong_answers():
    """The log of a set that has questions and true answers alone."""
    return {TASK: aggregated_from_records([record(uid, paraphrase=False, wrong=0) for uid in ("a", "b")])}


def test_a_set_without_wrong_answers_has_no_truth_ratio_rather_than_a_made_up_one(tmp_path):
    entry = without_wrong_answers()[TASK]
    assert "truth_ratio" not in entry
    assert entry["average_perturb_loss"] == entry["perturb_loss"] == {"0": [], "1": []}
    task = read_log(write(tmp_path, {TASK: entry}, good_manifest())).tasks[TASK]
    assert (task.wrong_losses, task.log_ratio, list(task.loss)) == (None, None, [2.0, 2.0])
    assert task.only({"b"}).ordered().wrong_losses is None


@pytest.mark.parametrize("manifest", [True, False])
def test_a_choice_without_wrong_answers_is_refused(tmp_path, manifest):
    """Among no options but the true one its probability would be 1."""
    given = good_manifest()
    given["tasks"]["forget_names"] = {**given["tasks"].pop(TASK), "choice": True}
    log = {"forget_names": without_wrong_answers()[TASK]}
    with pytest.raises(UserError, match='task "forget_names" is multiple choice but has no wrong answers'):
        read_log(write(tmp_path, log, given if manifest else None))


def test_further_numbers_are_read_and_stay_with_their_items(tmp_path):
    entry = aggregated_from_records([record(uid) for uid in ("a", "b", "c")])
    entry["exact_memorization"] = {"2": 0.75, "0": 0.25, "1": 0.5}
    entry.pop("extraction_strength")
    task = read_log(write(tmp_path, {TASK: entry})).tasks[TASK]
    assert set(task.further) == set(FURTHER) - {"extraction_strength", "mia_gradient_norm", "routed"}
    assert list(task.further["exact_memorization"]) == [0.25, 0.5, 0.75]
    assert list(task.only({"a", "c"}).further["exact_memorization"]) == [0.25, 0.75]


def test_items_are_matched_by_their_number_and_not_by_their_place(tmp_path):
    entry = good_log()["forget_captions"]
    entry["average_perturb_loss"] = dict(reversed(entry["average_perturb_loss"].items()))
    task = read_log(write(tmp_path, {"forget_captions": entry})).tasks["forget_captions"]
    assert [len(w) for w in task.wrong_losses] == [3, 1]


def test_without_manifest_and_uids_a_log_is_foreign(tmp_path):
    entry = {key: values for key, values in good_log()["forget_captions"].items() if key in NEEDED}
    log = read_log(write(tmp_path, {"eval_log_forget.json": entry}))
    task = log.tasks["eval_log_forget.json"]
    assert log.foreign
    assert (task.items, task.by_uid, task.truths) == (("0", "1"), False, None)


def broken(*path, value=None, drop=False):
    """Return a function that changes or drops the value at `path` of a nested dict."""

    def change(content):
        inner = content
        for key in path[:-1]:
            inner = inner[key]
        if drop:
            del inner[path[-1]]
        else:
            inner[path[-1]] = value

    return change


TASK = "forget_captions"
BAD_LOGS = [
    (broken(TASK, "rougeL_recall", drop=True), 'task "forget_captions" lacks rougeL_recall; it may be truncated'),
    (broken(TASK, value=[]), "lacks avg_gt_loss, avg_paraphrased_loss, average_perturb_loss, rougeL_recall"),
    (broken(TASK, "avg_gt_loss", value={}), "has no items; evaluate again"),
    (broken(TASK, "rougeL_recall", "1", drop=True), "has 2 items in avg_gt_loss but 1 (or others) in rougeL_recall"),
    (broken(TASK, "uid", "1", drop=True), "has 2 items in avg_gt_loss but 1 (or others) in uid"),
    (broken(TASK, "uid", "1", value="a"), "has a uid twice"),
    (broken(TASK, "group", "0", drop=True), "has 2 items in avg_gt_loss but 1 (or others) in group"),
    (broken(TASK, "rougeL_recall_blind", value={"0": 1.0}), "but 1 (or others) in rougeL_recall_blind"),
    (broken(TASK, "repetition", "1", drop=True), "but 1 (or others) in repetition"),
    (broken(TASK, "repetition", "1", value=None), "has None in repetition, where only finite numbers"),
    (broken(TASK, "avg_gt_loss", "1", value=float("nan")), "has nan in avg_gt_loss, where only finite numbers"),
    (broken(TASK, "average_perturb_loss", "0", value=[1.0, None]), "has None in average_perturb_loss"),
    (
        broken(TASK, "average_perturb_loss", "0", value=[]),
        "item 0: average_perturb_loss must be a list of wrong answers",
    ),
    (broken(TASK, "extraction_strength", "0", value="1"), "has '1' in extraction_strength, where only finite numbers"),
    (broken(TASK, "exact_memorization", "1", drop=True), "but 1 (or others) in exact_memorization"),
    (broken(TASK, "generated_text", "0", value=["p", "g"]), "generated_text must be [prompt, generated, truth]"),
]


@pytest.mark.parametrize(("change", "message"), BAD_LOGS, ids=[message[:40] for _, message in BAD_LOGS])
def test_a_bad_log_is_refused(tmp_path, change, message):
    content = good_log()
    change(content)
    with pytest.raises(UserError) as error:
        read_log(write(tmp_path, content))
    assert message in str(error.value)


BAD_MANIFESTS = [
    (broken("format", value=1), f"has format 1 but this version reads {FORMAT}"),
    (broken("metrics_version", value=9), "has metrics_version 9 but this version reads 1"),
    (broken("metrics_version", value=True), 'has True as "metrics_version", which must be of type int'),
    (broken("retain_split", drop=True), 'has no "retain_split"'),
    (broken("tasks", drop=True), 'has no "tasks"'),
    (broken("tasks", TASK, value=3), 'task "forget_captions" holds a int'),
    (broken("tasks", TASK, "choice", value="false"), "has 'false' as \"choice\", which must be of type bool"),
    (broken("tasks", TASK, "role", value="forgot"), 'Did you mean "forget"?'),
    (broken("tasks", TASK, "modality", value="picture"), "Unknown modality in"),
    (broken("metrics", value="relased"), "Unknown metrics in"),
    (broken("metrics", drop=True), 'has no "metrics"'),
    (broken("tasks", TASK, "scored", drop=True), 'task "forget_captions" has no "scored"'),
    (broken("tasks", TASK, "scored", value=3), 'task "forget_captions" has 2 items but its manifest.json says 3'),
    (broken("tasks", "retain_qa", value=good_manifest()["tasks"][TASK]), "manifest.json differ in the tasks retain_qa"),
    (broken("cost", "forwards", value="7"), "has '7' as \"forwards\""),
    (broken("seed", drop=True), 'has no "seed"'),
    (broken("provenance", drop=True), 'has no "provenance"'),
    (broken("provenance", "lineage", value=[]), "provenance has an empty lineage"),
    (broken("provenance", "lineage", value=["x"]), "lineage[0] holds a str"),
    (broken("provenance", "family", "name", value=1), 'provenance, family has 1 as "name"'),
    (broken("tasks", TASK, "rows", "config", drop=True), 'task "forget_captions", rows has no "config"'),
    (broken("provenance", "lineage", 0, "run", "seed", value="0"), "lineage[0], run has '0' as \"seed\""),
    (broken("provenance", "lineage", 1, "run", "data", "train", "samples", drop=True), 'data, train has no "samples"'),
]


@pytest.mark.parametrize(("change", "message"), BAD_MANIFESTS, ids=[message[:40] for _, message in BAD_MANIFESTS])
def test_a_bad_manifest_is_refused(tmp_path, change, message):
    manifest = good_manifest()
    change(manifest)
    with pytest.raises(UserError) as error:
        read_log(write(tmp_path, good_log(), manifest))
    assert message in str(error.value)


def test_what_a_model_was_made_from_is_read_back(tmp_path):
    log = read_log(write(tmp_path, good_log(), good_manifest()))
    told = log.manifest.provenance
    assert [link.path for link in told.lineage] == ["runs/npo0", "runs/full0", "pretrained"]
    assert (told.model.fingerprint, told.lineage[-1].run) == ("npo0", None)
    assert told.runs[0].method == {"name": "npo", "beta": 0.1}
    assert told.runs[0].splits == {"forget_split": "forget10", "retain_split": "retain90", "forget_modality": "both"}
    assert told.runs[1].data["train"] == Samples(4, "d0")
    assert log.manifest.tasks["forget_captions"].rows == Rows("data", "forget_captions", "rows forget_captions")
    assert told.family == Family("tiny", "f0")


def test_bad_files_are_refused(tmp_path):
    whole = json.dumps(good_log())
    cases = {
        "absent": (tmp_path / "absent.json", "is absent; give the eval_log_aggregated.json"),
        "folder": (tmp_path, "is a folder; give the eval_log_aggregated.json"),
        "truncated": (tmp_path / "cut.json", "cut.json is not complete JSON"),
        "list": (tmp_path / "list.json", "holds a list"),
        "empty": (tmp_path / "empty.json", "has no tasks"),
    }
    (tmp_path / "cut.json").write_text(whole[: len(whole) // 2])
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "empty.json").write_text("{}")
    for path, message in cases.values():
        with pytest.raises(UserError) as error:
            read_log(path)
        assert message in str(error.value)
    with pytest.raises(UserError, match=r"manifest.json is not complete JSON"):
        read_log(write(tmp_path, whole, json.dumps(good_manifest())[:-40]))


def test_what_is_known_without_manifest_is_what_the_task_files_say():
    folder = Path(__file__).parents[2] / "config" / "task"
    compared = 0
    for name, info in FOREIGN_TASKS.items():
        if name.startswith("eval_"):
            continue
        task = yaml.safe_load((folder / f"{name}.yaml").read_text())
        assert (task["label"], task["role"], task.get("choice", False)) == (info.label, info.role.value, info.choice)
        assert task["modality"] == info.modality.value
        compared += 1
    assert compared == 8
