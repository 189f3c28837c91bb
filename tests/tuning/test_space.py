"""A search space: what is varied and how, what is refused, names of folders."""

import re

import pytest
import toy_recipes

from local.base import config
from local.base.errors import UserError
from local.tuning import space as spaces
from local.tuning.space import Dimension


@pytest.fixture(autouse=True)
def recipes(tmp_path, monkeypatch):
    """The recipes ``one`` and ``two``, the second with a search space of its own."""
    toy_recipes.make_recipe(tmp_path, "one", toy_recipes.PLAIN)
    toy_recipes.make_recipe(tmp_path, "two", toy_recipes.PLAIN)
    with open(tmp_path / "recipes" / "two" / "conf.yml", "a") as conf:
        conf.write("tune:\n  model.gain: 0.2..0.8\n  data.snr_db: [[-5, 5], [0, 10]]\n")
    toy_recipes.use_root(monkeypatch, tmp_path)
    return tmp_path


def dimensions(models="one", preset=None, **typed):
    typed = {key.replace("__", "."): text for key, text in typed.items()}
    return spaces.read(models, preset, typed).dimensions


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("model.gain", "0.1,0.2", Dimension(("model.gain",), ("0.1", "0.2"))),
        ("model.gain", "0.1 | 0.2", Dimension(("model.gain",), ("0.1", "0.2"))),
        ("model.gain", "0..1", Dimension(("model.gain",), None, 0.0, 1.0)),
        ("model.gain", "-1.5..+.5", Dimension(("model.gain",), None, -1.5, 0.5)),
        ("optim.lr", "log:1e-4..1e-2", Dimension(("optim.lr",), None, 1e-4, 1e-2, True)),
        ("data.batch-size", "log:2..16", Dimension(("data.batch_size",), None, 2, 16, True)),
        ("data.snr_db", "[-5,5],[0,10]", Dimension(("data.snr_db",), ("[-5,5]", "[0,10]"))),
        ("data.augment.apply", "[]|[speed,polarity]",
         Dimension(("data.augment.apply",), ("[]", "[speed,polarity]"))),
        ("optim.arguments", "{betas: [0.9, 0.9]}|{}",
         Dimension(("optim.arguments",), ("{betas: [0.9, 0.9]}", "{}"))),
        ("data.segment,data.snr_db", "1,[0,5]|2,[5,9]",
         Dimension(("data.segment", "data.snr_db"), ("1,[0,5]", "2,[5,9]"))),
    ],
)  # fmt: skip
def test_what_is_varied(key, text, expected):
    [found] = spaces.read("one", None, {key: text}).dimensions
    assert found == expected
    assert type(found.low) is type(expected.low)


def test_one_value_is_set_for_all_and_several_seeds_are_of_each_trial():
    space = spaces.read("one", "tiny", {
        "data.snr_db": "[0, 5]", "seed": "0,1,2", "model.gain": "1,2", "trainer.max_time": "null",
    })  # fmt: skip
    assert space.fixed == {"data.snr_db": "[0, 5]", "trainer.max_time": "null"}
    assert space.seeds == ("0", "1", "2")
    assert [of.name for of in space.dimensions] == ["model.gain"]
    assert spaces.read("one,two", None, {"seed": "3"}).fixed == {"seed": "3"}


def test_every_combination_the_last_key_first():
    space = spaces.read("one,two", None, {"model.gain": "0.1,0.2", "optim.lr": "1,2"})
    found = [space.resolve(values) for values in spaces.grid(space)]
    assert [(recipe, *settings.values()) for recipe, settings in found] == [
        (recipe, gain, lr) for recipe in ("one", "two") for gain in ("0.1", "0.2")
        for lr in ("1", "2")
    ]  # fmt: skip
    assert spaces.grid(spaces.read("one", None, {"seed": "1,2"})) == [{}]


def test_keys_together_are_taken_apart():
    space = spaces.read(
        "one", None, {"data.segment,data.snr_db": "1,[0,5]|2,[5,9]", "optim.lr": "3"}
    )
    assert [space.resolve(values)[1] for values in space.combinations()] == [
        {"optim.lr": "3", "data.segment": "1", "data.snr_db": "[0,5]"},
        {"optim.lr": "3", "data.segment": "2", "data.snr_db": "[5,9]"},
    ]


def test_a_drawn_number_is_rounded_and_stays_in_its_range():
    [of] = dimensions(optim__lr="log:0.00123456..0.0099996")
    assert of.settings(0.0045678912) == {"optim.lr": "0.004568"}
    assert of.settings(0.00123456) == {"optim.lr": "0.001235"}
    assert of.settings(0.0099996) == {"optim.lr": "0.0099996"}
    [of] = dimensions(model__gain="0.9995..0.9999")
    assert of.settings(0.99964123) == {"model.gain": "0.9996412"}
    [of] = dimensions(model__gain="-1..1")
    assert of.settings(0.123456) == {"model.gain": "0.1235"}
    [of] = dimensions(data__batch_size="2..100000")
    assert of.settings(98765) == {"data.batch_size": "98765"}


def test_a_recipes_own_space_where_nothing_else_is_varied():
    gain, snr = dimensions("two", "tiny", optim__lr="0.1")
    assert gain == Dimension(("model.gain",), None, 0.2, 0.8)
    assert snr == Dimension(("data.snr_db",), ("[-5, 5]", "[0, 10]"))
    assert [of.name for of in dimensions("two", model__gain="0.5")] == ["data.snr_db"]
    assert [of.name for of in dimensions("two", seed="0,1")] == ["model.gain", "data.snr_db"]
    assert [of.name for of in dimensions("two", optim__lr="1,2")] == ["optim.lr"]
    assert [of.name for of in dimensions("one,two")] == ["model"]


def test_names_of_folders():
    space = spaces.read("one", "tiny", {"model.gain": "0.1..0.5", "data.batch_size": "2,4"})
    values = {"model.gain": 0.123456, "data.batch_size": "4"}
    assert space.name == "one-tiny_gain-batch_size"
    assert space.word(values) == "gain0.1235_batch-size4"
    lists = spaces.read("one,two", None, {"data.snr_db": "[0,5]|[0.5,5]"})
    words = [lists.word(values) for values in lists.combinations()]
    assert all(re.fullmatch(r"snr-db-0(\.5)?-5-[0-9a-f]{8}", word) for word in words)
    assert len(set(words)) == 2
    assert lists.name == "one+two_snr_db"
    assert spaces.read("one", None, {"seed": "1,2"}).word({}) == ""
    long = spaces.short("x" * 300, "a")
    assert len(long) < 80
    assert long != spaces.short("x" * 300, "b")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"optim.lrr": "1,2"}, "unknown key --optim.lrr; did you mean 'optim.lr'?"),
        ({"optim.lr,optim.lrr": "1,2|3,4"}, "unknown key --optim.lrr; did you mean 'optim.lr'?"),
        ({}, "nothing is varied: give a key several values or a range"),
        ({"optim.lr": "0.1"}, "nothing is varied"),
        ({"optim": "1,2"}, "--optim is a section"),
        ({"optim.lr": "1e-3,fast"}, "optim.lr expects a number, found 'fast'"),
        ({"optim.lr": "0..1"}, "optim.lr expects > 0, found 0.0"),
        ({"optim.lr": "-1..1"}, "optim.lr expects > 0, found -1.0"),
        ({"optim.lr": "log:1e-2..1e-4"}, "--optim.lr expects a range with 0 < LOW < HIGH"),
        ({"model.gain": "log:0..1"}, "--model.gain expects a range with 0 < LOW < HIGH"),
        ({"model.gain": "1..1"}, "--model.gain expects a range with LOW < HIGH, found 1..1"),
        ({"optim.lr": "log:fast"}, "--optim.lr expects [log:]LOW..HIGH, found 'log:fast'"),
        ({"optim.lr": "1e-4..x"}, "--optim.lr expects [log:]LOW..HIGH, found '1e-4..x'"),
        ({"data.batch_size": "2..8.5"}, "data.batch_size expects a whole number, found 8.5"),
        ({"data.remix": "0..1"}, "data.remix expects true or false, found 0"),
        ({"mixture_consistency": "none|projekt"}, "found 'projekt'; did you mean 'project'?"),
        ({"model.gain": "1,,2"}, "--model.gain expects values with | or commas between"),
        ({"model.gain": "1,2,1"}, "--model.gain: 1 appears twice"),
        ({"data.segment,optim.lr": "1,2|3"}, "expects 2 values with commas between, then |"),
        ({"data.segment,optim.lr": "1,2|3,"}, "expects values with | or commas between"),
        ({"data.segment,data.segment": "1,2|3,4"}, "--data.segment is set twice"),
        ({"data.segment,optim.lr": "1,2|3,4", "optim.lr": "1"}, "--optim.lr is set twice"),
        ({"seed": "0..4"}, "--seed expects seeds with commas between, found '0..4'"),
        ({"seed": "0,-1"}, "seed expects >= 0, found -1"),
    ],
)
def test_what_the_schema_refuses_is_one_line(typed, said):
    with pytest.raises(UserError) as caught:
        spaces.read("one", None, typed)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("models", "preset", "said"),
    [
        ("one|twoo", None, "unknown model 'twoo'; did you mean 'two'?"),
        ("one,,two", None, "names of recipes, each once"),
        ("one,one", None, "names of recipes, each once"),
        ("one,two", "tinny", "unknown preset 'tinny' of one; did you mean 'tiny'?"),
    ],
)
def test_recipes_that_cannot_be_searched(models, preset, said):
    with pytest.raises(UserError) as caught:
        spaces.read(models, preset, {})
    assert said in str(caught.value)


def test_every_recipe_of_several_is_asked(recipes):
    toy_recipes.make_recipe(recipes, "three", toy_recipes.PLAIN, {"model": {"size": 4}})
    with pytest.raises(UserError, match=r"unknown key .*model\.gain"):
        spaces.read("one,three", None, {"model.gain": "1,2"})


def test_a_grid_that_there_cannot_be():
    with pytest.raises(UserError, match=r"--sampler grid: --optim\.lr is a range"):
        spaces.grid(spaces.read("one", None, {"optim.lr": "1..2", "model.gain": "1,2"}))
    many = ",".join(map(str, range(1, 102)))
    with pytest.raises(UserError, match="a grid of 10,201 combinations: at most 10,000"):
        spaces.grid(spaces.read("one", None, {"optim.lr": many, "model.gain": many}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tune: [model.gain]\n", "tune expects keys of settings"),
        ("tune: {model.gain: 3}\n", "tune expects keys of settings"),
        ("tune: {model.gain: '3'}\n", "tune.model.gain expects several values or a range"),
        ("tune: {model.gian: [1, 2]}\n", "did you mean 'model.gain'"),
    ],
)
def test_a_search_space_in_a_conf_yml_that_is_none(recipes, text, said):
    with open(recipes / "recipes" / "one" / "conf.yml", "a") as conf:
        conf.write(text)
    config.read("one")  # nothing else is spoilt
    with pytest.raises(UserError, match=said):
        spaces.read("one", None, {})


def test_the_search_spaces_of_the_recipes_are_taken(monkeypatch):
    toy_recipes.use_root(monkeypatch, toy_recipes.ROOT)
    own = [recipe for recipe in config.recipes() if config.search_space(recipe)]
    for recipe in own:
        assert spaces.read(recipe, None, {}).dimensions
    assert "wiener" in own
