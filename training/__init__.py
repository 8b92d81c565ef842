"""How weights are made: rendered people, data sets, causal training, evaluation."""
