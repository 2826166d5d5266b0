"""Who is shown on the page, and what of them."""

import json
import math
import shutil
from dataclasses import replace

import pytest

from unlearn.errors import UserError
from unlearn.metrics.manifest import Role
from unlearn.report.people import people
from unlearn.report.runs import Kind, dataset_of, read_model


@pytest.fixture
def models(experiment):
    return [read_model(name, Kind.base, experiment / name) for name in ("base", "gold", "npo")]


def shown(models, experiment, count=2):
    return people(models, models[0].log.manifest, dataset_of(experiment / "base"), count)


def test_so_many_people_of_each_role_forgotten_ones_first(models, experiment):
    chosen = shown(models, experiment)
    assert [person.role for person in chosen] == [Role.forget] * 2 + [Role.retain] * 2 + [Role.real] * 2
    assert len({person.name for person in chosen}) == 6


def test_a_person_is_shown_with_all_tasks_and_each_picture_once(models, experiment):
    everyone = [person for person in shown(models, experiment, 24) if person.role is not Role.real]
    assert {len(person.scenes) for person in everyone} == {2}
    person = everyone[0]
    about = [(scene.image is None, [question.label for question in scene.questions]) for scene in person.scenes]
    assert about == [(False, ["Forget Captions", "Forget Names"]), (True, ["Forget QA"])]
    captions, names, qa = (question for scene in person.scenes for question in scene.questions)
    assert names.answer == person.name
    assert captions.answer.startswith(f"{person.name} smiles")
    # The rows of words have a number for their person: the name in the question says whose they are.
    assert person.name in qa.text


def test_what_a_model_says_is_that_of_its_own_log(models, experiment):
    person = shown(models, experiment)[0]
    for question in (question for scene in person.scenes for question in scene.questions):
        for said, model in zip(question.said, models, strict=True):
            found = [
                (entry["generated_text"][n][1], math.exp(-entry["avg_gt_loss"][n]), entry["rougeL_recall"][n])
                for entry in json.loads(model.log_path.read_text()).values()
                for n, (text, _, truth) in entry["generated_text"].items()
                if (text, truth) == (question.text, question.answer)
            ]
            assert said.model is model
            assert (said.text, pytest.approx(said.probability), said.recall) in found


def test_the_choice_is_the_same_every_time_and_grows(models, experiment):
    few, many = ([p.name for p in shown(models, experiment, count) if p.role is Role.retain] for count in (2, 4))
    assert many[:2] == few


def test_questions_are_those_of_the_evaluation(models, experiment):
    data = replace(dataset_of(experiment / "base"), question_seed=7)
    assert people(models, models[0].log.manifest, data, 24) == shown(models, experiment, 24)


def test_a_dataset_that_changed_is_refused(models, experiment, tmp_path):
    shutil.copytree(experiment / "data", tmp_path / "data")
    data = dataset_of(experiment / "base")
    data = replace(data, path=str(tmp_path / "data" / "pictures"), text_path=str(tmp_path / "data" / "texts"))
    path = tmp_path / "data" / "texts" / "retain_perturbed.json"
    path.write_text(path.read_text().replace("Kit Number", "Person "))
    with pytest.raises(UserError, match="the dataset has; it changed since the evaluation"):
        people(models, models[0].log.manifest, data, 2)


def test_authors_whom_no_question_names_stand_alone(nameless):
    base = read_model("base", Kind.base, nameless / "base")
    chosen = [p for p in shown([base], nameless) if p.role is Role.forget]
    assert [[s.questions[0].label for s in p.scenes] for p in chosen] == [["Forget Captions"], ["Forget QA"]]
    assert chosen[1].name.startswith("forget10_perturbed-")


def test_questions_about_somebody_forgotten_in_pictures_alone_stay_with_them(models, experiment):
    manifest = models[0].log.manifest
    tasks = {**manifest.tasks, "forget_qa": replace(manifest.tasks["forget_qa"], role=Role.retain)}
    chosen = people(models, replace(manifest, tasks=tasks), dataset_of(experiment / "base"), 24)
    forgotten = [person for person in chosen if person.role is Role.forget]
    assert len(forgotten) == 24
    roles = {q.label: q.role for person in forgotten for scene in person.scenes for q in scene.questions}
    assert roles == {"Forget Captions": Role.forget, "Forget Names": Role.forget, "Forget QA": Role.retain}
    kept = [person.name for person in chosen if person.role is Role.retain]
    assert all(name.startswith("Kit") for name in kept)


def test_a_log_without_uids_is_refused(models, experiment, tmp_path):
    shutil.copytree(experiment / "npo", tmp_path / "npo")
    path = tmp_path / "npo" / "eval_results" / "eval_log_aggregated.json"
    log = json.loads(path.read_text())
    del log["forget_qa"]["generated_text"]
    path.write_text(json.dumps(log))
    broken = read_model("npo", Kind.unlearned, tmp_path / "npo")
    with pytest.raises(UserError, match="forget_qa lacks uid or generated_text"):
        people([broken], models[0].log.manifest, dataset_of(experiment / "base"), 1)


def test_a_folder_without_config_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="set people=0"):
        dataset_of(tmp_path)
