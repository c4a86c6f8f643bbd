"""The custom transformer of the model. A pickle has its name: filling.MedianFiller."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin


class MedianFiller(BaseEstimator, TransformerMixin):
    """Puts the median of the training data where a reading is missing, and cuts off outliers."""

    def __init__(self, outliers=0.01):
        self.outliers = outliers

    def fit(self, readings, states=None):
        self.medians_ = np.nanmedian(readings, axis=0)
        self.low_, self.high_ = np.nanquantile(readings, [self.outliers, 1 - self.outliers], axis=0)
        return self

    def transform(self, readings):
        filled = np.where(np.isnan(readings), self.medians_, readings)
        return np.clip(filled, self.low_, self.high_)
