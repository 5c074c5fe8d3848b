from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from sihl_api.model import RESNETS, Neck
from sihl_api.tasks import Task
from sihl_trainer.errors import BadConfig, TrainerError
from sihl_trainer.model.backbone import Backbone
from sihl_trainer.model.model import VisionModel, build_model, model_config
from sihl_trainer.model.neck import FeaturePyramid
from sihl_trainer.model.weights import initialize_from, load_model, save_model
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget
from sihl_trainer.tasks.object_detection.target import BoxesTarget
from sihl_trainer.tasks.rooms import head_of
from tests.support.datasets import BOX_HEAD, CLASS_HEAD, job
from tests.support.heads import plain, view
from tests.support.training import multitask_job, same

INFO = {
    "boxes": HeadInfo(Task.OBJECT_DETECTION, ("cat", "dog")),
    "pet": HeadInfo(Task.MULTICLASS_CLASSIFICATION, ("cat", "dog")),
}


def network(seed: int = 0) -> VisionModel:
    return build_model(multitask_job({"seed": seed}), INFO)


@pytest.mark.parametrize("name", RESNETS)
def test_level_i_of_a_backbone_has_stride_two_to_the_i(name: str) -> None:
    with torch.device("meta"):
        backbone = Backbone(name)
        features = backbone(torch.empty(2, 3, 96, 160))
    shapes = {level: tuple(feature.shape) for level, feature in features.items()}
    assert shapes == {
        level: (2, backbone.channels[level], 96 // 2**level, 160 // 2**level)
        for level in range(1, 6)
    }


def test_a_backbone_leaves_out_what_nothing_uses() -> None:
    with torch.device("meta"):
        assert set(Backbone("resnet18", top=3)(torch.empty(1, 3, 32, 32))) == {1, 2, 3}


@pytest.mark.parametrize(
    ("levels", "size"), [((3, 7), (128, 192)), ((2, 4), (50, 70)), ((5, 6), (33, 65))]
)
def test_a_pyramid_gives_every_level_of_its_range_at_any_image_size(
    levels: tuple[int, int], size: tuple[int, int]
) -> None:
    with torch.device("meta"):
        backbone = Backbone("resnet18")
        neck = FeaturePyramid(backbone.channels, *levels, channels=24)
        features = neck(backbone(torch.empty(2, 3, *size)))
    assert set(features) == set(neck.channels) == set(range(levels[0], levels[1] + 1))
    for level, feature in features.items():
        assert feature.shape == (2, 24, *(-(-side // 2**level) for side in size))


def test_the_same_seed_makes_the_same_weights() -> None:
    assert same(network(1).state_dict(), network(1).state_dict())
    assert not same(network(1).state_dict(), network(2).state_dict())


def test_an_image_of_bytes_and_one_of_floats_mean_the_same() -> None:
    model = network().eval()
    image = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    one, other = model(image), model(image.float())
    assert all(torch.equal(one[level], other[level]) for level in one)


def test_every_task_of_the_api_has_its_head() -> None:
    assert all(head_of(task).task is task for task in Task)


def test_a_head_on_levels_that_nothing_gives_is_a_bad_config() -> None:
    spec = job(BOX_HEAD | {"levels": [6, 6]})
    with pytest.raises(BadConfig, match=r"'boxes' asks for levels \[6, 6\]; there are 1 to 5"):
        model_config(spec, INFO)


def test_heads_without_levels_take_those_of_the_neck_and_the_coarsest() -> None:
    spec = job(BOX_HEAD, CLASS_HEAD)
    neck = {"name": "FPN", "levels": [3, 7], "channels": 16}
    model = spec.model.model_copy(update={"neck": Neck.model_validate(neck)})
    found = model_config(spec.model_copy(update={"model": model}), INFO)
    assert {head.name: head.levels for head in found.heads} == {"boxes": [3, 7], "pet": [7, 7]}
    found = model_config(spec, INFO)
    assert {head.name: head.levels for head in found.heads} == {"boxes": [4, 4], "pet": [5, 5]}


# --- weights ---------------------------------------------------------------------------------


def test_a_saved_model_predicts_the_same_without_its_dataset(tmp_path: Path) -> None:
    model = network().eval()
    image = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    loaded = load_model(save_model(model, tmp_path / "model", 7, 1, "2026-01-02T03:04:05Z"))
    assert not loaded.training
    assert same(loaded.state_dict(), model.state_dict())
    with torch.inference_mode():
        for name in ("boxes", "pet"):
            for mine, its in zip(
                model.head(name).predict(view(model(image))),
                loaded.head(name).predict(view(loaded(image))),
                strict=True,
            ):
                assert same(vars(mine), vars(its))
    assert loaded.head("boxes").config.settings["categories"] == ["cat", "dog"]


def test_weights_of_an_earlier_model_are_taken_where_name_and_shape_fit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    earlier = network(1)
    folder = save_model(earlier, tmp_path / "model", 7, 1, "2026-01-02T03:04:05Z")
    more = INFO | {"pet": HeadInfo(Task.MULTICLASS_CLASSIFICATION, ("cat", "dog", "cow"))}
    model = build_model(multitask_job({"seed": 2}), more)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with caplog.at_level("INFO"):
        count = initialize_from(model, folder)
    after, given = model.state_dict(), earlier.state_dict()
    unlike = {"heads.pet.linear.weight", "heads.pet.linear.bias"}
    assert count == len(after) - 2
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name] if name in unlike else given[name])
    assert f"took {count} of {len(after)}" in caplog.text
    assert "heads.pet.linear.weight" in caplog.text


def test_a_model_of_which_nothing_fits_is_a_bad_config(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "model.safetensors")
    with pytest.raises(BadConfig, match="no weight of the model"):
        initialize_from(network(), tmp_path)


def test_imagenet_weights_are_read_from_the_folder_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    source = torchvision.models.resnet18(weights=None)
    url = torchvision.models.get_model_weights("resnet18").DEFAULT.url
    torch.save(source.state_dict(), tmp_path / str(url).rsplit("/", 1)[1])
    monkeypatch.setenv("SIHL_WEIGHTS_DIR", str(tmp_path))
    backbone = Backbone("resnet18", top=4)
    backbone.load_imagenet()
    image = torch.rand(1, 3, 32, 32)
    source.eval(), backbone.eval()
    stem = source.maxpool(source.relu(source.bn1(source.conv1(image))))
    assert torch.equal(backbone(image)[4], source.layer3(source.layer2(source.layer1(stem))))


def test_imagenet_weights_out_of_reach_end_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIHL_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")  # where nobody listens
    with pytest.raises(TrainerError, match=r"resnet18.*SIHL_WEIGHTS_DIR.*from: Random") as caught:
        Backbone("resnet18", top=1).load_imagenet()
    assert caught.value.reason == "WeightsUnreachable"


def test_a_head_that_no_image_of_a_batch_feeds_still_takes_part_in_the_backward_pass() -> None:
    model = network()
    features = model(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8))
    for name in INFO:
        losses = model.head(name).loss(plain(features), [None, None])
        assert all(float(loss.mean.detach()) == loss.amount == 0 for loss in losses.values())
        sum(loss.mean for loss in losses.values()).backward(retain_graph=True)  # type: ignore[union-attr]
        assert all(p.grad is not None and not p.grad.any() for p in model.head(name).parameters())


def test_images_that_are_not_annotated_for_a_head_count_for_nothing() -> None:
    model = network().eval()
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    targets = {
        "boxes": BoxesTarget(torch.tensor([[3.0, 4.0, 20.0, 22.0]]), torch.tensor([1])),
        "pet": CategoryTarget(1),
    }
    for name, target in targets.items():
        with torch.no_grad():
            masked = model.head(name).loss(plain(model(images)), [None, target, None])
            alone = model.head(name).loss(plain(model(images[1:2])), [target])
        assert {k: float(v.mean) for k, v in masked.items()} == pytest.approx(
            {k: float(v.mean) for k, v in alone.items()}, rel=1e-4
        )
