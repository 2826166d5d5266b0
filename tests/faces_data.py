"""A small study of faces: twelve people with five pictures each, four celebrities, and networks of 8 channels."""

import io
import json

import numpy as np

PEOPLE = tuple(f"person {i}" for i in range(12))
BLOCKS = {"forget10": PEOPLE[:3], "forget05": PEOPLE[:2], "holdout10": PEOPLE[3:6], "holdout05": PEOPLE[3:5]}
PICTURES, SIDE = 5, 16
NETWORK = (
    "face_model.settings={embedding_size:4,hidden_sizes:[4,8],depths:[1,1],layer_type:basic}",
    "face_model.dimension=8",
    f"face_model.side={SIDE}",
)


def picture(name, number):
    """A PNG with colours of the person and noise of the picture."""
    from PIL import Image

    own, noise = (np.random.RandomState(sum(map(ord, f"{name}{n}"))) for n in ("", number))
    pixels = own.randint(0, 200, (SIDE, SIDE, 3)) + noise.randint(0, 56, (SIDE, SIDE, 3))
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def write_study(folder, people=PEOPLE, pictures=PICTURES):
    """Write the data set; return the overrides that point the scripts of cv/ to it."""
    from datasets import Dataset, Features, Image, Value

    folder.mkdir(parents=True)
    kinds = Features({"image": Image(), "name": Value("string")})
    for config, names in (("full", people), ("celebrities", [f"celebrity {i}" for i in range(4)])):
        rows = [(n, {"bytes": picture(n, i), "path": None}) for n in names for i in range(pictures)]
        columns = {"image": [image for _, image in rows], "name": [name for name, _ in rows]}
        Dataset.from_dict(columns, features=kinds).to_parquet(folder / f"{config}.parquet")
    (folder / "people.json").write_text(json.dumps(BLOCKS))
    return [
        f"face_data.path={folder}",
        f"face_data.people_path={folder / 'people.json'}",
        f"face_data.celebrities_path={folder}",
        "face_data.generate_seed=null",
        "face_data.enrolment=2",
        *NETWORK,
    ]
