"""How the program says how it is doing: health, metrics, logs."""
