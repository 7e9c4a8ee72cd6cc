"""Forecast the weekly CO2 record of Mauna Loa (it comes with statsmodels), two years that the model has not seen.

`make demo` runs this. What it leaves: runs/co2/ with the data, the forecast, and the run folder of each fit.
"""

import time
from pathlib import Path

from statsmodels.datasets import co2

from gatework import Forecaster

HORIZON = 52  # weeks
HELD_OUT = 2 * HORIZON
FOLDER = Path("runs") / "co2"


def main() -> None:
    start = time.perf_counter()
    FOLDER.mkdir(parents=True, exist_ok=True)
    table = co2.load_pandas().data.rename_axis("week").reset_index()
    known, everything = FOLDER / "known.csv", FOLDER / "everything.csv"
    table[:-HELD_OUT].to_csv(known, index=False)
    table.to_csv(everything, index=False)
    missing = int(table.co2.isna().sum())
    print(f"{len(table)} weeks of CO2, {missing} of them missing; the last {HELD_OUT} are held out\n")

    model = Forecaster(horizon=HORIZON, runs=str(FOLDER)).fit(known)

    evaluation = model.evaluate(everything, windows=2)
    print(f"\nThe two years held out, forecast {HORIZON} weeks ahead:\n\n{evaluation}\n")
    gain = evaluation.skill["MAE"]
    print(f"The error is {abs(gain):.0%} {'below' if gain > 0 else 'ABOVE'} that of the seasonal naive forecast.\n")

    forecast = FOLDER / "forecast.csv"
    model.predict(everything).to_csv(forecast, index=False)
    print(f"forecast   {forecast}")
    print(f"run        {model.run_.path}    (config, weights, metrics, decisions; start with README.md)")
    for picture in sorted(model.run_.path.rglob("*.png")):
        print(f"picture    {picture}")
    print(f"{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
