"""Single sounds: synthesised classes, recorded clips and the conditions that they are heard under."""
