"""What `gatework bench` measures: kernels against their peers, after a check that both compute the same."""
