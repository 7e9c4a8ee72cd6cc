"""Parts of the forecaster: choices, windows run and scored, intervals and what it is compared with."""
