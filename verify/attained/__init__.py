"""From below: inputs with a large value of the measure, and what they are proved to attain."""
