"""The training loop. `train.fit.fit` trains one network; `train.problem.Problem` is all it needs to know of a task."""
