"""scikit-learn's contract with an estimator, without scikit-learn."""

from __future__ import annotations

import inspect
from typing import Any, Self


class Estimator:
    """Base of a classifier of texts: what clone(), grid search and cross-validation ask for.

    The parameters are the arguments of the constructor, each kept as an attribute of its name.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters, of which none is an estimator: `deep` changes nothing."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Change some parameters. Raises ValueError for an unknown one."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"{type(self).__name__} has no parameter {name!r} (known: {', '.join(known)})")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        usual = {name: given.default for name, given in inspect.signature(type(self)).parameters.items()}
        changed = (f"{name}={value!r}" for name, value in self.get_params().items() if value != usual[name])
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        """scikit-learn asks for this before it splits or scores; nothing else here needs it."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(one_d_array=True, two_d_array=False, string=True),
        )
