"""The benchmark for GPUs runs at a tiny size, both of its ways agree, and its arithmetic is what torch counts."""

import json
from pathlib import Path

import pytest
import torch

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu_llava_step

    return gpu_llava_step


@pytest.fixture
def shapes(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import llava_shape

    return llava_shape


def test_it_measures_both_ways_and_they_agree(benchmark, tmp_path):
    assert benchmark.main(["--size", "tiny", "--count", "3", "--batch-size", "1"], tmp_path) == 0
    (file,) = tmp_path.glob("gpu_llava_step_tiny_*.json")
    found = json.loads(file.read_text())
    assert {"commit", "packages", "device", "tokens"} <= set(found)
    for kind, forwards in (("step", (4, 4)), ("item", (2, 8))):
        ways = [found[kind][way] for way in ("ours", "twin")]
        assert tuple(way["forwards"] for way in ways) == forwards
        assert all(len(way["seconds"]) == 3 and way["median_seconds"] > 0 for way in ways)
        assert ways[0]["tflop"] < ways[1]["tflop"]
        assert found[kind]["greatest_relative_difference"] < 1e-4


def test_the_arithmetic_is_what_torch_counts(shapes, tmp_path):
    from torch.utils.flop_counter import FlopCounterMode

    from unlearn.data.collate import Collator
    from unlearn.forwards import label_logits

    shape = shapes.SHAPES["tiny"]
    encoder = shapes.new_encoder(shape, tmp_path)
    model = shapes.new_model(shape, encoder, torch.device("cpu"))
    batch = Collator(encoder.pad_id)([encoder.encode(shapes.new_samples(shape, 1, "a")[0], 512)])
    length, rows = batch.labels.shape[1], int((batch.labels != -100).sum())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        label_logits(model, batch)
    # On a CPU torch counts attention itself as nothing.
    attention = shapes.decoder_flops(shape, length)[1]
    attention += shape.vision.layers * 4 * (shape.image_tokens + 1) ** 2 * shape.vision.width
    expected = shapes.forward_flops(shape, length, rows) - attention
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.01)


def test_the_7b_shape_has_the_figures_of_its_paper(shapes):
    shape = shapes.SHAPES["7b"]
    assert shape.image_tokens == 576
    # 2 FLOP per weight and token: 6.476e9 weights in the decoder's linear layers
    assert shapes.decoder_flops(shape, 1)[0] == 2 * 32 * (4 * 4096**2 + 3 * 4096 * 11008)


def test_what_it_needs_is_said(benchmark, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "version", lambda _: "5.17.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert benchmark.main(["--count", "1"]) == 2
    said = capsys.readouterr().err
    assert "transformers 5.17.0 is installed, and 5.21 or newer is needed" in said
    assert "needs a CUDA device" in said
    assert "--count is 1" in said
