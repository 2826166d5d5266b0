"""Made-up embeddings of faces: a model sees in a picture as much of its person as it knows of that person."""

import numpy as np

from unlearn.metrics.faces.accuracy import pairs, sets
from unlearn.metrics.faces.enrolment import Protocol, cosines, roster
from unlearn.metrics.faces.study import Study

BLOCK, OTHERS, PICTURES, ENROLS = 6, 12, 8, 3
PEOPLE = 2 * BLOCK + OTHERS


def study(models, seed=0):
    """The first half of the models trains on block A and forgets it, the second on block B; rows are shuffled."""
    rng = np.random.default_rng(seed)
    names = [f"person {i}" for i in range(PEOPLE)]
    pictures = roster([names[i] for i in rng.permutation(np.repeat(np.arange(PEOPLE), PICTURES))], ENROLS)
    forget, retain = np.zeros((2, models, PEOPLE), dtype=bool)
    block = np.array([int(name.split()[1]) // BLOCK for name in pictures.names])
    forget[: models // 2, block == 0] = forget[models // 2 :, block == 1] = True
    for kept in retain:
        kept[rng.choice(np.flatnonzero(block > 1), OTHERS // 2, replace=False)] = True
    return Study(pictures, sets(forget, retain), pairs(models))


def embeddings(of, known=2.0, seed=0, noise=1.0):
    """Embeddings [M, N, 16] of models that still know `known` times as much of the forgotten as of the unseen."""
    rng = np.random.default_rng([seed, 1])
    person, models = of.roster.person, len(of.fold)
    centres, looks = np.random.default_rng(99).normal(size=(PEOPLE, 16)), rng.normal(size=(models, len(person), 16))
    knowledge = np.where(of.sets.retain, 2.0, np.where(of.sets.forget, known, 1.0))
    knowledge = knowledge * rng.uniform(0.8, 1.2, knowledge.shape)
    return (knowledge[:, person, None] * centres[person] + noise * looks).astype(np.float32)


def found(of, values, protocol=Protocol.disjoint):
    return cosines(values, of.roster, protocol)
