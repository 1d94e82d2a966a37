"""ClassTemplateDisplay: the weights of each class as an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from explicit_softmax._displays import checked_length, fitted_step
from explicit_softmax._sklearn import check_matplotlib_support

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_COLUMNS = 5
_PANEL_INCHES = 1.5

# Weights of pixels that are rarely inked are much larger than others: the scale covers
# this share of all weights, and those beyond it have the colours of its ends.
_SCALED_SHARE = 0.98


class ClassTemplateDisplay:
    """Weights of each class as an image, one panel a class on a shared colour scale.

    Zero has the neutral colour in the middle of the scale, which ends where 2% of the
    weights are larger. Make one with `from_estimator`.

    Parameters
    ----------
    templates : array-like of shape (n_classes, height, width)
        Images of weights.
    classes : array-like of shape (n_classes,)
        Labels of the classes, the titles of the panels.
    scale_name : str, default="Weight"
        Label of the colour bar.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes, shape (n_classes,)
        Panels.
    figure_ : matplotlib Figure
        Figure of the panels.
    images_ : list of matplotlib AxesImage
        Images, in the order of `classes`.
    colorbar_ : matplotlib Colorbar
        Colour bar of all panels.

    See Also
    --------
    ExplicitSoftmaxClassifier : Its rows of ``coef_`` are logarithms of co-occurrences.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from explicit_softmax import ClassTemplateDisplay, ExplicitSoftmaxClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ExplicitSoftmaxClassifier().fit(X, y)
    >>> display = ClassTemplateDisplay.from_estimator(clf, image_shape=(8, 8))
    >>> display.templates.shape
    (10, 8, 8)
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        templates: ArrayLike,
        classes: ArrayLike,
        scale_name: str = "Weight",
    ) -> None:
        self.templates: NDArray[Any] = np.asarray(templates)
        self.classes: NDArray[Any] = np.asarray(classes)
        if self.templates.ndim != 3 or not self.templates.size:
            raise ValueError(
                "templates must have the shape (n_classes, height, width) and not be "
                f"empty, and the shape is {self.templates.shape}"
            )
        if not np.isfinite(self.templates).all():
            raise ValueError("templates must be finite, and some weights are not")
        checked_length(self.classes, "classes", self.templates, "templates")
        self.scale_name = scale_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        image_shape: tuple[int, int] = (28, 28),
        classes: ArrayLike | None = None,
        centre: bool = True,
        ax: Axes | Sequence[Axes] | NDArray[Any] | None = None,
        im_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the weights of a fitted linear classifier on pixels.

        Parameters
        ----------
        estimator : estimator or Pipeline
            Fitted classifier with a row of ``coef_`` for each class, or a pipeline that
            ends in one.
        image_shape : tuple of (int, int), default=(28, 28)
            Height and width of an image; their product is the number of features.
        classes : array-like, default=None
            Labels of the classes to draw, in this order; all by default.
        centre : bool, default=True
            Whether to subtract the mean over all classes from the weights of a pixel,
            which no probability depends on. Without it the weights of explicit
            solutions, logarithms of shares, are mostly negative.
        ax : matplotlib Axes or array-like of matplotlib Axes, default=None
            Panels to draw on, one a class; those of a new figure by default.
        im_kw : dict, default=None
            Keywords of the images, for `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        display : ClassTemplateDisplay

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `estimator` is not fitted.
        ValueError
            If it has no row of ``coef_`` for each class, if `image_shape` does not
            match the number of features, or if a label of `classes` is unknown.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        classifier = fitted_step(estimator)
        labels = np.asarray(getattr(classifier, "classes_", []))
        weights: Any = getattr(classifier, "coef_", None)
        if np.ndim(weights) != 2 or len(weights) != len(labels):
            raise ValueError(
                "estimator must have one row of coef_ for each class, as "
                "ExplicitSoftmaxClassifier has; for this "
                f"{type(classifier).__name__} coef_ is "
                f"{'missing' if weights is None else f'of shape {np.shape(weights)}'}"
            )
        shape = tuple(np.ravel(np.asarray(image_shape)).tolist())
        if len(shape) != 2 or not all(isinstance(n, int) and n > 0 for n in shape):
            raise ValueError(
                f"image_shape must be two positive integers, not {image_shape!r}"
            )
        if np.prod(shape) != weights.shape[1]:
            raise ValueError(
                f"image_shape={image_shape!r} has {np.prod(shape)} pixels, and "
                f"estimator was fitted on {weights.shape[1]} features"
            )
        if centre:
            weights = weights - weights.mean(axis=0)
        shown = labels if classes is None else np.atleast_1d(np.asarray(classes))
        unknown = [label for label in shown.tolist() if label not in labels.tolist()]
        if unknown or not len(shown):
            raise ValueError(
                f"classes must be labels of estimator.classes_, and {unknown} are not"
                if unknown
                else "classes is empty: name one or more labels"
            )
        index = [labels.tolist().index(label) for label in shown.tolist()]
        display = cls(
            templates=weights[index].reshape(-1, *shape),
            classes=labels[index],
            scale_name="Weight (centred)" if centre else "Weight",
        )
        return display.plot(ax, im_kw=im_kw)

    def plot(
        self,
        ax: Axes | Sequence[Axes] | NDArray[Any] | None = None,
        *,
        im_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of matplotlib Axes, default=None
            Panels to draw on, one a class; those of a new figure by default.
        im_kw : dict, default=None
            Keywords of the images, for `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        display : ClassTemplateDisplay

        Raises
        ------
        ValueError
            If `ax` does not have a panel for each class.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        panels = _panels(len(self.templates)) if ax is None else np.ravel(np.array(ax))
        checked_length(panels, "ax", self.templates, "templates")
        size = np.abs(self.templates)
        # A scale of zero has no colours.
        limit = float(np.quantile(size, _SCALED_SHARE)) or float(size.max()) or 1.0
        keywords: dict[str, Any] = {"cmap": "RdBu_r", "interpolation": "nearest"}
        if "norm" not in (im_kw or {}):
            keywords |= {"vmin": -limit, "vmax": limit}
        keywords |= im_kw or {}
        self.images_ = []
        for panel, template, label in zip(
            panels, self.templates, self.classes, strict=True
        ):
            self.images_.append(panel.imshow(template, **keywords))
            panel.set_title(str(label))
            panel.set_xticks([])
            panel.set_yticks([])
        self.axes_, self.figure_ = panels, panels[0].figure
        self.colorbar_ = self.figure_.colorbar(
            self.images_[0],
            ax=list(panels),
            label=self.scale_name,
            extend="both" if size.max() > limit else "neither",
        )
        return self


def _panels(n_panels: int) -> NDArray[Any]:
    import matplotlib.pyplot as plt

    n_columns = min(n_panels, _MOST_COLUMNS)
    n_rows = -(-n_panels // n_columns)
    size = (_PANEL_INCHES * n_columns + 1.0, (_PANEL_INCHES + 0.3) * n_rows)
    _, grid = plt.subplots(
        n_rows, n_columns, figsize=size, layout="constrained", squeeze=False
    )
    panels = grid.ravel()
    for panel in panels[n_panels:]:
        panel.remove()
    return np.asarray(panels[:n_panels])
