"""Parts of the text classifier: classes, choices, network, calibration, baselines, highlights."""
