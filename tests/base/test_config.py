"""Settings: the schema that conf.yml is, presets, overrides, one line for every fault."""

import subprocess
import sys

import pytest
import yaml

from local import ROOT
from local.base import config
from local.base.errors import UserError

COMMON = """\
seed: 0                   # [>= 0] weights
mixture_consistency: none # [none | project | difference] sum
data:
  sample_rate: 16000      # [> 0] Hz
  segment: 8.0            # [> 0] seconds
  remix: true             # mixed anew
  snr_db: [-5.0, 15.0]    # dB
  windows: [512, 1024]    # samples
  examples: null          # [null or >= 1] mixtures
  num_workers: 0          # [>= 0] processes
  augment:
    apply: []             # names
    polarity: 0.5         # [0 to 1] probability
optim:
  optimizer: adam         # its name
  lr: 1.0e-3              # [> 0] step size
  arguments: {}           # [free] more
scheduler:
  name: StepLR            # [null or str] class
  arguments: {gamma: 0.5, steps: [1, 2]}  # [free] more
trainer:
  max_epochs: 9           # [>= 1] passes
  max_time: null          # [null or str] DD:HH:MM:SS
  below: 0.5              # [< 1] a bound from above
log:
  every_n_steps: 50       # [>= 1] steps
presets:
  quick:                  # in a moment
    data: {examples: 6, snr_db: [0.0, 5.0]}
    trainer: {max_epochs: 2, max_time: "1"}
"""

TEXT = """\
# toy: a recipe of a test
#
# More about it.

class: Toy                # [Toy] of a test
model:
  n-filters: 4            # [>= 2] filters
  activation: null        # [null or relu | sigmoid] null for none
  filterbank:             # of one filterbank only
    min_low_hz: null      # [null or > 0] Hz
data:
  segment: 4              # otherwise than in common.yml; an int for a float
presets:
  tiny:
    data: {segment: 1, augment: {apply: [speed]}}
    scheduler: {arguments: {gamma: 0.1}}
  small: {}
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Writes common.yml and the conf.yml of the recipe ``toy``, the only one there is."""
    monkeypatch.setattr(config, "ROOT", tmp_path)
    (tmp_path / "recipes" / "toy").mkdir(parents=True)

    def write(old=None, new=None):
        texts = {"common.yml": COMMON, "toy/conf.yml": TEXT}
        if old is not None:
            assert sum(text.count(old) for text in texts.values()) == 1
        for name, text in texts.items():
            text = text if old is None else text.replace(old, new)
            (tmp_path / "recipes" / name).write_text(text, encoding="utf-8")

    write()
    return write


def value(key, text):
    """What ``--key text`` on a command line becomes."""
    found = config.read("toy", None, {key: text})
    for part in key.replace("-", "_").split("."):
        found = {name.replace("-", "_"): child for name, child in found.items()}[part]
    return found


def fault(overrides=None, preset=None, recipe="toy") -> str:
    """The one line of a refusal."""
    with pytest.raises(UserError) as caught:
        config.read(recipe, preset, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- what is accepted


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("optim.lr", "3e-4", 3e-4),
        ("optim.lr", "3E-4", 3e-4),
        ("optim.lr", "1.e-4", 1e-4),
        ("optim.lr", "5e+0", 5.0),
        ("optim.lr", ".5", 0.5),
        ("optim.lr", "1", 1.0),  # an int for a float
        ("seed", "7", 7),
        ("data.remix", "false", False),
        ("data.remix", "no", False),
        ("data.snr_db", "[0, 5, 10]", [0.0, 5.0, 10.0]),
        ("data.snr_db", "[-2.5]", [-2.5]),
        ("data.windows", "[256]", [256]),
        ("data.examples", "3", 3),
        ("data.examples", "null", None),
        ("data.augment.apply", "[speed, polarity]", ["speed", "polarity"]),
        ("data.augment.apply", "[]", []),
        ("data.augment.polarity", "0", 0.0),
        ("data.augment.polarity", "1", 1.0),
        ("model.activation", "relu", "relu"),
        ("model.activation", "null", None),
        ("model.filterbank.min_low_hz", "50", 50.0),
        ("optim.optimizer", "rmsprop", "rmsprop"),
        ("scheduler.name", "null", None),
        ("trainer.max_time", "00:01:00:00", "00:01:00:00"),
        ("trainer.max_time", "10:00:00:00", "10:00:00:00"),  # no number to the base 60
        ("trainer.max_time", "", ""),
        ("optim.arguments", "{betas: [0.8, 0.9], eps: 1e-9}", {"betas": [0.8, 0.9], "eps": 1e-9}),
        ("scheduler.arguments", "{}", {}),
        ("mixture_consistency", "project", "project"),
        ("mixture-consistency", "project", "project"),
        ("model.n_filters", "8", 8),
        ("model.n-filters", "8", 8),
    ],
)
def test_a_setting_from_the_command_line(toy, key, text, expected):
    found = value(key, text)
    assert found == expected
    assert type(found) is type(expected)


def test_values_may_come_typed(toy):
    conf = config.read("toy", None, {"optim.lr": 1, "data.examples": None, "data.windows": [8]})
    assert conf["optim"]["lr"] == 1.0
    assert conf["data"]["examples"] is None
    assert conf["data"]["windows"] == [8]


def test_order_is_conf_then_preset_then_overrides(toy):
    assert config.read("toy")["data"]["segment"] == 4.0
    tiny = config.read("toy", "tiny")
    assert tiny["data"]["segment"] == 1.0
    assert type(tiny["data"]["segment"]) is float
    assert tiny["data"]["sample_rate"] == 16000
    assert tiny["data"]["augment"] == {"apply": ["speed"], "polarity": 0.5}
    assert config.read("toy", "tiny", {"data.segment": "2"})["data"]["segment"] == 2.0
    assert "presets" not in tiny


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("seed: 3", "seed", 3),
        ("mixture_consistency: project", "mixture_consistency", "project"),
        ("trainer: {max_epochs: 2, max_time: '00:01:00:00'}", "trainer.max_epochs", 2),
        ("trainer: {max_time: 10:00:00:00}", "trainer.max_time", "10:00:00:00"),
        ("optim: {arguments: {eps: 1}}", "optim.arguments.eps", 1),
        ("scheduler:\n  name: null", "scheduler.name", None),
    ],
)
def test_a_recipe_may_set_any_key_of_common(toy, text, key, expected):
    before = config.flatten(config.read("toy"))
    toy("presets:\n  tiny:", f"{text}\npresets:\n  tiny:")
    after = config.flatten(config.read("toy"))
    assert after[key] == expected
    section = key.split(".")[0]
    assert {k: v for k, v in after.items() if not k.startswith(section)} == {
        k: v for k, v in before.items() if not k.startswith(section)
    }


def test_a_free_mapping_is_replaced_whole(toy):
    assert config.read("toy", "tiny")["scheduler"]["arguments"] == {"gamma": 0.1}


def test_settings_share_nothing(toy):
    overrides = {"data.windows": [1, 2]}
    first = config.read("toy", None, overrides)
    first["data"]["windows"].append(3)
    first["scheduler"]["arguments"]["gamma"] = 0
    assert overrides == {"data.windows": [1, 2]}
    assert config.read("toy")["scheduler"]["arguments"]["gamma"] == 0.5


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("key", "text", "parts"),
    [
        ("optim.rl", "1", ["--optim.rl", "'optim.lr'"]),
        ("modle.n_filters", "1", ["--modle.n_filters", "'model.n_filters'"]),
        ("zzz.zzz", "1", ["unknown key --zzz.zzz"]),
        ("data", "1", ["section", "--data.sample_rate"]),
        ("data.augment", "{}", ["section", "--data.augment.apply"]),
        ("presets.tiny", "{}", ["unknown key"]),
        ("optim.lr", "abc", ["optim.lr", "a number", "'abc'"]),
        ("optim.lr", "", ["optim.lr", "a number"]),
        ("optim.lr", "true", ["optim.lr", "a number", "True"]),
        ("optim.lr", "null", ["optim.lr", "a number"]),
        ("optim.lr", ".nan", ["finite"]),
        ("optim.lr", ".inf", ["finite"]),
        ("optim.lr", "0", ["> 0", "0.0"]),
        ("optim.lr", "[1", ["--optim.lr"]),
        ("optim.lr", "2020-13-45", ["--optim.lr"]),
        ("optim.lr", "!!float abc", ["--optim.lr"]),
        ("optim.lr", "!!python/object/apply:os.getcwd []", ["--optim.lr"]),
        ("optim.lr", "{a: 1, a: 2}", ["--optim.lr", "'a' appears twice"]),
        ("optim.arguments", "{a: 1, a: 2}", ["'a' appears twice"]),
        ("optim.arguments", "{[1]: 2}", ["--optim.arguments"]),
        ("optim.arguments", "[1]", ["a mapping"]),
        ("seed", "1.5", ["seed", "a whole number", "1.5"]),
        ("seed", "-1", [">= 0", "-1"]),
        ("seed", "true", ["a whole number"]),
        ("seed", "010", ["seed expects a whole number, found '010'"]),
        ("data.segment", "1:30", ["data.segment expects a number, found '1:30'"]),
        ("data.remix", "1", ["true or false"]),
        ("data.snr_db", "5", ["data.snr_db", "a list"]),
        ("data.snr_db", "[a]", ["a list like [-5.0, 15.0]"]),
        ("data.snr_db", "[]", ["a list like"]),
        ("data.snr_db", "[0, .nan]", ["finite"]),
        ("data.windows", "[1.5]", ["a list like [512, 1024]"]),
        ("data.augment.apply", "speed", ["a list"]),
        ("data.augment.polarity", "1.5", ["0 to 1"]),
        ("data.augment.polarity", "-0.1", ["0 to 1"]),
        ("trainer.below", "1", ["< 1"]),
        ("data.examples", "0", [">= 1"]),
        ("data.examples", "1.5", ["a whole number or null"]),
        ("model.activation", "rleu", ["one of relu, sigmoid", "'relu'"]),
        ("model.activation", "3", ["a string or null"]),
        ("model.filterbank.min_low_hz", "-1", ["> 0"]),
        ("mixture_consistency", "projct", ["none, project, difference", "'project'"]),
        ("class", "Other", ["one of Toy"]),
    ],
)
def test_a_fault_on_the_command_line_is_one_line(toy, key, text, parts):
    line = fault({key: text})
    for part in parts:
        assert part in line


def test_unknown_recipe_and_preset(toy):
    assert "did you mean 'toy'" in fault(recipe="tyo")
    line = fault(preset="tinny")
    assert "did you mean 'tiny'" in line
    assert "small" in line


def test_recipe_names_cannot_leave_the_folder(toy, tmp_path):
    (tmp_path / "conf.yml").write_text(TEXT)
    assert "unknown model" in fault(recipe="..")


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("segment: 1,", "segmnt: 1,", ["preset tiny", "'data.segmnt'", "'data.segment'"]),
        ("segment: 1,", "segment: a,", ["preset tiny", "data.segment", "a number"]),
        ("segment: 1,", "segment: -1,", ["preset tiny", "> 0"]),
        ("  small: {}", "  small: 3", ["preset small", "a mapping"]),
        ("  small: {}", "  small: {like: quik}", ["preset small", "'quik'", "mean 'quick'"]),
        ("  small: {}", "  small: {like: [1]}", ["preset small", "like", "[1]"]),
        ("  small: {}", "  small: {like: quick, seeed: 1}", ["preset small", "'seeed'"]),
        (TEXT[TEXT.index("presets:") :], "presets: [tiny]", ["presets", "a mapping"]),
        ("lr: 1.0e-3 ", "lr: -1.0e-3 ", ["common.yml", "optim.lr", "> 0"]),
        ("lr: 1.0e-3 ", "lr: abc ", ["common.yml", "optim.lr", "> 0", "'abc'"]),
        ("seed: 0 ", "seed: 0\nseed: 1 ", ["common.yml, line 2:", "'seed' appears twice"]),
        ("  lr: 1.0e-3 ", "\tlr: 1.0e-3 ", ["common.yml, line 16"]),
        (COMMON, "3", ["common.yml", "a mapping"]),
        ("  n-filters: 4 ", "  n-filters: 1 ", ["conf.yml", "model.n-filters", ">= 2"]),
        ("segment: 4 ", "segmnt: 4 ", ["conf.yml", "'data.segmnt'", "'data.segment'"]),
        ("segment: 4 ", "segment: -4 ", ["conf.yml", "data.segment", "> 0"]),
        ("segment: 4 ", "segment: null ", ["conf.yml", "data.segment", "a number"]),
        ("  segment: 4  ", "  segment: -4  # [free]", ["conf.yml", "data.segment", "> 0"]),
        ("data:\n  segment: 4 ", "data: 4 ", ["conf.yml", "data expects a mapping", "4"]),
        ("data:\n  segment: 4 ", "dta: 4 ", ["conf.yml", "unknown key 'dta'"]),
        ("class: Toy ", "seed: 1 ", ["conf.yml", "'class'"]),
        (TEXT, "3", ["conf.yml", "a mapping"]),
        (TEXT, "", ["conf.yml", "a mapping"]),
    ],
)
def test_a_fault_in_conf_yml_is_found_whatever_is_asked_for(toy, old, new, parts):
    toy(old, new)
    line = fault()
    for part in parts:
        assert part in line


def test_conf_yml_in_another_encoding(toy, tmp_path):
    path = tmp_path / "recipes" / "toy" / "conf.yml"
    path.write_bytes(TEXT.replace("of a test", "d'été").encode("latin-1"))
    assert "UTF-8" in fault()


def test_a_preset_like_one_of_common_begins_with_it(toy):
    toy("  small: {}", "  small:\n    like: quick\n    trainer: {max_epochs: 3, max_time: null}")
    plain, small = (config.flatten(config.read("toy", name)) for name in (None, "small"))
    changed = {"data.examples": 6, "data.snr_db": [0.0, 5.0], "trainer.max_epochs": 3}
    assert small == plain | changed
    assert config.describe_preset("toy", "small") == "in a moment"
    assert "presets" not in config.common()
    toy("  small: {}", "  small:  # of its own\n    like: quick")
    assert config.describe_preset("toy", "small") == "of its own"
    assert "unknown preset 'quick'" in fault(preset="quick")


def test_a_preset_may_be_empty(toy):
    toy("  small: {}", "  small:")
    assert config.read("toy", "small") == config.read("toy")


def test_reading_settings_imports_nothing_heavy():
    program = (
        "import sys; from local.base import config, experiment;"
        "config.read('convtasnet', 'tiny', {'optim.lr': '1'});"
        "print({'torch', 'asteroid', 'numpy', 'pandas', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


# ---------------------------------------------------------------- comparing


def test_flatten():
    tree = {"a": {"b": 1, "c": {"d": 2}}, "e": [3]}
    assert config.flatten(tree) == {"a.b": 1, "a.c.d": 2, "e": [3]}
    assert config.flatten(tree, stop={"a.c": ""}) == {"a.b": 1, "a.c": {"d": 2}, "e": [3]}


def test_differences_are_those_that_can_change_the_result(toy):
    def with_(**changes):
        return config.read("toy", None, {key.replace("__", "."): v for key, v in changes.items()})

    assert config.differences(with_(), with_()) == []
    harmless = with_(
        data__num_workers=3, log__every_n_steps=1, trainer__max_epochs=1, trainer__max_time="x"
    )
    assert config.differences(with_(), harmless) == []
    assert config.differences(with_(), with_(optim__lr=1.0, seed=4)) == ["seed", "optim.lr"]
    other = with_(scheduler__arguments={"gamma": 0.5})
    assert config.differences(with_(), other) == ["scheduler.arguments.steps"]


def test_differences_find_keys_that_one_side_lacks():
    assert config.differences({"a": {"b": None}}, {"a": {}}) == ["a.b"]
    assert config.differences({"a": {}}, {"a": {"b": None}}) == ["a.b"]
    assert config.differences({"logs": 1}, {"logs": 2}) == ["logs"]  # not the section "log"


# ---------------------------------------------------------------- the recipes


@pytest.mark.parametrize("recipe", config.recipes())
def test_every_recipe_reads_under_every_preset(recipe):
    path = ROOT / "recipes" / recipe / "conf.yml"
    presets = yaml.safe_load(path.read_text(encoding="utf-8"))["presets"]
    for preset in (None, *presets):
        assert config.flatten(config.read(recipe, preset))
    assert config.describe(recipe)


def test_describe_is_the_first_comment_line(toy):
    assert config.describe("toy") == "toy: a recipe of a test"


def test_words_to_choose_from_may_be_none():
    assert config.read("unet")["data"]["augment"]["apply"] == ["speed", "polarity"]
    chosen = config.read("unet", None, {"data.augment.apply": "[]"})
    assert chosen["data"]["augment"]["apply"] == []
    with pytest.raises(UserError, match=r"data\.snr_db expects a list like"):
        config.read("unet", None, {"data.snr_db": "[]"})
