"""What a method may ask of a batch of faces: the same quantities as of a batch of texts, and embeddings.

A picture has one "answer token", the person, and the classes are the network's people. So one file of each method
serves here too. The cross-entropy is AM-softmax, as the networks were trained; probabilities, and divergences between
distributions, are those of the plain cosines, which have no true class to put a margin on.
"""

from functools import cached_property

import torch
from torch import Tensor, nn

from unlearn.data.samples import Batch
from unlearn.faces.margin import am_softmax
from unlearn.faces.network import FaceOutput
from unlearn.forwards import LabelLogits, View


def face_output(model: nn.Module, batch: Batch, mirrored: bool = False) -> FaceOutput:
    """Run `model` once on the pictures of `batch`."""
    rows = batch.inputs["rows"]
    return model(rows, torch.full_like(rows, mirrored, dtype=torch.bool))


def inner_states(model: nn.Module, batch: Batch, layer: int) -> Tensor:
    """Run `model` once and return [B, d] the output of its stage `layer` (from 0), averaged over its places."""
    return model.inner(batch.inputs["rows"], layer)


class FaceView(View):
    """B pictures; N = B. Layers are the backbone's stages, all of which run, as their cost is small."""

    hidden_states = staticmethod(inner_states)

    @cached_property
    def _face(self) -> FaceOutput:
        return self._of_model(face_output)

    @cached_property
    def _ref_face(self) -> FaceOutput:
        return self._of_reference(face_output)

    @cached_property
    def _out(self) -> LabelLogits:
        return self._labelled(self._face)

    @cached_property
    def _ref_out(self) -> LabelLogits:
        return self._labelled(self._ref_face)

    @cached_property
    def ce_tokens(self) -> Tensor:
        """[B] AM-softmax."""
        return am_softmax(self._out.logits, self._out.targets, self._face.margin, self._face.scale)

    @cached_property
    def logps(self) -> Tensor:
        """[B] log-probability of the person."""
        return self._log_probs.gather(1, self._out.targets[:, None])[:, 0]

    @cached_property
    def embeddings(self) -> Tensor:
        """[B, d] not normalised."""
        return self._face.embeddings

    @cached_property
    def ref_embeddings(self) -> Tensor:
        """[B, d] of the reference, without gradient."""
        return self._ref_face.embeddings

    @cached_property
    def ref_mirrored_embeddings(self) -> Tensor:
        """[B, d] of the reference, of the pictures mirrored left to right, without gradient."""
        return self._of_reference(face_output, True).embeddings

    def _labelled(self, out: FaceOutput) -> LabelLogits:
        targets = self.batch.labels[:, -1]
        return LabelLogits(out.logits, targets, torch.arange(len(targets), device=targets.device))
