"""What an experiment knows: unit rows, cells, epochs, and their arrays."""
