"""Parts of the sequence tagger: tagged sets, lexicon, network, decoding, scores of tags and of entities."""
