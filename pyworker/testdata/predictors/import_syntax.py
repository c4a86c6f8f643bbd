"""Is not Python."""

def predict(:
