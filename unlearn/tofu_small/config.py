"""Keys of `python -m unlearn.tofu_small`."""

from dataclasses import dataclass

from unlearn.config.schema import MISSING, option, out_of_range

HEAD_WIDTH = 32
"""Of an attention head."""
BYTES = 256
SPECIAL = 2
"""Tokens that the tokenizer has beside bytes and what it learns: padding and the end."""


@dataclass
class TofuSmallConfig:
    """What is made of TOFU for the experiment `tofu_small`."""

    source: str = option(MISSING, "TOFU: a folder with its configs, or the Hub id locuslab/TOFU")
    save_dir: str = option(MISSING, "folder of what is made")
    overwrite_dir: bool = option(False, "replace what save_dir holds of another source or other keys")
    forget_authors: int = option(10, "authors to be forgotten, and as many held out; an interval needs 10")
    retain_authors: int = option(20, "authors to be kept")
    vocabulary: int = option(4096, "most tokens of the tokenizer")
    layers: int = option(2, "decoder layers of the model")
    width: int = option(192, "of a decoder layer")
    seed: int = option(0, "which authors, and the model's first weights")

    def problems(self) -> list[str]:
        """Return every value that is out of range."""
        fewest = {"forget_authors": 1, "retain_authors": 1, "layers": 1, "seed": 0, "vocabulary": BYTES + SPECIAL}
        given = {key: getattr(self, key) for key in fewest}
        found = [out_of_range(k, given[k], f"{low} or above") for k, low in fewest.items() if given[k] < low]
        if self.width < HEAD_WIDTH or self.width % HEAD_WIDTH:
            found.append(out_of_range("width", self.width, f"a multiple of {HEAD_WIDTH}"))
        return found
