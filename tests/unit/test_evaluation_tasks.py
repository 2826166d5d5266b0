"""Tasks: the rows of config/task, their roles under each modality, and what is wrong with a task in words."""

from dataclasses import replace

import pytest

from unlearn.config.schema import Modality
from unlearn.errors import UserError
from unlearn.evaluation.tasks import FOLDER, Grouping, Shown, Source, Task, load_tasks, role_under
from unlearn.metrics.manifest import FOREIGN_TASKS, Role

ALL = sorted(path.stem for path in FOLDER.glob("*.yaml"))
COUNTED = [task for task in load_tasks(ALL) if task.probe_of is None]
EIGHT = [
    "forget_captions", "retain_captions", "forget_names", "retain_names",
    "forget_qa", "retain_qa", "real_faces", "real_world",
]  # fmt: skip
REAL_TEXTS = {"real_authors", "world_facts"}
HOLDOUT = {"holdout_qa": "forget_qa", "holdout_captions": "forget_captions"}


def task(**changes):
    values = {
        "name": "t", "label": "T", "role": Role.forget, "modality": Modality.image, "source": Source.images,
        "config": "{forget_split}_perturbed", "uid_prefix": "x", "uid_columns": ["caption"], "question_kind": "name",
        "wrong_columns": ["options"],
    }  # fmt: skip
    return Task(**{**values, **changes})


def test_the_tasks_of_clear_of_tofu_of_holdout_people_and_of_the_mini_benchmark_exist():
    mini = {"forget_heldout_names", "retain_heldout_names"}
    assert {*EIGHT, *REAL_TEXTS, *mini, *HOLDOUT} == {t.name for t in COUNTED}


@pytest.mark.parametrize("name", ALL)
def test_every_file_is_a_task_of_its_own_name(name):
    (loaded,) = load_tasks([name])
    assert loaded.name == name
    assert loaded.problems() == []
    assert "answer" in loaded.label.lower() or loaded.label[0].isupper()


@pytest.mark.parametrize("name", EIGHT)
def test_role_choice_and_label_agree_with_what_aggregation_assumes_of_a_log_without_manifest(name):
    (loaded,) = load_tasks([name])
    known = FOREIGN_TASKS[name]
    assert (loaded.role, loaded.choice, loaded.label) == (known.role, known.choice, known.label)


def test_columns_are_those_that_clear_and_tofu_have():
    captions, names, qa, faces, world = load_tasks(
        ["forget_captions", "retain_names", "forget_qa", "real_faces", "real_world"]
    )
    assert set(captions.columns()) == {"image", "caption", "paraphrased_caption", "name", "perturbed_captions"}
    assert set(names.columns()) == {"image", "name", "perturbed_names", "caption"}
    assert set(qa.columns()) == {"question", "answer", "paraphrased_answer", "perturbed_answer"}
    assert set(faces.columns()) == {"image", "answer", "options"}
    assert set(world.columns()) == {"image", "question", "answer", "options"}
    assert len(set(captions.columns())) == len(captions.columns())


@pytest.mark.parametrize(
    ("modality", "expected"),
    [
        (Modality.both, {"forget_captions", "forget_names", "forget_heldout_names", "forget_qa"}),
        (Modality.image, {"forget_captions", "forget_names", "forget_heldout_names"}),
        (Modality.text, {"forget_qa"}),
    ],
)
def test_what_stays_of_the_forget_people_counts_as_retain(modality, expected):
    roles = {t.name: role_under(t, modality) for t in COUNTED}
    assert {name for name, role in roles.items() if role is Role.forget} == expected
    assert {name for name, role in roles.items() if role is Role.real} == {"real_faces", "real_world", *REAL_TEXTS}
    assert {name for name, role in roles.items() if role is Role.holdout} == set(HOLDOUT)


@pytest.mark.parametrize("name", HOLDOUT)
def test_holdout_people_are_asked_as_the_forgotten_ones_are(name):
    """What differs but the people would tell members from others."""
    holdout, members = load_tasks([name, HOLDOUT[name]])
    assert holdout.members == members.name
    same = ("modality", "source", "uid_columns", "question_column", "question_kind", "answer_column", "max_new_tokens")
    assert [getattr(holdout, key) for key in same] == [getattr(members, key) for key in same]
    assert (holdout.wrong_columns, holdout.paraphrase_column, holdout.choice) == ([], None, False)


def test_the_config_follows_the_forget_split():
    forget, retain, holdout = load_tasks(["forget_qa", "retain_qa", "holdout_qa"])
    assert [task.config_under("forget05") for task in (forget, retain, holdout)] == [
        "forget05_perturbed", "retain_perturbed", "holdout05",
    ]  # fmt: skip


def test_an_unknown_task_is_answered_with_the_options_and_the_nearest():
    with pytest.raises(
        UserError,
        match=r'Unknown task "forget_caption"; allowed are: forget_captions, .*Did you mean "forget_captions"\?',
    ):
        load_tasks(["forget_caption"])


def test_a_task_given_twice_is_refused():
    with pytest.raises(UserError, match="Task real_world is given 2 times"):
        load_tasks(["real_world", "real_faces", "real_world"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modality": Modality.both}, "modality is both"),
        ({"question_column": "question"}, "exactly one of question_column and question_kind"),
        ({"question_kind": None}, "exactly one of question_column and question_kind"),
        ({"question_kind": "face"}, 'Unknown question_kind "face"; allowed are: caption, name'),
        ({"wrong_columns": [], "choice": True}, "choice is true but wrong_columns is empty"),
        ({"role": Role.holdout}, "members belongs to role: holdout, and only to it"),
        ({"members": "forget_qa"}, "members belongs to role: holdout, and only to it"),
        ({"uid_columns": []}, "uid_columns is empty"),
        ({"grouping": Grouping.column}, "group_column belongs to grouping: column"),
        ({"group_column": "name"}, "group_column belongs to grouping: column"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0; allowed is 1 or above"),
        ({"version": 0}, "version is 0"),
        ({"question_template": "Tell me."}, 'question_template is "Tell me."; it must contain {question} once'),
        ({"question_template": "{question} {question}"}, "it must contain {question} once"),
        (
            {"picture": Shown.blank, "modality": Modality.text},
            "picture is blank, but only a task of modality image has pictures; leave it out",
        ),
    ],
)
def test_mistakes_in_a_task_are_named(changes, message):
    assert task().problems() == []
    (problem,) = task(**changes).problems()
    assert problem.startswith("Task t: ")
    assert message in problem


def test_a_file_with_an_unknown_key_is_named(tmp_path):
    text = (FOLDER / "real_faces.yaml").read_text()
    (tmp_path / "faces.yaml").write_text(text + "colour: red\n")
    with pytest.raises(UserError, match=r"faces\.yaml.*colour"):
        load_tasks(["faces"], tmp_path)


def test_a_file_without_a_needed_value_is_named(tmp_path):
    text = (FOLDER / "real_faces.yaml").read_text().replace("role: real\n", "")
    (tmp_path / "faces.yaml").write_text(text)
    with pytest.raises(UserError, match="role"):
        load_tasks(["faces"], tmp_path)


def test_a_task_has_the_values_of_its_parent_and_its_own_on_top(tmp_path):
    for name in ("real_faces", "real_world"):
        (tmp_path / f"{name}.yaml").write_text((FOLDER / f"{name}.yaml").read_text())
    (tmp_path / "child.yaml").write_text("defaults: [real_faces, _self_]\nname: child\nmax_new_tokens: 3\n")
    (tmp_path / "grandchild.yaml").write_text("defaults: [child, _self_]\nname: grandchild\nprobe_of: real_world\n")
    parent, child, grandchild = load_tasks(["real_faces", "child", "grandchild"], tmp_path)
    assert child == replace(parent, name="child", max_new_tokens=3)
    assert grandchild == replace(child, name="grandchild", probe_of="real_world")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "defaults: [real_face, _self_]\nname: x\n",
            'Unknown parent in .*x.yaml: "real_face".*Did you mean "real_faces"',
        ),
        ("defaults: [x, _self_]\nname: x\n", "x.yaml is its own parent by way of x; name task_schema or a whole task"),
        (
            "defaults: [real_faces, _self_]\nname: x\nprobe_of: real_facs\n",
            'Unknown probe_of in .*x.yaml: "real_facs".*Did you mean "real_faces"',
        ),
        (
            "defaults: [real_faces, _self_]\nname: x\nrole: holdout\nmembers: real_facs\n",
            'Unknown members in .*x.yaml: "real_facs".*Did you mean "real_faces"',
        ),
    ],
)
def test_a_task_that_refers_to_no_other_is_refused(tmp_path, text, words):
    (tmp_path / "real_faces.yaml").write_text((FOLDER / "real_faces.yaml").read_text())
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError, match=words):
        load_tasks(["x"], tmp_path)
