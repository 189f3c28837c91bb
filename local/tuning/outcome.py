"""What comes out of a search: a table, a CSV, figures, and the best settings as a preset."""

import math
import warnings
from pathlib import Path

import matplotlib.figure
import matplotlib.ticker
import numpy as np
import optuna
import pandas
from optuna.trial import TrialState

from local import SOURCES
from local.base import config, disk, plain_yaml
from local.base.names import TEXT
from local.reporting import figures, tables
from local.training import pruning
from local.tuning import study
from local.tuning.study import Search

MANY = 16  # settings, more of which no axis can name
PRESET = "tuned"
RESULT, COSTS = "result", "costs"  # what a trial that has ended is told


def write(folder: Path, search: Search, mixture: dict, about: dict) -> list[Path]:
    """Write all of it to a folder.

    Args:
        folder: of the search.
        search: with its trials.
        mixture: ``trial.summary`` of the mixtures.
        about: further entries of tune.yml, plain types.

    Returns:
        the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trials = ended(search)
    with disk.replace(folder / "trials.csv") as temporary:
        frame(search, trials).to_csv(temporary, index=False)
    summary = tables.markdown(table(search, trials, mixture))
    if best(trials) is not None:
        summary += f"\n```yaml\n{preset(search, best(trials))}```\n"
        with disk.replace(folder / "best.yml") as temporary:
            temporary.write_text(preset(search, best(trials)), **TEXT)
    with disk.replace(folder / "summary.md") as temporary:
        temporary.write_text(summary, **TEXT)
    disk.write_yaml(folder / "tune.yml", about)
    names = ["trials.csv", "summary.md", "tune.yml", *plots(folder, search, trials)]
    return [folder / name for name in names]


def ended(search: Search) -> list[optuna.trial.FrozenTrial]:
    """The trials that have ended, the best first, then what was ended early, then what failed."""
    order = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    found = [of for of in search.trials if of.state in order]
    return sorted(found, key=lambda of: (order.index(of.state), -(of.value or 0.0), of.number))


def best(trials: list[optuna.trial.FrozenTrial]) -> optuna.trial.FrozenTrial | None:
    """The first of ``ended``, if it has a score."""
    return trials[0] if trials and trials[0].state is TrialState.COMPLETE else None


def name(search: Search, values: dict) -> str:
    """The settings of a trial in a line."""
    recipe, settings = search.space.resolve(values)
    varied = {key: text for key, text in settings.items() if key not in search.space.fixed}
    words = [recipe] if len(search.space.models) > 1 or not varied else []
    return " ".join([*words, *(f"{key}={text}" for key, text in varied.items())])


def table(search: Search, trials: list[optuna.trial.FrozenTrial], mixture: dict) -> tables.Table:
    """Mean SI-SDR over all and by SNR: first the mixture's, then a row for each of ``trials``."""
    columns = [of for of in mixture if "ci_" not in of and of != "failed"]
    columns = [*SOURCES, *(of for of in columns if of not in SOURCES)]
    rows = [(("mixture",), *_numbers(mixture, columns), ("",))]
    for of in trials:
        result = of.user_attrs.get(RESULT, {})
        rows.append(((name(search, of.params),), *_numbers(result, columns), (_remark(of),)))
    asked = search.study.user_attrs[study.ASKED]
    caption = f"Valid split, {asked['mixtures']} mixtures; over all, then by SNR (dB)"
    return tables.Table(caption, ("mean SI-SDR (dB)", *columns, ""), tuple(rows))


def _numbers(result: dict, columns: list[str]) -> list[tuple]:
    values = [result.get(of) for of in columns]
    return [(tables.Number(math.nan if value is None else value),) for value in values]


def _remark(of: optuna.trial.FrozenTrial) -> str:
    """Why a trial has no score, or how many of its scores are missing."""
    if of.state is TrialState.FAIL:
        return "failed"
    if pruning.PRUNED in of.user_attrs:
        return f"ended early ({of.user_attrs[pruning.PRUNED]}/{pruning.STEPS})"
    if of.state is TrialState.PRUNED:
        return "refused"
    failed = of.user_attrs[RESULT]["failed"]
    return f"{failed} without a value" if failed else ""


def frame(search: Search, trials: list[optuna.trial.FrozenTrial]) -> pandas.DataFrame:
    """A row for each of ``trials``: number, state, value (what is searched for, dB), settings.

    Then what ``trial.summary`` has, what it cost, seconds (between its start and its end), and
    the reason where it failed.
    """
    rows = []
    for of in trials:
        recipe, settings = search.space.resolve(of.params)
        seconds = of.duration.total_seconds() if of.duration else math.nan
        rows.append({
            "trial": of.number, "state": of.state.name.lower(), "value": of.value,
            "model": recipe, **settings, **of.user_attrs.get(RESULT, {}),
            **of.user_attrs.get(COSTS, {}), "seconds": round(seconds, 1),
            "reason": of.user_attrs.get(study.REASON),
        })  # fmt: skip
    return pandas.DataFrame(rows)


def preset(search: Search, of: optuna.trial.FrozenTrial) -> str:
    """The settings of a trial as a preset to paste below ``presets:`` in its recipe's conf.yml."""
    recipe, changes = search.space.resolve(of.params)
    conf = config.read(recipe, search.space.preset, changes)
    free = config.keys(recipe)
    values = config.preset_settings(recipe, search.space.preset)
    flat = config.flatten(conf, stop=free)
    values |= {config.match_key(key, free): None for key in changes}
    tree = {}
    for key in values:
        *sections, last = key.split(".")
        part = tree
        for section in sections:
            part = part.setdefault(section, {})
        part[last] = flat[key]
    result, asked = of.user_attrs[RESULT], search.study.user_attrs[study.ASKED]
    said = ", ".join(f"{source} {result[source]:.2f} dB" for source in SOURCES if result[source])
    lines = plain_yaml.dump(tree).splitlines() if tree else ["{}"]
    return "".join([
        f"# recipes/{recipe}/conf.yml\npresets:\n",
        f"  {PRESET}:  # {said} SI-SDR on valid of {asked['data']}\n",
        *(f"    {line}\n" for line in lines),
    ])  # fmt: skip


def plots(folder: Path, search: Search, trials: list[optuna.trial.FrozenTrial]) -> list[str]:
    """Write the figures for which there is enough to draw; their names."""
    complete = [of for of in trials if of.state is TrialState.COMPLETE]
    if not complete or not search.space.dimensions:
        return []
    drawn = {}
    if len(complete) <= MANY:
        drawn["settings.svg"] = figures.settings(_settings(search, complete))
    drawn |= _optunas(search, trials, complete)
    for file, figure in drawn.items():
        figures.write(figure, folder / file)
    return list(drawn)


def _optunas(search: Search, trials: list, complete: list) -> dict[str, matplotlib.figure.Figure]:
    """Optuna's own figures by the names of their files."""
    matplotlib.use("Agg")
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as optunas

    judged = search.study.user_attrs[study.ASKED]["objective"]
    value = {"target_name": tables.column("si_sdr") + f", {judged}"}
    drawn = {}
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls its own plots experimental
        drawn["history"] = optunas.plot_optimization_history(search.study, **value)
        drawn["slices"] = optunas.plot_slice(search.study, **value)
        if len(complete) > 1 and len({of.value for of in complete}) > 1:
            drawn["importance"] = optunas.plot_param_importances(search.study, **value)
        if any(of.intermediate_values for of in trials):
            drawn["validation"] = axes = optunas.plot_intermediate_values(search.study)
            axes.set_xlabel(f"part of the training, of {pruning.STEPS}")
            axes.set_ylabel(value["target_name"])
            if len(trials) > MANY and axes.get_legend() is not None:
                axes.get_legend().remove()
        drawn = {name: np.ravel(axes) for name, axes in drawn.items()}
        for axes in drawn["slices"]:
            low, high = axes.get_xlim()
            if axes.get_xscale() == "log" and high > 10 * low:  # powers of ten are names enough
                axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        for name, axes in drawn.items():
            axes[0].figure.set_size_inches(max(6.0, 3.0 * len(axes)), 4.8)
            if name != "slices":  # its bar of colours is for all of its axes
                axes[0].figure.set_layout_engine("constrained")
        pyplot.close("all")
    return {f"{name}.svg": axes[0].figure for name, axes in drawn.items()}


def _settings(search: Search, complete: list[optuna.trial.FrozenTrial]) -> pandas.DataFrame:
    """What ``figures.settings`` shows, in the order of the trials."""
    columns = {"mean": "{}", "ci_low": "{} ci_low", "ci_high": "{} ci_high"}
    return pandas.DataFrame([
        {"setting": name(search, of.params), "source": source}
        | {column: _number(of, words.format(source)) for column, words in columns.items()}
        for of in sorted(complete, key=lambda of: of.number) for source in SOURCES
    ])  # fmt: skip


def _number(of: optuna.trial.FrozenTrial, column: str) -> float:
    value = of.user_attrs[RESULT].get(column)
    return math.nan if value is None else value


def said(of: dict) -> str:
    """A result in a few words."""
    words = [f"{source} {of[source]:.2f} dB" for source in SOURCES if of[source] is not None]
    return "SI-SDR " + ", ".join(words)
