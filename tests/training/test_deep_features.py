"""Deep feature losses: the network, the loss, its tasks, and resumption in both phases."""

import pytest
import small_trainings
import torch

from local.base import config, disk
from local.base.errors import UserError
from local.corpus import manifest
from local.training import deep_features, feature_tasks
from local.training.losses import SourceLoss

SMALL = small_trainings.NARROW | {
    "loss.snr": 0, "loss.deep_feature": 1, "loss.deep_feature_epochs": 3, "trainer.max_epochs": 12,
}  # fmt: skip


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network(**classes):
    torch.manual_seed(0)
    return deep_features.FeatureNetwork(classes or {"noise": 3, "voice": 2}).eval()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a prepared data set ``d``."""
    small_trainings.prepare(tmp_path, monkeypatch)
    return tmp_path


def manifests(place):
    return {split: manifest.read(f"data/d/{split}.csv") for split in ("train", "valid")}


def stage(monkeypatch, tag, **changes):
    """Train a narrow Conv-TasNet with the loss."""
    keys = SMALL | {key.replace("__", "."): value for key, value in changes.items()}
    small_trainings.run(monkeypatch, "--model", "convtasnet", "--tag", tag, changes=keys)


# ---------------------------------------------------------------- the network and the loss


def test_layers_are_the_papers():
    found = network()
    convolutions = [layer[0] for layer in found.layers]
    assert [c.out_channels for c in convolutions] == [32] * 5 + [64] * 5 + [128] * 4
    assert [c.stride for c in convolutions] == [(2,)] * 13 + [(1,)]
    assert {c.kernel_size for c in convolutions} == {(3,)}
    assert {layer[2].negative_slope for layer in found.layers} == {0.2}
    steps = [x.shape[-1] for x in found.features(noise(1, 2**14), 14)]
    assert steps == [2**k for k in range(13, 0, -1)] + [2]
    assert {task: x.shape for task, x in found(noise(5, 40000)).items()} == {
        "noise": (5, 3), "voice": (5, 2),
    }  # fmt: skip


def test_equal_signals_have_no_distance_and_scaled_ones_have():
    loss = deep_features.DeepFeatureLoss(network())
    x = noise(2, 3000)
    assert loss(x, x.clone()).tolist() == [0, 0]
    assert (loss(1.1 * x, x) > 1e-3).all()


def test_the_distance_is_the_papers():
    found = network()
    loss = deep_features.DeepFeatureLoss(found)
    a, b = noise(3, 1000), noise(3, 1000, seed=1)
    expected = 0
    with torch.no_grad():
        for left, right in zip(found.features(a, 6), found.features(b, 6), strict=True):
            expected = expected + (left - right).abs().mean((1, 2))
    torch.testing.assert_close(loss(a, b), expected)


def test_the_gradient_reaches_the_estimate_and_nothing_else():
    loss = deep_features.DeepFeatureLoss(network())
    loss.train()
    statistics = loss.network.layers[0][1].running_mean.clone()
    estimate = noise(1, 1000).requires_grad_()
    loss(estimate, noise(1, 1000, seed=1)).sum().backward()
    assert estimate.grad.abs().sum() > 0
    assert all(p.grad is None for p in loss.network.parameters())
    assert torch.equal(loss.network.layers[0][1].running_mean, statistics)


def test_layers_are_balanced_after_the_tenth_epoch():
    loss = deep_features.DeepFeatureLoss(network())
    loss.end_epoch(8)
    a, b = noise(4, 2000), noise(4, 2000, seed=1)
    loss(5 * a, b)
    loss.end_epoch(8)  # of another epoch: forgotten
    assert loss.means.tolist() == [1] * 6
    loss(a, b)
    with torch.no_grad():
        loss(9 * a, b)  # validation does not count
    loss.end_epoch(9)
    assert loss(a, b).mean().item() == pytest.approx(6, rel=1e-5)


def test_the_term_does_not_depend_on_the_level():
    conf = config.read("can_deep_feature")["loss"]
    loss = SourceLoss(conf, network())
    estimates, sources = noise(2, 2, 900), noise(2, 2, 900, seed=1)
    quiet, loud = (loss(g * estimates, g * sources)[0].item() for g in (0.01, 1.0))
    assert quiet == pytest.approx(loud, rel=1e-4)
    pit = SourceLoss(conf | {"permutation": "pit"}, network())
    assert pit(sources.flip(1), sources)[0].item() == pytest.approx(0, abs=1e-6)


# ---------------------------------------------------------------- its tasks


def test_items_have_one_level_and_their_answers(place):
    conf = config.read("convtasnet", None, SMALL | {"data.snr_db": "[-5.0, 5.0]"})
    train_manifest = manifests(place)["train"]
    kinds = feature_tasks.labels(train_manifest)
    tasks = feature_tasks.Tasks(train_manifest, conf, kinds)
    assert tasks.levels == 2
    tasks.kinds = {kind: i for i, kind in enumerate(sorted(set(kinds.values())))}
    assert len(tasks.kinds) == 6  # without labels.csv, a group is a kind
    seen = []
    for epoch in range(20):
        tasks.set_epoch(epoch)
        for i in range(len(tasks)):
            wave, targets = tasks.heard(i, tasks.frames)
            assert wave.square().mean().sqrt().item() == pytest.approx(1, rel=1e-3)
            seen.append(tuple(targets.values()))
    kinds, levels, voices = (set(column) for column in zip(*seen, strict=True))
    assert (kinds, levels, voices) == ({0, 1, 2, 3, 4, 5}, {-1, 0, 1}, {0, 1})
    assert {(level >= 0) == bool(voice) for _, level, voice in seen} == {True}
    ((wave, targets),) = tasks.batches(0)
    assert wave.shape[0] == 6
    assert set(targets) == {"noise", "snr", "voice"}


def test_every_crop_holds_what_it_is_said_to(place, monkeypatch):
    monkeypatch.setattr(feature_tasks, "SHORTEST", 400)
    conf = config.read("convtasnet", None, SMALL | {"data.segment": 12.0})  # files have 1 s
    train_manifest = manifests(place)["train"]
    tasks = feature_tasks.Tasks(train_manifest, conf, feature_tasks.labels(train_manifest))
    lengths = set()
    for epoch in range(20):
        for waves, _ in tasks.batches(epoch):
            lengths.add(waves.shape[1])
            torch.testing.assert_close(waves.square().mean(1).sqrt(), torch.ones(len(waves)))
    assert len(lengths) > 10


def test_labels_name_the_kinds(place):
    path = place / "tree" / "train" / "labels.csv"
    folders = sorted(p.name for p in path.parent.iterdir() if p.is_dir())
    path.write_text("folder,label\n" + "".join(f"{name},rain\n" for name in folders[:4]))
    kinds = list(feature_tasks.labels(manifests(place)["train"]).values())
    assert kinds.count("rain") == 4
    assert len(set(kinds)) == 3


def test_labels_that_are_a_link_to_nothing_are_not_taken_for_none(place):
    path = place / "tree" / "train" / "labels.csv"
    path.symlink_to(path.parent / "gone.csv")
    with pytest.raises(UserError, match=r"labels\.csv: expected a file, found "):
        feature_tasks.labels(manifests(place)["train"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("folder,label\n9999,rain\n", "line 2: .*'9999'"),
        ("folder,label\n0001,\n", "line 2: .*label ''"),
        ("folder,kind\n0001,rain\n", "columns folder and label, found folder, kind"),
        ("", "found none"),
        ("folder,label\n0001,rain\n0001,wind\n", "line 3: .*'rain' above, found 'wind'"),
        ("folder,label\n0001,caf\udce9\n9999,rain\n", "line 3: .*'9999'"),
    ],
)
def test_faults_of_labels_are_one_line(place, text, words):
    path = place / "tree" / "train" / "labels.csv"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UserError, match=words):
        feature_tasks.labels(manifests(place)["train"])


def test_it_learns(place):
    conf = config.read(
        "convtasnet", None, SMALL | {"loss.deep_feature_epochs": 80, "data.segment": 0.5}
    )
    parts = manifests(place)
    feature_tasks.learn(place / "f.pth", conf, parts, {"commit": "abc"})
    about = disk.read_yaml(place / "f.yml")
    assert len(about["validation"]) == 80
    assert about["provenance"] == {"commit": "abc"}
    learnt = deep_features.load(place / "f.pth")
    tasks = feature_tasks.Tasks(parts["train"], conf, feature_tasks.labels(parts["train"]))
    tasks.kinds = {kind: i for i, kind in enumerate(about["kinds"])}
    fresh = deep_features.FeatureNetwork(learnt.classes).eval()
    (batch,) = tasks.batches(1000)  # mixtures that it has not seen, of noises that it has
    before, after = (float(deep_features.hear(x, *batch)[0].detach()) for x in (fresh, learnt))
    assert after < 0.8 * before


# ---------------------------------------------------------------- resumption


def test_features_continued_equal_uninterrupted(place, monkeypatch):
    conf = config.read("convtasnet", None, SMALL)
    feature_tasks.learn(place / "whole.pth", conf, manifests(place), {})
    calls, hear = [], deep_features.hear

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 4:  # a training and a validation batch in each epoch
            raise KeyboardInterrupt
        return hear(*args)

    monkeypatch.setattr(deep_features, "hear", interrupted)
    with pytest.raises(KeyboardInterrupt):
        feature_tasks.learn(place / "parts.pth", conf, manifests(place), {})
    assert (place / "parts.ckpt").is_file()
    monkeypatch.setattr(deep_features, "hear", hear)
    state = (place / "parts.ckpt").read_bytes()
    folders = sorted(p.name for p in (place / "tree" / "train").iterdir() if p.is_dir())
    given = place / "tree" / "train" / "labels.csv"
    given.write_text("folder,label\n" + "".join(f"{name},k{name}\n" for name in folders))
    with pytest.raises(UserError, match=r"parts\.ckpt: damaged, or learnt with other labels"):
        feature_tasks.learn(place / "parts.pth", conf, manifests(place), {})
    given.unlink()
    (place / "parts.ckpt").write_bytes(state[:100])
    with pytest.raises(UserError, match=r"parts\.ckpt: damaged, or learnt with other labels"):
        feature_tasks.learn(place / "parts.pth", conf, manifests(place), {})
    (place / "parts.ckpt").write_bytes(state)
    feature_tasks.learn(place / "parts.pth", conf, manifests(place), {})
    one, two = (deep_features.load(place / f"{name}.pth") for name in ("whole", "parts"))
    torch.testing.assert_close(one.state_dict(), two.state_dict(), rtol=0, atol=0)
    assert not (place / "parts.ckpt").exists()


def test_a_training_continued_equals_uninterrupted(place, monkeypatch):
    stage(monkeypatch, "whole")
    stage(monkeypatch, "parts", trainer__max_epochs=6)
    stage(monkeypatch, "parts")
    one, two = (
        torch.load(f"exp/d/convtasnet_{tag}/checkpoints/last.ckpt", weights_only=True)
        for tag in ("whole", "parts")
    )
    torch.testing.assert_close(one["state_dict"], two["state_dict"], rtol=0, atol=0)
    assert one["state_dict"]["loss_func.deep.means"].ne(1).all()  # after the tenth epoch
    package = torch.load("exp/d/convtasnet_whole/best_model.pth", weights_only=True)
    assert not any("deep" in key for key in package["state_dict"])


def test_losses_before_and_after_the_tenth_epoch_are_not_compared(place, monkeypatch):
    stage(monkeypatch, "a", trainer__patience=2, scheduler__name="ReduceLROnPlateau",
          scheduler__arguments="{factor: 0.5, patience: 0}")  # fmt: skip
    package = torch.load("exp/d/convtasnet_a/best_model.pth", weights_only=True)
    assert package["winnow"]["provenance"]["best_epoch"] >= 10
    last = torch.load("exp/d/convtasnet_a/checkpoints/last.ckpt", weights_only=True)
    assert last["epoch"] == 11  # not stopped
    assert last["winnow"]["scheduler"]["best"] > 1  # in the unit of six balanced layers


def test_a_network_of_another_experiment_serves(place, monkeypatch):
    stage(monkeypatch, "a", trainer__max_epochs=1)
    path = "exp/d/convtasnet_a/deep_features.pth"
    stage(monkeypatch, "b", trainer__max_epochs=1, loss__deep_feature_network=path)
    assert not (place / "exp/d/convtasnet_b/deep_features.pth").exists()
    assert (place / "exp/d/convtasnet_b/best_model.pth").is_file()


@pytest.mark.parametrize(("name", "words"), [("none.pth", "not there"), ("text.pth", "expected")])
def test_another_file_is_a_line(place, monkeypatch, name, words):
    (place / "text.pth").write_text("text")
    with pytest.raises(UserError, match=rf"loss\.deep_feature_network: {name}: {words}"):
        stage(monkeypatch, "c", loss__deep_feature_network=name)
