"""Models of XGBoost, LightGBM and scikit-learn as bytes that the engine reads."""

from __future__ import annotations

import os
from typing import Any

from pelton import scikit
from pelton.errors import InputError


def model_bytes(model: Any) -> bytes:
    """What the model's library saves it as.

    A `Booster` of XGBoost or LightGBM, one of their estimators, a tree ensemble of scikit-learn, a path of a saved model, or its bytes.
    """
    if isinstance(model, (bytes, bytearray, memoryview)):
        return bytes(model)
    if isinstance(model, (str, os.PathLike)):
        try:
            with open(model, "rb") as file:
                return file.read()
        except OSError as error:
            raise InputError(f"cannot read the model '{os.fspath(model)}': {error.strerror}") from error
    if scikit.is_known(model):
        return scikit.model_text(model).encode()
    if hasattr(model, "get_booster"):  # XGBModel
        model = model.get_booster()
    elif hasattr(model, "booster_"):  # LGBMModel; asking raises if it is not fitted
        model = model.booster_
    if hasattr(model, "save_raw"):
        return bytes(model.save_raw(raw_format="ubj"))
    if hasattr(model, "model_to_string"):
        return str(model.model_to_string()).encode()
    kind = type(model)
    raise InputError(
        f"{kind.__module__}.{kind.__qualname__} is no model that can be scored; wanted: a Booster or an estimator of XGBoost or "
        "LightGBM, a tree ensemble of scikit-learn, the path of a saved one, or its bytes"
    )
