"""From somebody's gold in the exchange format to a label scheme and a config of their own."""
