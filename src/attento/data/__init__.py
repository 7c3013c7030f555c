"""From parallel text files to the shards and batches that training reads."""
