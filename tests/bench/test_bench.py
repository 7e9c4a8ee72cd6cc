"""Every suite at tiny shapes: it ends, its gate passes, its rows are valid; and the parts that figures depend on."""

import csv
import os

import pytest
import torch

from gatework.bench import peak, quiet, record, startup, suites
from gatework.bench.run import QUICK_SUITES, SHARE, SUITES, Options, measure
from gatework.bench.shapes import SHAPES, Shape
from gatework.bench.targets import TARGETS, judge, table
from gatework.bench.timing import Repeats, Spread, alternate
from gatework.cli.main import main, verbs
from gatework.errors import InputError, StorageError

QUICK = Repeats(0.0, least=2)


@pytest.mark.parametrize("name", QUICK_SUITES)
def test_every_suite_gates_and_times(name):
    kept = []
    outcome = measure(Options((name,), (1,), repeats=QUICK, quick=True), kept.extend)
    assert (outcome.refused, outcome.timed) == ([], len(kept))
    assert kept
    for row in kept:
        assert set(row) <= set(record.COLUMNS)
        assert row["suite"] == "kernels"
        assert 0 < row["p20"] <= row["median"] <= row["p80"]
        assert row["ratio"] == pytest.approx(row["peer_median"] / row["median"])


def test_share_of_the_peak_is_a_row_of_its_own():
    kept = []
    measure(Options(("forward",), (1,), (Shape(4, 32, 16, 256),), QUICK), kept.extend)
    pair, share = kept
    assert share["metric"] == SHARE
    assert 0 < share["p20"] <= share["median"] <= share["p80"]
    assert "GFLOP/s" in share["note"]
    assert "ratio" not in share
    assert pair["ratio"] > 0


def test_peak_is_a_rate_that_a_processor_can_have():
    short, long = (max(peak.peak(1, rounds) for _ in range(5)) for rounds in (100_000, 400_000))
    assert 1e9 < short < 1e13
    assert 1 / 3 < short / long < 3, "four times the work takes about four times as long"


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_two_threads():
    kept = []
    assert measure(Options(("train",), (1, 2), repeats=QUICK, quick=True), kept.extend).refused == []
    assert {row["threads"] for row in kept} == {1, 2}


def test_the_loop_that_torch_compiles_is_the_peephole_lstm():
    pair = next(suites.peephole_compiled([Shape(3, 2, 4, 8)]))
    eager = pair.theirs.layer
    truth = {name: value.detach() for name, value in eager.named_parameters()}
    for name, value in pair.ours.layer.named_parameters():
        assert torch.equal(value, truth[name])
    y, (h, c) = eager(pair.ours.input)
    for got, expected in zip(pair.ours.forward(), (y, h, c), strict=True):
        torch.testing.assert_close(got, expected.detach(), rtol=1e-5, atol=1e-6)


def test_torch_keeps_its_own_cache_folder(monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "mine")
    pairs = suites.peephole_compiled([Shape(3, 2, 4, 8)])
    next(pairs)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] != "mine"
    pairs.close()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "mine"


def test_first_use_builds_and_cached_use_does_not():
    uses = startup.measure(1)
    assert 0 < uses["cached use"].cpu < uses["first use"].cpu
    assert uses["cached use"].cpu < uses["first use of a further cell"].cpu


def test_a_program_that_fails_says_why(monkeypatch, tmp_path):
    program = tmp_path / "first_use.py"
    program.write_text("raise SystemExit('no such cell')")
    monkeypatch.setattr(startup, "PROGRAM", program)
    with pytest.raises(startup.StartFailed, match="no such cell"):
        startup.measure(1)


def test_functions_take_turns():
    calls: list[str] = []
    spreads = alternate([lambda: calls.append("a"), lambda: calls.append("b")], Repeats(0.0, least=3))
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"  # once untimed, then every other round in reverse
    assert [spread.count for spread in spreads] == [3, 3]
    assert alternate([lambda: None], Repeats(60.0, least=1, most=7))[0].count == 7


def test_neighbours_are_noticed(monkeypatch, tmp_path):
    statistics = tmp_path / "stat"
    tick = os.sysconf("SC_CLK_TCK")
    now = [100.0]
    monkeypatch.setattr(quiet, "_STATISTICS", statistics)
    monkeypatch.setattr(quiet, "_own", lambda: 0.0)
    monkeypatch.setattr(quiet.time, "perf_counter", lambda: now[0])
    statistics.write_text("cpu  0 0 0 500 7 0 0 0 0 0\ncpu0 1 1\n")
    neighbours = quiet.Neighbours()
    now[0] += 2.0
    statistics.write_text(f"cpu  {2 * tick} {tick} 0 900 90 0 0 {tick} 0 0\ncpu0 1 1\n")
    assert neighbours.cores() == pytest.approx(2.0), "four seconds of work in two: user, nice and stolen"
    monkeypatch.setattr(quiet, "_own", lambda: 3.0)
    assert neighbours.cores() == pytest.approx(0.5)
    monkeypatch.setattr(quiet, "_STATISTICS", tmp_path / "none")
    assert quiet.Neighbours().cores() is None


@pytest.mark.parametrize(("cores", "disturbed"), [(0.0, 0), (None, 0), (1.5, 1)])
def test_disturbed_figures_say_so(monkeypatch, cores, disturbed):
    monkeypatch.setattr(quiet.Neighbours, "cores", lambda self: cores)
    kept = []
    outcome = measure(Options(("stream",), (1,), repeats=QUICK, quick=True), kept.extend)
    assert outcome.disturbed == disturbed
    assert ("others used 1.5 cores" in kept[0]["note"]) == bool(disturbed)


def test_spread():
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0, 1)
    assert Spread.of([float(k) for k in range(11, 0, -1)]) == Spread(6.0, 3.0, 9.0, 11)
    assert Spread.of([1.0, 2.0]).median == 1.5
    assert Spread(2.0, 1.0, 4.0, 5).scaled(0.5) == Spread(1.0, 0.5, 2.0, 5)


def test_shapes():
    assert Shape.parse("35x20x640x650") == Shape(35, 20, 640, 650) in SHAPES
    assert str(Shape.parse("100x32x256")) == "T100 B32 H256"
    assert Shape(2, 3, 4, 5).flops(gates=4, backward=False) == 2 * 2 * 3 * 20 * 9
    assert Shape(2, 3, 4, 5).flops(gates=4, backward=True) == 3 * 2 * 2 * 3 * 20 * 9
    for text in ("", "100x32", "0x1x1", "1x2x3x4x5", "axbxc", "1x-2x3"):
        with pytest.raises(InputError, match="no shape"):
            Shape.parse(text)


def test_results_are_appended_and_read_back(tmp_path):
    path = tmp_path / "results.csv"
    assert record.read(path) == []
    record.append([{"suite": "kernels", "cell": "lstm", "median": 0.123456789}], path)
    record.append([{"suite": "kernels", "note": "a, b"}, {"date": "2026-01-01"}], path)
    rows = record.read(path)
    assert [row["median"] for row in rows] == ["0.123457", "", ""]
    assert rows[0]["machine"] == record.machine() != ""
    assert "torch" in rows[0]["versions"]
    assert (rows[1]["note"], rows[2]["date"]) == ("a, b", "2026-01-01")
    assert path.read_text().count("date,suite") == 1


def test_wrong_results_are_refused(tmp_path):
    path = tmp_path / "results.csv"
    with pytest.raises(InputError, match="speed"):
        record.append([{"speed": 1.0}], path)
    assert not path.exists()
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="Choose another file"):
        record.append([{"cell": "lstm"}], path)
    assert path.read_text() == "a,b\n1,2\n"
    with pytest.raises(StorageError):
        record.append([], tmp_path / "missing" / "results.csv")


def row(shape: str, ratio: float, **values: object) -> dict[str, object]:
    common = {"cell": "lstm", "mode": "forward", "peer": "torch.nn.LSTM", "threads": 1, "metric": "seconds"}
    return {**common, "shape": shape, "ratio": ratio, **values}


@pytest.mark.parametrize(
    ("ratios", "met"), [((1.0, 1.2), True), ((1.0, 1.0), False), ((0.8, 2.0), False), ((0.9, 1.3), True)]
)
def test_mean_and_worst_shape_decide(ratios, met):
    (verdict,) = judge([row(f"s{k}", ratio) for k, ratio in enumerate(ratios)])
    assert verdict.met is met
    assert verdict.worst == min(ratios)
    assert verdict.mean == pytest.approx((ratios[0] * ratios[1]) ** 0.5)
    assert ("MISSED" in table([verdict])) is not met
    assert "MISSED" not in table([verdict], judged=False)


def test_threads_are_judged_apart_and_upper_bounds_too():
    use = {"cell": "new cell", "mode": "first use", "metric": "first use [s]"}
    verdicts = judge([row("a", 2.0), row("a", 0.5, threads=2), {**use, "median": 2.5}])
    assert [(v.threads, v.met) for v in verdicts] == [("1", True), ("2", False), ("", True)]
    assert [v.met for v in judge([{**use, "median": 3.5}])] == [False]


def test_every_target_is_measured_by_some_suite():
    """Names that suites give and that targets look for are the same."""
    kept = []
    names = tuple(name for name in SUITES if name not in ("compile", "startup"))
    measure(Options(names, (1,), repeats=Repeats(0.0, least=1), quick=True), kept.extend)
    found = {verdict.target for verdict in judge(kept)}
    left = {(target.metric, target.peer) for target in TARGETS if target not in found}
    assert left == {(SHARE, ""), (None, "torch.compile loop"), ("first use [s]", ""), ("cached use [s]", "")}


def test_the_command_writes_rows_and_prints_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["bench", "--suites", "forward", "--quick", "--threads", "1"]
    assert main(words) == 0
    assert list(tmp_path.iterdir()) == [], "a check is not kept"
    capsys.readouterr()
    assert main([*words, "--shapes", "3x2x8,4x2x8", "--results", "figures.csv"]) == 0
    assert "lstm forward" in capsys.readouterr().out
    with (tmp_path / "figures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["shape"] for r in rows] == ["T3 B2 H8", "T4 B2 H8"]
    assert {r["backend"] for r in rows} == {"cpp"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--suites", "forwards"], "no suite is called 'forwards'"),
        (["--threads", "0"], "threads is 0"),
        (["--threads", "two"], "--threads is 'two'"),
        (["--shapes", "1x2"], "'1x2' is no shape"),
        (["--seconds", "-1"], "--seconds is -1"),
        (["--quik"], "Did you mean --quick"),
    ],
)
def test_the_command_refuses(words, message, capsys):
    assert main(["bench", *words]) == 2
    assert message in capsys.readouterr().err


def test_help_names_every_suite():
    assert all(name in verbs()["bench"].__doc__ for name in SUITES)
