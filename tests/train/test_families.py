"""The families side by side: operations against counts by hand and published ones, the command, and its resuming."""

import json

import pytest

from minidl import models, nn
from minidl.cli.train_pictures import Model
from minidl.train import families
from tests.cli.test_cli import invoke, screens  # noqa: F401 (a fixture)

# Multiplications with additions (counted as one), in thousand millions, as torchvision publishes them beside its weights.
PUBLISHED_GMACS = {"AlexNet": 0.714, "ResNet-18": 1.814, "GoogLeNet": 1.498}


def test_operations_counted_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(8 * 5 * 5, 7, bias=False))
    assert families.flops(model, 3, 5, 5) == 2 * (8 * 3 * 9 * 25) + 2 * (200 * 7)
    assert model.training


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED_GMACS)
def test_operations_as_published(name):
    row = families.describe(name)
    assert row.flops == pytest.approx(2e9 * PUBLISHED_GMACS[name], rel=0.04)  # ours counts ReLU, pools and sums too
    assert row.seconds is None
    assert row.accuracy is None


def test_parameters_leave_frozen_ones_out():
    model = models.MLP(image_size=4, classes=3)
    every = families.parameters(model)
    next(model.parameters()).requires_grad_(False)
    assert families.parameters(model) == every - next(model.parameters()).numel()


def test_the_command_line_knows_every_family():
    assert {model.value for model in Model} == set(families.SMALL)


def test_table_pictures_and_resuming(tmp_path):
    words = (
        "train",
        "families",
        "--data",
        "digits",
        "--models",
        "mlp,resnet",
        "--no-published",
        "--runs-dir",
        tmp_path,
    )
    code, text = invoke(*words, "--epochs", 1)
    assert code == 0, text
    rows = json.loads((tmp_path / "families-digits" / "families.json").read_text())
    assert [row["name"] for row in rows] == ["mlp", "resnet"]
    for row in rows:
        assert f"{row['parameters']:,}" in text
        assert row["epochs"] == 1
        assert 0 < row["accuracy"] == row["best"] <= 1
    assert (tmp_path / "families-digits" / "families.png").stat().st_size > 1000
    code, text = invoke(*words[:4], "--models", "mlp", *words[6:], "--epochs", 3, "--resume")
    assert code == 0, text
    assert "epoch 1/3" not in text
    assert "epoch 2/3" in text
    assert json.loads((tmp_path / "families-digits" / "families.json").read_text())[0]["epochs"] == 3


def test_an_unknown_family(tmp_path):
    code, text = invoke("train", "families", "--models", "mlp,vgg", "--runs-dir", tmp_path)
    assert code == 1
    assert "'vgg'" in text
    assert "resnet" in text
