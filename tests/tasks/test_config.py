"""The one checker of settings: typos, wrong values, spellings, YAML round trip, scikit-learn's protocol."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gatework.errors import ConfigError
from gatework.tasks import task, tasks
from gatework.tasks.config import check, flatten, read_yaml, schema, settle, to_yaml
from gatework.tasks.forecaster import Forecaster, ForecasterConfig
from gatework.tasks.setting import fields

TYPOS = {
    "horizn": "horizon", "horizont": "horizon", "contxt": "context", "hiden_size": "hidden_size",
    "hidden": "hidden_size", "num_layer": "num_layers", "layers": "num_layers", "drop_out": "dropout",
    "learning-rat": "learning_rate", "lerning_rate": "learning_rate", "batchsize": "batch_size",
    "max_epoch": "max_epochs",
    "epochs": "max_epochs", "sed": "seed", "paticence": "patience", "time-limt": "time_limit", "presets": "preset",
    "quantile": "quantiles", "model.cel": "model.cell", "training.sead": "training.seed",
    "target_column": "time_column",
    "columns.freqq": "columns.freq", "member": "members",
}  # fmt: skip


@pytest.mark.parametrize("typo", TYPOS)
def test_typos_are_refused_with_the_right_suggestion(typo: str, tmp_path: Path):
    expected = f"{typo.replace('-', '_')!r}. Did you mean {TYPOS[typo]!r}"
    with pytest.raises(ConfigError) as python:
        Forecaster(**{typo: 1})
    with pytest.raises(ConfigError) as parameters:
        Forecaster().set_params(**{typo: 1})
    file = tmp_path / "run.yaml"
    file.write_text(f"{typo}: 1\n")
    with pytest.raises(ConfigError) as from_file:
        settle(ForecasterConfig, read_yaml(file), source=str(file))
    for error, source in ((python, "Forecaster()"), (parameters, "set_params()"), (from_file, "run.yaml")):
        assert expected in str(error.value) and source in str(error.value)


def test_a_name_nothing_is_like_lists_all():
    with pytest.raises(ConfigError, match=r"'zzz'\. The settings are: horizon, context, .*checkpoint_seconds"):
        Forecaster(zzz=1)


WRONG = [
    ("horizon", 0, "1 to 10000"), ("horizon", -3, "1 to 10000"), ("horizon", 10_001, "1 to 10000"), ("horizon", 2.5,
    "whole number"),
    ("horizon", "soon", "whole number"), ("context", 0, "whole number or auto"), ("context", "often",
    "whole number or auto"),
    ("quantiles", [0.1, 1.2], "above 0 and below 1"), ("quantiles", [], "above 0 and below 1"), ("quantiles", "a,b",
    "list of numbers"),
    ("decoder", "both", "direct, recursive"), ("holdout", -1, "0 to 1000"), ("members", 0, "1 to 100"),
    ("hidden_size", 0, "1 to 4096"), ("num_layers", 99, "1 to 16"), ("dropout", 1.0, "0 to 1"), ("dropout", "much",
    "number"),
    ("seed", -1, "0 to"), ("batch_size", 0, "1 to 65536"), ("learning_rate", 0, "number or auto"), ("learning_rate",
    "quick", "auto"),
    ("schedule", "linear", "one-cycle, cosine, constant"), ("max_epochs", 0, "1 to 100000"), ("patience", -1,
    "0 or more"),
    ("time_limit", "10 parsecs", "90s, 10m, 1.5h"), ("time_limit", 0, "above 0"), ("clip_norm", -1, "above 0"),
    ("precision", "fp8", "32-true, bf16-mixed"), ("season", 0, "1 or more"), ("average", 1, "0 to 1"),
    ("deterministic", "perhaps", "bool"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "expected"), WRONG)
def test_wrong_values_say_what_came_and_what_was_expected(name: str, value: object, expected: str):
    with pytest.raises(ConfigError) as error:
        Forecaster(**{name: value}).settings()
    assert f"{name} is {value!r}; expected" in str(error.value) and expected in str(error.value)


def test_every_wrong_value_is_named_at_once():
    with pytest.raises(ConfigError, match=r"horizon is 0.*dropout is 2.*seed is -1"):
        Forecaster(horizon=0, dropout=2, seed=-1).settings()


def test_unknown_preset():
    with pytest.raises(ConfigError, match=r"preset is 'god'; expected good, fast, best\. Did you mean 'good'"):
        Forecaster(preset="god").settings()


@pytest.mark.parametrize(
    "given",
    [
        {"hidden_size": 48},
        {"hidden-size": "48"},
        {"model.hidden_size": 48},
        {"model.hidden-size": "48"},
        {"model__hidden_size": 48},
        {"model": {"hidden_size": 48}},
        {"model": {"hidden-size": "48"}},
    ],
)
def test_all_spellings_are_the_same_setting(given: dict[str, object]):
    assert check(ForecasterConfig, settle(ForecasterConfig, given)).model.hidden_size == 48
    assert Forecaster(**given).settings().model.hidden_size == 48


def test_given_twice_is_refused():
    with pytest.raises(ConfigError, match="'hidden_size' is given twice"):
        settle(ForecasterConfig, {"hidden_size": 1, "model": {"hidden_size": 2}})


def test_text_is_read_as_the_settings_type():
    text = {
        "quantiles": "0.1, 0.9",
        "time_limit": "1.5h",
        "context": "30",
        "calibrate": "false",
        "max_steps": "none",
        "target": "a,b",
    }
    config = check(ForecasterConfig, settle(ForecasterConfig, text))
    assert config.quantiles == (0.1, 0.9) and config.training.time_limit == 5400 and config.context == 30
    assert config.calibrate is False and config.training.max_steps is None and config.columns.target == ("a", "b")


@pytest.mark.parametrize("name", tasks())
def test_yaml_is_the_model_and_back(name: str, tmp_path: Path):
    kind = task(name)
    file = tmp_path / "run.yaml"
    file.write_text(to_yaml(kind.Config))
    flat = settle(kind.Config, read_yaml(file))
    default = check(kind.Config, {})
    assert check(kind.Config, flat) == default
    assert flat.keys() == flatten(default).keys()


@pytest.mark.parametrize("name", tasks())
def test_every_setting_is_described(name: str):
    described = fields(task(name).Config)
    assert len({field.name for field in described}) == len(described), "leaf names must be unique"
    for field in described:
        assert field.help and field.type_text, field
    properties = schema(task(name).Config)
    assert properties["additionalProperties"] is False and properties["properties"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("horizon: [1, 2", "line 1"),
        ("- horizon", "expected settings as `name: value` lines"),
        ("horizon 24", "holds a str"),
        ("horizon: 1\n\tcell: gru", "line 2"),
    ],
)
def test_bad_yaml(tmp_path: Path, content: str, message: str):
    file = tmp_path / "run.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_yaml(file)


def test_yaml_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(ConfigError, match="No such file"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("cell: \xe9".encode("latin-1"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_yaml(tmp_path / "latin.yaml")
    (tmp_path / "empty.yaml").write_text("")
    assert read_yaml(tmp_path / "empty.yaml") == {}


def test_yaml_runs_no_code(tmp_path: Path):
    file = tmp_path / "run.yaml"
    file.write_text("horizon: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(ConfigError, match="not YAML"):
        read_yaml(file)


def test_constructor_only_stores():
    levels = [0.25, 0.75]
    model = Forecaster(horizon="7", quantiles=levels)
    assert model.horizon == "7" and model.quantiles is levels  # as given, unchecked
    assert model.get_params()["quantiles"] is levels
    assert not [name for name in vars(model) if name.endswith("_")]


def test_scikit_learn_clone_and_grid():
    from sklearn.base import clone
    from sklearn.model_selection import ParameterGrid

    model = Forecaster(horizon=7, dropout=0.3, quantiles=[0.1, 0.9], model__cell="gru")
    copy = clone(model)
    assert copy is not model and copy.get_params() == model.get_params()
    for parameters in ParameterGrid({"model__hidden_size": [8, 16], "learning_rate": [0.01]}):
        assert clone(model).set_params(**parameters).settings().model.hidden_size == parameters["model__hidden_size"]
    assert model.settings().model.cell == "gru"


def test_repr_shows_what_was_given():
    assert repr(Forecaster(cell="gru", horizon=7)) == "Forecaster(horizon=7, cell='gru')"


def test_signature_lists_the_settings():
    import inspect

    assert {"horizon", "cell", "time_limit", "seed"} <= set(inspect.signature(Forecaster).parameters)


def test_settings_need_no_torch():
    code = (
        "import sys; from gatework.tasks import tasks, task; from gatework.tasks.config import to_yaml\n"
        "to_yaml(task('forecaster').Config); tasks()\n"
        "task('forecaster')(horizon=3).settings()\n"
        "sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_tasks_are_found_by_scan():
    assert tasks()["forecaster"].startswith("Forecasts")
    with pytest.raises(ConfigError, match=r"'forecastr'\. Did you mean 'forecaster'"):
        task("forecastr")
    assert yaml.safe_load(to_yaml(task("forecaster").Config))["horizon"] == 24
