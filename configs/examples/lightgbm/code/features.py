"""From a record to the numbers that the model takes."""

import numpy as np

NUMBERS = ["months", "monthly_fee", "support_calls", "days_since_login"]
CATEGORIES = ["plan", "country", "payment"]


def matrix(records, categories):
    """One row a record. What is missing, null, or a category that training did not see, is NaN."""
    rows = np.full((len(records), len(NUMBERS) + len(CATEGORIES)), np.nan)
    for row, record in zip(rows, records):
        for i, name in enumerate(NUMBERS):
            value = record.get(name)
            if value is not None:
                row[i] = value
        for i, name in enumerate(CATEGORIES, len(NUMBERS)):
            value = record.get(name)
            if value in categories[name]:
                row[i] = categories[name].index(value)
    return rows
