"""What a study found: a line where it is an element of something, a page in print, a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbp.insight.document import Shown, as_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURE = 5.6, 3.6


class Report(Shown):
    """What prints as a page, and is one line elsewhere."""

    def _summary(self) -> str:
        """Return that line, without its brackets."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{self._summary()}>"

    def __str__(self) -> str:
        return as_text(self._blocks(), self._digits)


class PlottedReport(Report):
    """A report with a picture."""

    def _draw(self, axes: Axes) -> None:
        """Draw the picture."""
        raise NotImplementedError

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the picture.

        Parameters
        ----------
        axes : matplotlib.axes.Axes, optional
            Where to draw; left out, in a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            Where it was drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        if axes is None:
            axes = new_axes(f"{type(self).__name__}.plot()")
        self._draw(axes)
        return axes


def new_axes(caller: str, size: tuple[float, float] = FIGURE) -> Axes:
    """Return axes in a new figure of a size in inches; errors name the caller."""
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError(f"{caller} needs matplotlib: pip install 'fastbp[plot]'") from error
    _, axes = plt.subplots(figsize=size, layout="constrained")
    return axes
