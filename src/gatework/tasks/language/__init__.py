"""Parts of the language model: corpus, recipe, network, scores, generation, what it adapts to."""
