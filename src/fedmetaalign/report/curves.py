"""The figure of precision and recall: what each device's threshold could be traded for."""

from matplotlib.figure import Figure

from fedmetaalign.report import svg
from fedmetaalign.report.figures import colours
from fedmetaalign.report.finished import Run


def precision_recall(run: Run) -> str | None:
    """Returns one line a device, with a dot where its own threshold lies; None where no device has a curve."""
    drawn = [device for device in run.devices if device.pr_curve]
    if not drawn:
        return None
    own = colours(run)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for device in drawn:
            colour = own.get(device.name, svg.MUTED)
            recall, precision = ([100 * value for value in part] for part in zip(*device.pr_curve, strict=True))
            axes.plot(recall, precision, color=colour, linewidth=1.6 if own else 0.8, alpha=1 if own else 0.45)
            at = device.final.get("recall"), device.final.get("precision")
            if at[0] is not None and at[1] is not None:
                axes.plot(100 * at[0], 100 * at[1], marker="o", markersize=5, color=colour)
        axes.set_xlim(0, 102)
        axes.set_ylim(0, 102)
        axes.set_xlabel("faults found in %")
        axes.set_ylabel("alarms that are right in %")

    return svg.render(draw, 4.6, 3.2, "curves", "Precision and recall of each device at all thresholds")
